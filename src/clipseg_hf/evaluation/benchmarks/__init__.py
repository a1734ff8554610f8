"""What is measured on: the classes, splits, folds and label maps of the paper's benchmarks.

In come rows or a data set's folder, out come label maps, subsets and class lists, for the protocols to ask about.
`LabelMap`, `PascalVOC`, `RowLabelMaps` and the constants are public, as names of `clipseg_hf.evaluation`.
"""
