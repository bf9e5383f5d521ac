"""Stages of curation that a recipe names, and that can be swapped."""
