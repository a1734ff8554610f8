"""What is encoded once and kept: prompts' vectors, and CLIP's features of whole images.

In come the frozen model and what will be asked of it, out come the same tensors as without, from arrays on the disk;
`cache_prompts` and `cache_features` of the recipe turn them on. Nothing here is public.

A file's name is made from all that everything in it depends on, and each array knows by a fingerprint which picture it
was made of. An array has the same bits whenever, and with whatever else, it is made.
"""
