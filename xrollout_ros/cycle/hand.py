"""The cycle where people make the attempts: it says what is to be done, and goes on when that is there."""

from __future__ import annotations

from collections.abc import Callable

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Driver, Told
from xrollout_ros.cycle.record import CycleRecord, StopName
from xrollout_ros.cycle.working import work
from xrollout_ros.runtime.start_list import StartList


class HandShop:
    """``ports.Workshop`` without a graph.

    Args:
        place: the flywheel's folder.
        shown: told where the cycle is.
    """

    automatic = False

    def __init__(self, place: Place, shown: Callable[[CycleRecord, str, int, int], None]) -> None:
        self._place, self._shown = place, shown

    def make(
        self, starts: StartList, driver: Driver, kind: EpisodeKind, made: dict[int, EpisodeMeta],
        after: Callable[[EpisodeMeta], bool],
    ) -> None:  # fmt: skip
        """People do that; a cycle by hand never asks for it."""
        raise NotImplementedError("attempts are made by people")

    def work(self, job: str, record: CycleRecord, told: Told) -> None:
        """See ``Workshop``."""
        work(job, self._place.folder(record), told, self._turn)

    def swap(self, policy: PolicyRef) -> None:
        """Whoever deploys next takes what is deployed."""

    def wait(self, ready: Callable[[], bool]) -> None:
        """It does not wait: it says what is missing, and the same command goes on."""
        if not ready():
            raise CycleStop(
                StopName.WAITING_FOR_ATTEMPTS, "too few attempts of the deployed policy are there",
                "Deploy it; then `xrollout flywheel run` goes on.",
            )  # fmt: skip

    def show(self, record: CycleRecord, what: str, done: int, total: int) -> None:
        """See ``Workshop``."""
        self._shown(record, what, done, total)

    def _turn(self) -> None:
        if self._place.asked_to_stop:
            raise CycleStop(StopName.STOPPED, "somebody asked to stop", "`xrollout flywheel run` goes on where it is.")
