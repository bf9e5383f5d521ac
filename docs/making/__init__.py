"""Makes those pages of the documentation that tell of the code, from the code."""
