"""Rows on the Hub: a data set goes up as Parquet files that hold its images, with a card, and is streamed from there.

In comes whatever `load_segmentation_dataset` reads, or PhraseCut+, and what only the publisher can say; the files are
read back and compared row by row before they go up by one commit. `clipseg_hf.hub.publish_dataset` does it all.
"""
