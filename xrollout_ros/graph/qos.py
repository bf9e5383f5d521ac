"""The four QoS profiles of the graph, by name."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(reliable: bool, depth: int, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


STREAM = _profile(reliable=False, depth=5)
"""Sensors: the newest counts."""
COMMAND = _profile(reliable=True, depth=1)
"""What acts: nothing is lost, only the newest is kept."""
EVENT = _profile(reliable=True, depth=100)
"""What happened: nothing is lost."""
LATCHED = _profile(reliable=True, depth=1, latched=True)
"""State: a late joiner gets the last one."""
LATCHED_EACH = _profile(reliable=True, depth=20, latched=True)
"""For a reader of state that must also see the states in between, however busy it is."""


def sensor(stepped: bool) -> QoSProfile:
    """Observation topics: a stepped simulation waits for every one of them, so there none may be lost."""
    return EVENT if stepped else STREAM


def recording(latched: bool, reliable: bool, depth: int | None = None) -> QoSProfile:
    """The recorder's side of a topic: deep, so that a burst waits in the reader's history instead of being lost.

    Args:
        latched: the writer's side is transient local.
        reliable: the writer's side is reliable.
        depth: where messages are so large that the usual depth would be too much memory.
    """
    return _profile(reliable, depth or (5000 if reliable else 200), latched)


BY_NAME = {"stream": STREAM, "command": COMMAND, "event": EVENT, "latched": LATCHED}
