"""Reads bags into shards, in processes of their own: a bag that kills one is named, and the others go on."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.catalog.workers import served
from xrollout_ros.episodes.intended import intended_actions
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.learning.shards.facts import CameraFacts, measure, version_of
from xrollout_ros.learning.shards.images import NoImagesError, images_at_rows
from xrollout_ros.learning.shards.index import Origin
from xrollout_ros.learning.shards.layout import CAMERA
from xrollout_ros.learning.shards.store import NO_IMAGES, UNREADABLE, Problem
from xrollout_ros.learning.shards.writer import DiskError, ReadEpisode, write_shard
from xrollout_ros.mining.tagging import task_today

SHARD_BYTES = 256 * 2**20
"""A shard is written when its episodes are so large together: so much is in a worker's memory."""
MOST_BAGS, FEWEST_BAGS = 64, 4
"""In one request: it is what a kill makes the next build read again, and what a shard holds."""
KILLED = "reading it ended the process that did"
Progress = Callable[[int, int], None]
"""Told how many bags of how many are done."""
Size = tuple[int, int]


class TaskToday:
    """:func:`task_today`, asked once for each TaskSpec: it reads a file, which takes longer than a bag."""

    def __init__(self) -> None:
        self._known: dict[str, TaskSpec] = {}

    def __call__(self, recorded: TaskSpec | None) -> TaskSpec | None:
        if recorded is None:
            return None
        text = recorded.model_dump_json()
        if text not in self._known:
            self._known[text] = task_today(recorded) or recorded
        return self._known[text]


@dataclass(frozen=True)
class Wanted:
    """A bag to be read."""

    path: str
    """Below the data folder."""
    bytes: int
    mtime_ns: int


@dataclass
class Filled:
    """What came of it."""

    read: int = 0
    """Episodes that are in shards now."""
    problems: dict[str, Problem] = field(default_factory=dict)
    """Why a bag could not be read, by path."""
    killed: list[str] = field(default_factory=list)
    """Those among them that ended their process."""


def fill(
    store: Path,
    data: Path,
    bags: Sequence[Wanted],
    *,
    cameras: Size | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Filled:
    """Read bags into shards.

    Args:
        store: folder of the shards; it is there.
        data: the data folder.
        bags: to be read.
        cameras: height and width at which images are kept; None: none are.
        workers: processes; 0: this one, which a bag may end.
        progress: told how far it is.

    Raises:
        DiskError: the disk refuses; shards that are whole stay.
    """
    filled, done = Filled(), 0
    share = math.ceil(len(bags) / max(1, 4 * workers))
    size = min(MOST_BAGS, max(FEWEST_BAGS, share))
    again: list[list[dict[str, Any]]] = []
    asked = [[vars(each) for each in bags[begin : begin + size]] for begin in range(0, len(bags), size)]
    for turn in (0, 1):
        for request, answer in _answers(store, data, asked, cameras, workers):
            if answer is None and turn == 0 and len(request) > 1:
                again += [[each] for each in request]  # alone, so that it is known which one it was
                continue
            if answer is None:
                filled.killed += [each["path"] for each in request]
                filled.problems.update({each["path"]: Problem(UNREADABLE, KILLED) for each in request})
            elif "full" in answer:
                raise DiskError(*answer["full"])
            else:
                filled.read += answer["read"]
                filled.problems.update({path: Problem(*found) for path, found in answer["problems"].items()})
            done += len(request)
            if progress is not None:
                progress(done, len(bags))
        asked = again
    return filled


def _answers(
    store: Path, data: Path, asked: Sequence[list[dict[str, Any]]], cameras: Size | None, workers: int
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any] | None]]:
    if not workers:
        today = TaskToday()
        yield from ((request, _answer(store, data, request, cameras, today)) for request in asked)
        return
    command = [sys.executable, "-m", __name__, str(store), str(data), json.dumps(cameras)]
    yield from served(command, asked, min(workers, len(asked)))


def _answer(
    store: Path, data: Path, request: Sequence[Mapping[str, Any]], cameras: Size | None, today: TaskToday
) -> dict[str, Any]:
    """Read the bags of a request and write their shards; nothing but a full disk stops it."""
    problems: dict[str, Problem] = {}
    parts: dict[object, list[ReadEpisode]] = {}
    read = 0
    try:
        for each in request:
            try:
                episode = read_for_shard(data, Wanted(**each), cameras, today)
            except (XRolloutError, OSError) as error:
                reason = NO_IMAGES if isinstance(error, NoImagesError) else UNREADABLE
                problems[each["path"]] = Problem(reason, error.what if isinstance(error, XRolloutError) else str(error))
                continue
            # Arrays of one shard have one width, and the same cameras.
            kind = (episode.robot.interface_hash(), tuple(sorted(episode.rows)))
            part = parts.setdefault(kind, [])
            part.append(episode)
            read += 1
            if sum(held.bytes for held in part) >= SHARD_BYTES:
                write_shard(store, part)
                del parts[kind]
        for part in parts.values():
            write_shard(store, part)
    except DiskError as error:
        return {"full": [error.what, error.remedy]}
    return {"read": read, "problems": problems}


def read_for_shard(data: Path, bag: Wanted, cameras: Size | None, today: TaskToday) -> ReadEpisode:
    """One bag's rows, and what is measured of them.

    Raises:
        BagError: it cannot be read, or a camera was not recorded.
        SpecError: its TaskSpec does not fit its robot.
        DataError: an image is encoded in a way not known.
    """
    episode = read_episode(data / bag.path)
    episode = replace(episode, task=today(episode.task))
    rows: dict[str, Any] = {
        "state": episode.state,
        "action": intended_actions(episode),
        "stamp_s": episode.stamp_s,
        "source": episode.source,
    }
    seen: dict[str, CameraFacts] = {}
    if cameras is not None:
        for camera in episode.robot.cameras:
            rows[f"{CAMERA}{camera.name}"], seen[camera.name] = images_at_rows(episode, camera, cameras)
    facts = measure(episode)
    return ReadEpisode(
        meta=episode.meta,
        origin=Origin(bytes=bag.bytes, mtime_ns=bag.mtime_ns, facts=version_of(episode.task)),
        robot=episode.robot,
        task=episode.task,
        rows=rows,
        facts=facts.model_copy(update={"cameras": seen}),
    )


def main() -> None:
    """``python -m xrollout_ros.learning.shards.filling STORE DATA SIZE``: bags as JSON in, answers out, by lines."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks, and ends this by asking no more
    store, data, cameras = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    size = None if cameras is None else (int(cameras[0]), int(cameras[1]))
    today = TaskToday()
    for line in sys.stdin:
        print(json.dumps(_answer(store, data, json.loads(line), size, today)), flush=True)


if __name__ == "__main__":
    main()
