"""Where the time went, from observation to command, as the bag of a real-time attempt tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import BagError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Source
from xrollout_ros.episodes.bag_reader import open_bag

CHUNK, COMMAND = "/xrollout/chunk", "/xrollout/command"


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


def _seconds(values: list[float]) -> npt.NDArray[np.float64]:
    return np.array(values, dtype=np.float64)


def trace(path: Path) -> Trace:
    """Stages from the sensor's stamp to the command's.

    Simulated time drives nothing by the wall clock, so a stepped attempt has only the time spent inferring.

    Args:
        path: the bag.

    Raises:
        BagError: the bag cannot be read, or has no commands.
    """
    messages: dict[str, list[Any]] = {CHUNK: [], COMMAND: []}
    for found in open_bag(path).messages([CHUNK, COMMAND]):
        messages[found.topic].append(found.message)
    commands = messages[COMMAND]
    chunks = {chunk.sequence: chunk for chunk in messages[CHUNK] if len(chunk.data)}
    if not commands:
        raise BagError(f"the bag {path} has no commands", "Trace an attempt in which the supervisor was active.")
    if not hasattr(commands[0], "accepted"):
        raise BagError(f"the bag {path} was recorded before commands carried times", "Trace a newer one.")
    accepted = {
        command.chunk_sequence: stamp_ns(command.accepted)
        for command in commands
        if command.chunk_sequence >= 0 and stamp_ns(command.accepted)
    }
    first: dict[int, Any] = {}
    for command in commands:
        if command.source == Source.POLICY:
            first.setdefault(command.chunk_sequence, command)
    real_time = bool(accepted)
    inference = Stage("inference", "in the policy network", _seconds([c.inference_s for c in chunks.values()]))
    stages = [inference]
    periods = np.diff([stamp_ns(command.stamp) for command in commands]) / 1e9
    half_s = float(np.median(periods)) / 2 if len(periods) else 0.0
    if real_time:
        taken = {sequence: chunk for sequence, chunk in chunks.items() if sequence in accepted}
        stages = [
            Stage(
                "arrival",
                "sensor's stamp to a whole observation at the policy",
                _seconds([(stamp_ns(c.observed) - stamp_ns(c.stamp)) / 1e9 for c in chunks.values()]),
            ),
            Stage(
                "answer",
                "observation to chunk sent, inference included",
                _seconds([(stamp_ns(c.sent) - stamp_ns(c.observed)) / 1e9 for c in chunks.values()]),
            ),
            inference,
            Stage(
                "transport",
                "chunk sent to chunk accepted by the supervisor",
                _seconds([(accepted[s] - stamp_ns(c.sent)) / 1e9 for s, c in taken.items()]),
            ),
            Stage(
                "acceptance",
                "sensor's stamp to chunk accepted, all of the above",
                _seconds([(accepted[s] - stamp_ns(c.stamp)) / 1e9 for s, c in taken.items()]),
            ),
            Stage(
                "first use",
                "chunk accepted to the first command from it",
                _seconds([(stamp_ns(first[s].stamp) - accepted[s]) / 1e9 for s in taken if s in first]),
            ),
            Stage("tick", "a command's scheduled time to its sending", _seconds([c.late_s for c in commands])),
            Stage(
                "age",
                "age of the observation behind each command",
                _seconds(
                    [
                        (stamp_ns(c.stamp) - stamp_ns(chunks[c.chunk_sequence].stamp)) / 1e9
                        for c in commands
                        if c.source == Source.POLICY and c.chunk_sequence in chunks
                    ]
                ),
            ),
        ]
    return Trace(
        stages=tuple(stages),
        commands=len(commands),
        from_policy=sum(command.source == Source.POLICY for command in commands),
        late=sum(command.late_s > half_s for command in commands) if real_time else 0,
    )
