"""What ships with the package: the embedded checkpoint `emoji-tiny`, and scenes to try it on.

Nothing comes in; out come the two folders, as texts. Both names are public.
"""

from pathlib import Path

EMOJI_TINY = str(Path(__file__).parent / "emoji-tiny")
"""Folder of the embedded checkpoint, for `from_pretrained`."""

EMOJI_SCENES = str(Path(__file__).parent / "emoji-scenes")
"""Folder of scenes with phrases and masks in PhraseCut's layout, for `load_segmentation_dataset`."""
