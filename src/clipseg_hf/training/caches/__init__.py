"""What is encoded once and kept: prompts' vectors, and CLIP's features of whole images.

In come the frozen model and what will be asked of it, out come the same tensors as without, from arrays on the disk;
`cache_prompts` and `cache_features` of the recipe turn them on. Nothing here is public.
"""
