"""XRollout: turn a robot policy's failures into its next training set."""

__version__ = "0.1.0"
