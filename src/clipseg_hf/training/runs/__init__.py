"""The folder of a run: checkpoints that are whole or not there, provenance, logs and pictures.

In come states and numbers of the loop, out come files, and on resume the states again; a process may be killed at any
moment. Nothing here is public but the files' layout, which the README describes.
"""
