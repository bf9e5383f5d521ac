"""Says whether an attempt succeeded where nobody has: a classifier, its labels, and how far people let it go."""
