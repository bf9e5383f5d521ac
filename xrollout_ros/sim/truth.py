"""What a simulator knows of an attempt and tells nobody: its private log.

Only benchmarks and tests read it, and a perturbation session reads which of its own faults came about
(``sim/perturbing.py``). No topic and no bag carries it. What things look like is no secret: the scene topic
draws them where they really are, for people, and no rule reads that.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.files import write_bytes, write_together

FOLDER = ".simulator"
"""Of the data folder; hidden, as the trash is."""
REACHED_M = 0.06
CARRIED_M = 0.03
SLID_M = 0.05
"""The object is no longer held once it has slid so far in the hand, though something may still touch it."""
HELD_STEPS, FREE_STEPS = 3, 5
"""Steps for which a contact must last, or be gone, to count."""
_LATE_STEPS = 20


@dataclass(frozen=True)
class Truth:
    """The scene as it really is at one moment."""

    hand: Array
    """(3,) what the robot calls its hand, m."""
    object: Array
    """(3,) m."""
    goal: Array
    """(3,) m."""
    held: bool
    """Both fingers press on the object."""
    touched: bool
    """Anything of the hand does."""
    strike_n: float
    """Largest force between hand or fingers and anything but the object, N."""
    outside: bool
    """The object began outside the scene's own range."""


@dataclass(frozen=True)
class Event:
    """Something happened."""

    step: int
    what: str
    """``start``, ``reached``, ``grasped``, ``carried``, ``released``, ``fault_begun``, ``fault_ended``, ``struck`` or
    ``end``."""
    facts: dict[str, Any] = field(default_factory=dict)


class PrivateLog:
    """Turns the scene of each step into events."""

    def __init__(self, faults: str, seed: int) -> None:
        """
        Args:
            faults: what was asked for, as JSON.
            seed: of the attempt.
        """
        self.faults, self.seed = faults, seed
        self.events: list[Event] = []
        self._lasting = 0
        self._held = self._carried = False
        self._anchor = self._offset = np.zeros(3)
        self._rest_m = 0.0
        self._last: Truth | None = None
        self._late: deque[Array] = deque(maxlen=_LATE_STEPS)
        self._seen: set[str] = set()

    @property
    def held(self) -> bool:
        """Whether the hand has the object, for so long that it counts."""
        return self._held

    @property
    def raised_m(self) -> float:
        """How far the object is above where it lay."""
        return 0.0 if self._last is None else float(self._last.object[2]) - self._rest_m

    @property
    def distance_m(self) -> float:
        """From hand to object."""
        return float("inf") if self._last is None else float(np.linalg.norm(self._last.hand - self._last.object))

    def add(self, step: int, what: str, **facts: Any) -> None:
        """Something that the scene does not show."""
        self.events.append(Event(step, what, facts))

    def see(self, step: int, now: Truth) -> None:
        """The scene after a step; step 0 is the start."""
        if self._last is None:
            self._rest_m = float(now.object[2])
            self.add(step, "start", outside=now.outside, object=_rounded(now.object), goal=_rounded(now.goal))
        self._last = now
        self._late.append(now.object)
        if self.distance_m <= REACHED_M:
            self._once(step, "reached")
        if now.strike_n > 0:
            self._once(step, "struck", force_n=round(now.strike_n, 2))
        self._grip(step, now)

    def _grip(self, step: int, now: Truth) -> None:
        if not self._held:
            self._lasting = self._lasting + 1 if now.held else 0
            if self._lasting >= HELD_STEPS:
                self._held, self._carried, self._lasting = True, False, 0
                self._anchor, self._offset = now.object, now.object - now.hand
                self.add(step, "grasped", raised_m=round(self.raised_m, 4))
            return
        self._lasting = 0 if now.touched else self._lasting + 1
        slid_m = float(np.linalg.norm(now.object - now.hand - self._offset))
        if self._lasting >= FREE_STEPS or slid_m >= SLID_M:
            self._held, self._lasting = False, 0
            goal_m = round(float(np.linalg.norm(now.object - now.goal)), 4)
            facts = {"carried": self._carried, "raised_m": round(self.raised_m, 4), "object_to_goal_m": goal_m}
            self.add(step, "released", **facts)
        elif not self._carried and np.linalg.norm(now.object - self._anchor) >= CARRIED_M:
            self._carried = True
            self.add(step, "carried", raised_m=round(self.raised_m, 4))

    def end(self, step: int, success: bool) -> None:
        """The attempt is over."""
        now = self._last
        if now is None:
            return
        self.add(
            step,
            "end",
            success=success,
            held=self._held,
            raised_m=round(self.raised_m, 4),
            hand_to_object_m=round(self.distance_m, 4),
            object_to_goal_m=round(float(np.linalg.norm(now.object - now.goal)), 4),
            moved_late_m=round(float(np.linalg.norm(now.object - self._late[0])), 4),
        )

    def write(self, folder: Path, episode_id: str) -> Path:
        """Keep it as ``<episode id>.json``.

        Raises:
            DataError: the folder cannot be written.
        """
        path = folder / f"{episode_id}.json"
        data = json.dumps(self.document()).encode()
        write_together({path: lambda file: write_bytes(file, data)})
        return path

    def document(self) -> dict[str, Any]:
        """The whole log as JSON."""
        return {
            "seed": self.seed,
            "faults": json.loads(self.faults) if self.faults else [],
            "events": [asdict(event) for event in self.events],
        }

    def _once(self, step: int, what: str, **facts: Any) -> None:
        if what not in self._seen:
            self._seen.add(what)
            self.add(step, what, **facts)


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 4) for value in values]
