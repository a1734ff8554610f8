"""PhraseCut: its files, its rule for masks, PhraseCut+ as a `datasets` builder, and publishing it.

In come the official files, out come rows, or PhraseCut+'s samples, or Parquet with a card and a licence.
`PhraseCutPlus` and `load_phrasecut_plus` are public, as names of `clipseg_hf.data`; `publishing` is called by name.
"""
