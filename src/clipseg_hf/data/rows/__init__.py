"""Rows, the one form that all data takes here: an image, its phrases and their masks.

In come files, archives and JSON through a `RowSource`, out come cached `datasets.Dataset`s with an account of every
flaw; which layout the files have is told by the rooms `sources` and `phrasecut`. `ROW_FEATURES`, `make_phrase`,
`FLAWS`, `FlawError` and `BuildSummary` are public, as names of `clipseg_hf.data`.
"""
