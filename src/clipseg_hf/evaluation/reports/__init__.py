"""What is shown of a measurement: JSON, tables, curves, a sheet of the worst, and two reports compared.

In comes an `Evaluation`, out come files; nothing is measured here. `build_report`, `write_report`, `compare_reports`
and the plots are public, as names of `clipseg_hf.evaluation`.
"""
