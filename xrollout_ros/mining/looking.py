"""Reads what mining needs of each bag: from where the attempt started, and what it was like up to its failure."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.catalog.workers import served
from xrollout_ros.mining.attempts import Row

Progress = Callable[[int, int], None]
"""Told how many of how many are done."""
ALONE = 800
"""So few are read quicker than processes start: 500 take 2 s."""


@dataclass(frozen=True)
class Look:
    """What one bag holds."""

    start: tuple[float, ...] | None = None
    """(K,) what was observed first of what describes a start; none where nothing was observed."""
    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    """Descriptors, where they were asked for."""
    problem: str = ""
    """Why it cannot be read; empty: it can."""


def look_into(
    data: Path,
    rows: Sequence[Row],
    starts: Sequence[str],
    task: TaskSpec | None,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, Look]:
    """What the bags of these episodes hold, by episode id; descriptors of failures alone.

    Args:
        data: the data folder.
        rows: the episodes.
        starts: observations that describe a start, in order.
        task: the TaskSpec to describe them by; none: each bag's own.
        workers: processes; 0: one for each processor core, and none for a few bags.
        progress: told how far it is.
    """
    asked: list[dict[str, Any]] = [
        {"id": row.episode_id, "path": row.path, "describe": row.failed, "moment_s": row.failure_moment_s}
        for row in rows
    ]
    if not workers and len(asked) > ALONE:
        workers = len(os.sched_getaffinity(0))
    found: dict[str, Look] = {}
    for request, answer in _answers(data, asked, tuple(starts), task, workers):
        found[request["id"]] = answer
        if progress is not None:
            progress(len(found), len(asked))
    return found


def _answers(
    data: Path, asked: Sequence[dict[str, Any]], starts: tuple[str, ...], task: TaskSpec | None, workers: int
) -> Iterator[tuple[dict[str, Any], Look]]:
    if not workers:
        yield from ((request, look(data, request, starts, task)) for request in asked)
        return
    how = json.dumps({"starts": starts, "task": None if task is None else task.model_dump(mode="json")})
    for request, answer in served([sys.executable, "-m", __name__, str(data), how], asked, workers):
        if answer is None:
            yield request, Look(problem="reading it ended the process that did")
        else:
            yield request, _of_json(answer)


def _of_json(answer: dict[str, Any]) -> Look:
    start = answer["start"]
    known = None if start is None else tuple(start)
    return Look(known, tuple(answer["names"]), tuple(answer["values"]), answer["problem"])


def look(data: Path, request: dict[str, Any], starts: tuple[str, ...], task: TaskSpec | None) -> Look:
    """What one bag holds; a problem never raises."""
    from xrollout_ros.episodes.reader import read_episode
    from xrollout_ros.mining.descriptors import descriptors

    try:
        episode = read_episode(data / request["path"], allow_empty=True)
        if task is not None:
            episode = replace(episode, task=task)
        if not np.isfinite(episode.state).all():
            return Look(problem=f"{request['path']} holds observations that are not finite")
        slices = episode.robot.state_slices()
        start = None
        if len(episode) and all(name in slices for name in starts):
            start = tuple(float(value) for name in starts for value in episode.state[0, slices[name]])
        if not request["describe"]:
            return Look(start)
        described = descriptors([episode], [request["moment_s"]])
        return Look(start, described.names, tuple(map(float, described.values[0])))
    except (XRolloutError, OSError) as error:
        return Look(problem=str(error))


def main() -> None:
    """``python -m xrollout_ros.mining.looking DATA HOW``: requests as JSON in, looks as JSON out, line by line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks, and ends this by asking no more
    data, how = Path(sys.argv[1]), json.loads(sys.argv[2])
    task = None if how["task"] is None else TaskSpec.model_validate_json(json.dumps(how["task"]))
    for line in sys.stdin:
        print(json.dumps(asdict(look(data, json.loads(line), tuple(how["starts"]), task))), flush=True)


if __name__ == "__main__":
    main()
