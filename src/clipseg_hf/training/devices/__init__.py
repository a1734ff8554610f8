"""Devices and processes: Accelerate as recipe and launcher say, and what the main process tells the rest.

In come a recipe's fields and the launcher's environment variables, out come an `Accelerator` and the same facts in all
processes.
"""
