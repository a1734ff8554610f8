"""Cards: what the README.md of a published model or data set says, and the numbers in its head.

In come facts as plain values, out comes Markdown with metadata, by the templates in `templates/`. Nothing here is
public, nothing measures or loads a model.
"""
