"""A small CLIP, trained from scratch on the emoji world by the ordinary contrastive loss.

In comes a recipe, out comes a `CLIPModel` checkpoint with its processor, to put a decoder on.
`python -m clipseg_hf.training.pretraining RECIPE.yaml -o FOLDER` runs it.
"""
