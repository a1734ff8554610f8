"""The offline world: scenes of emoji with exact masks and phrases, drawn from a seed.

In come a font, a list of concepts and a seed, out come scenes, and files in PhraseCut's layout that the same reader
reads. `write_scenes` (in `emoji_files`) is what `clipseg-hf make-emoji-world` calls.
"""
