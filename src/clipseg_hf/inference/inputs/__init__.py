"""What people have pictures in: files, folders, patterns, archives, videos, URLs, data sets.

In comes what the command line is given, out come pictures in a fixed order, each with a name that stays the same from
run to run; none is read before it is its turn. And which model is asked, by its files.
"""
