"""The processor without torch and transformers, for models that run without them: NumPy and Pillow alone.

`PlainProcessor` reads the files that `CLIPSegProcessor` writes, takes the same pictures and prompts, and gives the same
numbers, but for rounding; `probabilities` makes masks of logits, whichever model they come from.
"""
