"""What the commands are added to."""

from clipseg_hf.console.commands import new_app

app = new_app("CLIPSeg: segment with text, example images or both; train and measure models.")
