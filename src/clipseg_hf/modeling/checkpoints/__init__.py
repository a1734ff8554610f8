"""Checkpoints: whole ones are transformers' own; a decoder alone, and what stands beside one, are written here."""
