"""What the page *Cycle* shows, read from the flywheel's folder: once for all that look on, where it has changed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.cycle.comparing.result import course_of
from xrollout_ros.cycle.comparing.run import so_far
from xrollout_ros.cycle.comparing.trials import LOG, Log
from xrollout_ros.cycle.jobs import COMPARISON
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord, FlywheelState

FRESH_S = 0.5


@dataclass(frozen=True)
class Course:
    """A comparison as far as it is made."""

    number: int
    """Of the cycle."""
    e_values: tuple[float, ...]
    """After each pair that was judged."""
    bound: float
    most: int
    """Pairs after which it ends anyway."""


@dataclass(frozen=True)
class Seen:
    """The flywheel at one moment."""

    records: tuple[CycleRecord, ...] = ()
    deployed: FlywheelState | None = None
    owner: int | None = None
    """Process that runs its cycles."""
    course: Course | None = None
    """Of the newest comparison."""
    problem: str = ""

    @property
    def newest(self) -> CycleRecord | None:
        """The cycle that began last."""
        return self.records[-1] if self.records else None


class Cycles:
    """Looks at a flywheel's folder.

    Args:
        folder: of the flywheel; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder, SystemClock())
        self.seen = Seen()
        self._state: object = None
        self._looked_s = -FRESH_S
        self._looking = asyncio.Lock()

    async def look(self) -> Seen:
        """What is there now. Whoever asks a moment later is given the same."""
        async with self._looking:
            if time.monotonic() - self._looked_s >= FRESH_S:
                self.seen = await asyncio.to_thread(self._look)
                self._looked_s = time.monotonic()
        return self.seen

    def _look(self) -> Seen:
        owner = self.place.owner()
        state = (owner, *_state(self.place.root))
        if state == self._state:
            return self.seen
        try:
            records = tuple(self.place.records())
            seen = Seen(records, self.place.deployed(), owner, self._course(records))
        except XRolloutError as error:
            return Seen(problem=str(error))
        self._state = state
        return seen

    def _course(self, records: tuple[CycleRecord, ...]) -> Course | None:
        for record in reversed(records):
            log = Log(self.place.folder(record) / COMPARISON)
            if log.path.is_file():
                plan = log.read_plan()
                made = so_far(plan, log)
                return Course(record.number, tuple(course_of(made)), made.judge.bound, plan.rules.pairs)
        return None


def _state(root: Path) -> list[tuple[str, int, int]]:
    """Changes when anything that is shown does."""
    found = []
    for pattern in ("*.json", "cycles/*/*.json", "cycles/*/*.html", f"cycles/*/{COMPARISON}/{LOG}"):
        for path in root.glob(pattern):
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((str(path), status.st_size, status.st_mtime_ns))
    return sorted(found)
