"""Simulated robots and scripted operators behind the interfaces of ``core.ports``."""
