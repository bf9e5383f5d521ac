"""Preflight: what is missing, unsafe, stale, uncalibrated or slow, before a robot moves."""
