"""The metric as a folder that `evaluate.load` takes."""
