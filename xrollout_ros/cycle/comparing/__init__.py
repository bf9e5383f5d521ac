"""Comparison of two policies: trials in pairs, evidence that may be looked at after each, a verdict."""
