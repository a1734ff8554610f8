"""What annotation tools export, as the rows that all of this package reads: one file for each tool's format.

All of them say the same, shapes with labels on images; `shapes` makes rows of that, and notes what is wrong. Which
layout is whose, `sources.loading` tells.
"""
