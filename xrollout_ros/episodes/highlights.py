"""Saves what happened last as a clip: a bag of its own, written while everything else goes on."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from xrollout_ros import __version__
from xrollout_ros.core.clock import NS, Clock, nanoseconds, seconds
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, TopicCount
from xrollout_ros.core.errors import BagError, XRolloutError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.bag_file import BagFile, BagSummary
from xrollout_ros.episodes.mcap_file import disk_error
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.episodes.ring import Kept, Ring, Tap

MOST_AT_ONCE = 4
"""Clips being saved: each holds on to messages that the ring would let go."""
ENCODE_TIMEOUT_S = 5.0
_POLLED_S = 0.05
"""Until a message that has come is surely taken."""
_TURN_S = 0.05
_SPARE = 1.1
"""A clip needs this much of its payload on the disk, at most."""


@dataclass(frozen=True)
class Clip:
    """How a save went."""

    path: Path | None
    """Its bag; none: it failed."""
    lasted_s: float = 0.0
    messages: int = 0
    lost: int = 0
    problem: str = ""
    """Why it failed; empty: it did not."""

    def __str__(self) -> str:
        if self.path is None:
            return self.problem
        lost = f", {self.lost} lost" if self.lost else ""
        return f"{self.lasted_s:.1f} s, {self.messages} messages{lost}: {self.path}"


class _ClipBag:
    """Writes in the thread that calls it: a save has a thread of its own and may wait for the disk."""

    def __init__(self, file: BagFile, topics: Sequence[RecordedTopic]) -> None:
        self._file = file
        self._topics = {made.name: made for topic in topics for made in topic.in_bag()}

    def write(self, kept: Kept) -> None:
        """Write one message; not flushed or synced before the end: a torn clip is of no use to anybody."""
        self._file.write(self._topics[kept.topic], kept.cdr, kept.log_time_ns)

    def finish(self, meta: EpisodeMeta, lost: Mapping[str, int]) -> BagSummary:
        """Write the rest; ``lost`` is what found no room on its way, by topic."""
        counts = {
            name: TopicCount(received=topic.written, lost=lost.get(name, 0)) for name, topic in self._topics.items()
        }
        return self._file.finish(meta.model_copy(update={"topics": counts}), list(self._topics.values()))


class Highlights:
    """Saves the ring as clips, each from a thread of its own.

    A save takes references and copies nothing, so it delays nobody; meanwhile the messages that it still has to write
    stay in memory although the ring lets them go.
    """

    def __init__(
        self,
        data: Path,
        ring: Ring,
        clock: Clock,
        robot: RobotSpec,
        task: TaskSpec,
        topics: Sequence[RecordedTopic],
        *,
        stepped: bool,
        encoded: Callable[[], Sequence[threading.Event]],
    ) -> None:
        """
        Args:
            data: the data folder.
            ring: what is saved.
            clock: the machine's.
            robot: kept in every clip, as is ``task``.
            task: see ``robot``.
            topics: all that the ring may hold.
            stepped: whether receive times are simulated time.
            encoded: gives events that are set when all images that have come are in the ring.
        """
        self.problem = ""
        """Why the last save failed; empty: it did not."""
        self.last_saved: Path | None = None
        self._data, self._ring, self._clock, self._stepped = data, ring, clock, stepped
        self._robot, self._task, self._topics, self._encoded = robot, task, topics, encoded
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def saving(self) -> int:
        """Clips being saved."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            return len(self._threads)

    def save(self, about: Mapping[str, Any], after_s: float, done: Callable[[Clip], None]) -> None:
        """Save all that the ring holds and what comes within ``after_s``; at once.

        Args:
            about: fields of the clip's :class:`EpisodeMeta` that are known.
            after_s: how long it goes on, s.
            done: told once how it went, from a thread.

        Raises:
            BagError: the ring is empty, or too many clips are being saved; nothing was begun.
        """
        if not self._ring.messages:
            raise BagError("the ring is empty: no message has come yet", "Start what publishes, then save again.")
        if self.saving >= MOST_AT_ONCE:
            raise BagError(f"{MOST_AT_ONCE} highlights are being saved already", "Wait until one of them is done.")
        now_ns = self._ring.newest_ns if self._stepped else self._clock.wall_ns()
        tap = self._ring.tap(self._ring.newest_ns - nanoseconds(self._ring.keep_s))
        tap.end(now_ns + nanoseconds(after_s))
        meta = self._meta(about, after_s)
        thread = threading.Thread(
            target=self._run, args=(meta, tap, after_s, done), name=f"clip {meta.episode_id}", daemon=True
        )
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing is being saved; whether that is so."""
        deadline_ns = self._clock.steady_ns() + nanoseconds(timeout_s)
        for thread in list(self._threads):
            thread.join(max(0.0, seconds(deadline_ns - self._clock.steady_ns())))
        return not self.saving

    def _meta(self, about: Mapping[str, Any], after_s: float) -> EpisodeMeta:
        now = datetime.fromtimestamp(self._clock.wall_ns() / NS, tz=timezone.utc)
        known: dict[str, Any] = {
            "start": "",
            **about,
            "episode_id": new_id(),
            "kind": EpisodeKind.CLIP,
            "task": self._task.id,
            "robot": self._robot.id,
            "software_version": __version__,
            "parameters": {**about.get("parameters", {}), "before_s": self._ring.keep_s, "after_s": after_s},
            "started_at": now.isoformat(timespec="milliseconds"),
        }
        return EpisodeMeta.model_validate(known)

    def _run(self, meta: EpisodeMeta, tap: Tap, after_s: float, done: Callable[[Clip], None]) -> None:
        try:
            clip = self._save(meta, tap, after_s)
        except (XRolloutError, OSError) as error:
            clip = Clip(None, problem=f"the highlight was not saved: {error}")
        finally:
            self._ring.untap(tap)
        self.last_saved, self.problem = clip.path or self.last_saved, clip.problem
        done(clip)

    def _save(self, meta: EpisodeMeta, tap: Tap, after_s: float) -> Clip:
        begun_ns = self._clock.steady_ns()
        entries = tap.backlog()
        self._check_disk(sum(len(kept.cdr) for kept in entries))
        begin_ns = min((kept.log_time_ns for kept in entries), default=tap.begin_ns)
        file = self._open(paths.episode_dir(self._data, meta), meta)
        try:
            bag = _ClipBag(file, self._topics)
            for topic, cdr in tap.standing.items():
                bag.write(Kept(topic, cdr, begin_ns))
            while entries:
                bag.write(entries.popleft())
            self._follow(tap, bag, begun_ns, after_s)
            end_ns = min(tap.until_ns or 0, self._ring.newest_ns)
            lasted_s = max(0.0, seconds(end_ns - begin_ns))
            summary = bag.finish(meta.model_copy(update={"duration_s": lasted_s}), tap.dropped)
        except BaseException as error:
            # Leave nothing half-written, least of all on a full disk.
            file.abandon()
            shutil.rmtree(file.directory, ignore_errors=True)
            if isinstance(error, (OSError, RuntimeError)):
                raise disk_error(file.path, file.error or error) from error
            raise
        return Clip(summary.path, lasted_s, summary.messages, summary.lost)

    def _open(self, directory: Path, meta: EpisodeMeta) -> BagFile:
        # Images of a real camera hardly shrink, and a clip should be there at once.
        compress = self._stepped or not any(topic.raw_images for topic in self._topics)
        return BagFile(
            directory, directory.name, meta, self._clock, self._robot, self._task, compress=compress, at_once=True
        )

    def _follow(self, tap: Tap, bag: _ClipBag, begun_ns: int, after_s: float) -> None:
        """Write what comes until the clip's end, and the images that were being encoded then."""
        ends_ns = begun_ns + nanoseconds(after_s + _POLLED_S if after_s else 0.0)
        while self._clock.steady_ns() < ends_ns:
            if self._stepped and self._ring.newest_ns > (tap.until_ns or 0):
                break
            for kept in tap.take(_TURN_S):
                bag.write(kept)
        deadline_ns = self._clock.steady_ns() + nanoseconds(ENCODE_TIMEOUT_S)
        for event in self._encoded():
            event.wait(max(0.0, seconds(deadline_ns - self._clock.steady_ns())))
        self._ring.untap(tap)
        for kept in tap.take(0.0):
            bag.write(kept)

    def _check_disk(self, payload: int) -> None:
        free = paths.disk_free(self._data)
        if free < payload * _SPARE:
            raise BagError(
                f"the highlight needs {payload * _SPARE / 1e6:.0f} MB in {self._data}, there are {free / 1e6:.0f}",
                "Free space there; attempts must not lose theirs to a highlight.",
            )
