"""`python -m clipseg_hf.cli`."""

from clipseg_hf.cli import main

main()
