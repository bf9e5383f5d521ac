"""Where the time went, from observation to command, as the bag of a real-time attempt tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.modes import Source
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.columns import BagColumns, time_fields

CHUNK, COMMAND = "/xrollout/chunk", "/xrollout/command"
_COMMAND = ("source", "chunk_sequence", "late_s", *time_fields("stamp", "accepted"))
_CHUNK = ("sequence", "inference_s", "data", *time_fields("stamp", "observed", "sent"))


class _Chunk(NamedTuple):
    stamp_ns: int
    observed_ns: int
    sent_ns: int
    inference_s: float


@dataclass(frozen=True)
class Stage:
    """Durations of one stage."""

    name: str
    meaning: str
    seconds: npt.NDArray[np.float64]
    """One for each chunk or command that passed it, s."""

    def percentile(self, share: float) -> float:
        """A percentile in s; NaN where nothing passed."""
        return float(np.percentile(self.seconds, share)) if len(self.seconds) else float("nan")


@dataclass(frozen=True)
class Trace:
    """The stages of an attempt, in order."""

    stages: tuple[Stage, ...]
    commands: int
    from_policy: int
    late: int
    """Commands sent more than half a median period after their time."""


def _seconds(spans_ns: list[int]) -> npt.NDArray[np.float64]:
    return np.array(spans_ns, dtype=np.float64) / NS


def trace(path: Path) -> Trace:
    """Stages from the sensor's stamp to the command's.

    Simulated time drives nothing by the wall clock, so a stepped attempt has only the time spent inferring.

    Args:
        path: the bag.

    Raises:
        BagError: the bag cannot be read, or has no commands.
    """
    bag = open_bag(path)
    reader = BagColumns(bag)
    if not reader.topics.get(COMMAND):
        raise BagError(f"the bag {path} has no commands", "Trace an attempt in which the supervisor was active.")
    if not reader.has(COMMAND, "accepted"):
        raise BagError(f"the bag {path} was recorded before commands carried times", "Trace a newer one.")
    commands = reader.read({COMMAND: _COMMAND})[COMMAND]
    chunks = _chunks(reader)
    sequence, sent_ns, accepted_ns = commands["chunk_sequence"], commands.time_ns("stamp"), commands.time_ns("accepted")
    from_policy = commands["source"] == Source.POLICY
    accepted = {
        int(sequence[row]): int(accepted_ns[row]) for row in np.flatnonzero((sequence >= 0) & (accepted_ns > 0))
    }
    # The first one stays.
    first = {int(sequence[row]): int(sent_ns[row]) for row in np.flatnonzero(from_policy)[::-1]}
    real_time = bool(accepted)
    stages = [Stage("inference", "in the policy network", np.array([chunk.inference_s for chunk in chunks.values()]))]
    periods = np.diff(sent_ns) / NS
    half_s = float(np.median(periods)) / 2 if len(periods) else 0.0
    if real_time:
        taken = {number: chunk for number, chunk in chunks.items() if number in accepted}
        behind = [
            int(sent_ns[row]) - chunks[int(sequence[row])].stamp_ns
            for row in np.flatnonzero(from_policy)
            if int(sequence[row]) in chunks
        ]
        stages = [
            Stage(
                "arrival",
                "sensor's stamp to a whole observation at the policy",
                _seconds([chunk.observed_ns - chunk.stamp_ns for chunk in chunks.values()]),
            ),
            Stage(
                "answer",
                "observation to chunk sent, inference included",
                _seconds([chunk.sent_ns - chunk.observed_ns for chunk in chunks.values()]),
            ),
            *stages,
            Stage(
                "transport",
                "chunk sent to chunk accepted by the supervisor",
                _seconds([accepted[number] - chunk.sent_ns for number, chunk in taken.items()]),
            ),
            Stage(
                "acceptance",
                "sensor's stamp to chunk accepted, all of the above",
                _seconds([accepted[number] - chunk.stamp_ns for number, chunk in taken.items()]),
            ),
            Stage(
                "first use",
                "chunk accepted to the first command from it",
                _seconds([first[number] - accepted[number] for number in taken if number in first]),
            ),
            Stage("tick", "a command's scheduled time to its sending", commands["late_s"]),
            Stage("age", "age of the observation behind each command", _seconds(behind)),
        ]
    return Trace(
        stages=tuple(stages),
        commands=len(commands),
        from_policy=int(from_policy.sum()),
        late=int((commands["late_s"] > half_s).sum()) if real_time else 0,
    )


def _chunks(reader: BagColumns) -> dict[int, _Chunk]:
    """The chunks with rows by their number; of one that came twice the last."""
    found: dict[int, _Chunk] = {}
    if not reader.topics.get(CHUNK):
        return found
    for table in reader.iterate(CHUNK, _CHUNK):
        if not table["data"].size:
            continue
        times = (table.time_ns(name).tolist() for name in ("stamp", "observed", "sent"))
        rows = zip(*times, table["inference_s"].tolist(), strict=True)
        found.update(zip(table["sequence"].tolist(), map(_Chunk._make, rows), strict=True))
    return found
