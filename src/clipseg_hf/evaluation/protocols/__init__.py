"""How is measured: the paper's protocols, and the runner that chooses among them by name.

In come a model, its processor and rows, out comes an `Evaluation` with the counts of every kind of prompt; any number
of processes give the numbers of one. `run_benchmark` and the `evaluate_*` functions with their settings are public, as
names of `clipseg_hf.evaluation`.
"""
