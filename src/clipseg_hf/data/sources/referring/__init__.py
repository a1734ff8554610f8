"""Data sets whose phrases single out things: RefCOCO and its kin, ReasonSeg.

Their texts are sentences, and are kept as they stand: nothing of them is read as a class's name.
"""
