"""What follows a step of the cycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xrollout_ros.cycle.record import Ending, State


@dataclass(frozen=True)
class After:
    """What follows a step."""

    state: State
    why: str
    changes: dict[str, Any]
    """Of the record, kept with the transition in one write."""
    ending: Ending | None = None
    next_step: str = ""
    lessons: tuple[str, ...] = ()
