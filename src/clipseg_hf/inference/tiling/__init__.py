"""Large pictures: asked tile by tile at the model's own size, with one look at the whole.

In come a picture, or windows of a file, and a question; out comes one `Segmentation`, made strip by strip, so that the
numbers of the whole picture are never in memory at once. `Tiling` says how; `Segmenter(tiling=...)` uses it.
"""
