"""Words: what phrases are made of, what names a concept, and which phrases to train without.

In come phrases, out come their keys, prefixes, concepts, and yes or no for a filter; no image is touched here.
`PhraseFilter` is public, as a name of `clipseg_hf.data`; `concepts` holds the lists of the paper's protocols.
"""
