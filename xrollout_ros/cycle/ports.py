"""What the cycle asks of the world: attempts, work in processes of their own, a policy put in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.record import CycleRecord, StopName
from xrollout_ros.runtime.start_list import StartList

Driver = Literal["policy", "operator"]
Told = Callable[[str, int, int], None]
"""What is done, and how much of how much."""


class CycleStop(Exception):  # noqa: N818 (a state, not always an error)
    """The cycle does not go on by itself.

    Args:
        name: of the state.
        reason: what is in the way.
        next_step: what somebody can do.
    """

    def __init__(self, name: StopName, reason: str, next_step: str) -> None:
        super().__init__(f"{name.value}: {reason}")
        self.name, self.reason, self.next_step = name, reason, next_step


class WorkFailedError(XRolloutError):
    """Work in a process of its own came to nothing.

    Args:
        kind: name of the error's class there; empty: the process was killed.
        what: what is wrong.
        remedy: what to do.
    """

    def __init__(self, kind: str, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.kind = kind


class Workshop(Protocol):
    """Does what the cycle needs done. Everything may be asked for again after a kill."""

    @property
    def automatic(self) -> bool:
        """Whether attempts come about by themselves; else people make them and the cycle waits."""
        ...

    def make(
        self, starts: StartList, driver: Driver, kind: EpisodeKind, made: dict[int, EpisodeMeta],
        after: Callable[[EpisodeMeta], bool],
    ) -> None:  # fmt: skip
        """Make the attempts of a list that are not made yet.

        Args:
            starts: the list.
            driver: who drives.
            kind: of the episodes.
            made: those that are there, by number; filled with what is made now.
            after: told each attempt; True: enough.

        Raises:
            CycleStop: somebody asked to stop.
            XRolloutError: they cannot be made.
        """
        ...

    def work(self, job: str, record: CycleRecord, told: Told) -> None:
        """Run one of ``cycle.jobs`` in a process of its own, at low priority.

        Raises:
            CycleStop: somebody asked to stop.
            WorkFailedError: it came to nothing.
        """
        ...

    def swap(self, policy: PolicyRef) -> None:
        """Have the running graph drive with this policy from the next attempt on, where there is one.

        Raises:
            XRolloutError: it refuses; the one before goes on driving.
        """
        ...

    def wait(self, ready: Callable[[], bool]) -> None:
        """Wait for attempts that others make.

        Raises:
            CycleStop: it does not wait, or somebody asked to stop.
        """
        ...

    def show(self, record: CycleRecord, what: str, done: int, total: int) -> None:
        """Tell where the cycle is."""
        ...
