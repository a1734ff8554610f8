"""What all programs of this package share: how errors end, options of the same meaning, KEY=VALUE, the types of
values.

It loads nothing that computes, so that help comes at once. Nothing here is public but `parse_overrides`, as a name
of `clipseg_hf.training`.
"""
