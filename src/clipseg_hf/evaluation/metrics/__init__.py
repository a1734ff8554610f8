"""Numbers of masks: counts at every threshold, boundaries, presence, and intervals for differences.

In come probabilities and true masks, out come sums that merge over processes, and from them IoUs, precision, recall
and AP; no model and no data set is known here. The classes are public as names of `clipseg_hf.evaluation`, and
`segmentation_metric` is the folder for `evaluate.load`.
"""
