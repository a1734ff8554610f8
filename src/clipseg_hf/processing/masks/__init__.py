"""Masks as files and arrays: reading them, run lengths, outlines.

In come pictures, arrays and run lengths, out go boolean masks and index maps, and back again; nothing here knows a
model or its size. `encode_rle`, `decode_rle`, `mask_to_polygons` and `mask_to_box` are public, as names of
`clipseg_hf.processing`.
"""
