"""Viewers that a bag is opened in: Foxglove, RViz and Rerun."""
