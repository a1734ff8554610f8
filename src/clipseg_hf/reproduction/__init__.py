"""The paper's tables: the variants of each, trained and measured one after the other, and compared with print.

In come recipes and data, out come run folders, evaluations and one report; interrupted, it goes on where it was.
`reproduce` is public, and `clipseg-hf reproduce` calls it.
"""
