"""What operators are called."""

from __future__ import annotations

from xrollout_ros.core.resources import share_dir

HUMAN = ("keyboard", "pedal", "joy", "leader", "pose")
"""Sources that are a person's: they work in real time only."""


def operator_ids() -> list[str]:
    """Ids of the shipped documents."""
    return sorted(path.stem for path in (share_dir() / "config" / "operators").glob("*.yaml"))
