"""What the soak finds on disk: every attempt's bag, whole and with its outcome."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from soak_graph import COMMAND
from soak_watcher import Attempt, Watch

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.bag_reader import open_bag, verify

OUTCOMES = {"success", "failure", "abort", "unknown"}
MOST_LOST_S = 1.0
BEFORE_S, AFTER_S = 0.5, 3.0
"""How far a fault reaches beyond the two moments at which an attempt was heard to begin and to end."""


@dataclass
class Bags:
    """The bags of all turns so far."""

    watch: Watch
    closed: dict[str, Path] = field(default_factory=dict)
    """Bags that were found closed and whole, by episode."""
    repaired: int = 0
    discarded: int = 0
    not_recorded: int = 0
    """The disk was full."""
    lost_s: list[float] = field(default_factory=list)
    """Of each torn bag, from the kill back to its last message."""
    messages: int = 0
    clips: int = 0

    def account(
        self,
        data: Path,
        strategy: str,
        attempts: Sequence[Attempt],
        kills: Mapping[str, Sequence[float]],
        full: Sequence[tuple[float, float]],
    ) -> None:
        """Look at a data folder whose graph has ended.

        Args:
            data: the folder.
            strategy: of the graph that recorded into it.
            attempts: those of this graph.
            kills: wall-clock times at which nodes were killed.
            full: spans in which the disk was full.
        """
        subprocess.run([*COMMAND, "episodes", "repair", "--all", "--data", str(data)], capture_output=True, check=False)
        found = {bag.parent.name.rpartition("_")[2]: bag.parent for bag in data.rglob("*.mcap") if _is_bag(data, bag)}
        if strategy == "base":
            for name, path in found.items():
                self.watch.violation("other", f"the strategy base recorded {name}: {path}")
        elif strategy == "highlight":
            self._clips(found)
        else:
            for attempt in attempts:
                self._one(attempt, found.get(attempt.episode_id), kills, full)

    def _clips(self, found: Mapping[str, Path]) -> None:
        """Attempts are not kept; every clip is whole, or says that it was torn."""
        for name, bag in found.items():
            if name in self.closed:
                continue
            try:
                self.messages += verify(bag).messages
                meta = open_bag(bag).meta
            except XRolloutError as error:
                self.watch.violation("closed bag lost", f"the clip {bag}: {error}")
                continue
            if meta.kind.value != "clip":
                self.watch.violation("other", f"the strategy highlight recorded an attempt: {bag}")
            self.closed[name] = bag
            self.clips += 1

    def _one(
        self,
        attempt: Attempt,
        bag: Path | None,
        kills: Mapping[str, Sequence[float]],
        full: Sequence[tuple[float, float]],
    ) -> None:
        begin_s, end_s = attempt.opened_s - BEFORE_S, (attempt.closed_s or float("inf")) + AFTER_S
        killed = [at_s for at_s in kills.get("recorder", ()) if begin_s <= at_s <= end_s]
        filled = any(begin <= end_s and end >= begin_s for begin, end in full)
        try:
            if bag is None:
                raise XRolloutError("there is no bag", "")
            check = verify(bag)
            meta = open_bag(bag).meta
        except XRolloutError as error:
            self._missing(attempt, bag, str(error), killed, filled)
            return
        self.messages += check.messages
        if meta.recovered:
            self.repaired += 1
            if killed:
                last_s = check.end_ns / 1e9 if check.messages else attempt.running_s
                self._lost(attempt, last_s, killed[0])
            elif not filled:
                self.watch.violation("closed bag lost", f"{bag} was torn, but nobody killed its recorder")
        elif ".trash" in bag.parts:
            self.discarded += 1
        self.closed[attempt.episode_id] = bag
        if meta.outcome.value not in OUTCOMES or not meta.outcome_reason:
            self.watch.violation("no outcome", f"{bag}: outcome {meta.outcome!r}, {meta.outcome_reason!r}")
        same = meta.outcome.value == attempt.outcome
        if attempt.closed_s and not same and not meta.recovered and not filled:
            self.watch.violation(
                "no outcome",
                f"{bag}: told was {attempt.outcome} ({attempt.reason}), "
                f"recorded {meta.outcome.value} ({meta.outcome_reason})",
            )
        if attempt.discarded and ".trash" not in bag.parts and not meta.recovered:
            self.watch.violation("other", f"{bag} was discarded and does not lie in the trash")

    def _missing(self, attempt: Attempt, bag: Path | None, why: str, killed: Sequence[float], filled: bool) -> None:
        where = bag or attempt.episode_id
        if filled:
            self.not_recorded += 1
        elif killed:
            self._lost(attempt, attempt.running_s, killed[0], f"{where}: {why}")
        elif attempt.running_s or attempt.closed_s:
            kind = "closed bag lost" if attempt.closed_s else "no outcome"
            self.watch.violation(kind, f"{where} ({attempt.outcome}: {attempt.reason}): {why}")

    def _lost(self, attempt: Attempt, last_s: float, killed_s: float, why: str = "") -> None:
        """From the last message to the kill, or to the end of the attempt where that came first."""
        if not attempt.running_s:  # it had not begun
            return
        lost_s = max(0.0, min(killed_s, attempt.ended_s or killed_s) - last_s)
        self.lost_s.append(lost_s)
        if lost_s > MOST_LOST_S:
            self.watch.violation("seconds lost", f"{lost_s:.2f} s of attempt {attempt.episode_id} {why}")

    def look_again(self) -> None:
        """At the end: every bag that was ever whole still is."""
        for episode_id, bag in self.closed.items():
            try:
                verify(bag)
            except XRolloutError as error:
                self.watch.violation("closed bag lost", f"{episode_id} was whole: {error}")


def _is_bag(data: Path, mcap: Path) -> bool:
    return ".torn" not in mcap.relative_to(data).parts and not mcap.parent.name.startswith(".")
