"""The metric as a folder that `evaluate.load` takes.

In come probabilities and masks by the interface of `evaluate`, out come the numbers of `SegmentationCounts`.
`SEGMENTATION_METRIC` of `clipseg_hf.evaluation` is its path.
"""
