"""What the bags of a deployment hold that its report shows: starts, paths, curves, times, pictures of cameras."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.clock import NS, nanoseconds
from xrollout_ros.core.errors import BagError, DataError, SpecError, XRolloutError
from xrollout_ros.core.images import Image
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import trace
from xrollout_ros.episodes.images import ImageSequence, image_topics
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.records import Record
from xrollout_ros.episodes.store import Progress
from xrollout_ros.episodes.video import encode_jpeg
from xrollout_ros.mining.signals import NotApplicableError, Signals
from xrollout_ros.mining.starts import NOT_NAMED, Axis, axes_of_starts, names_of_starts
from xrollout_ros.mining.tagging import task_today
from xrollout_ros.ui.deployment import Latency, Stage

Floats = npt.NDArray[np.float64]
READ_S, TIMED_S = 2.5, 1.0
"""How long bags are read for their starts, and for their times; what is not read then is told."""
BEFORE_S, AFTER_S = 5.0, 2.0
"""Around the moment of a failure."""
CAMERAS = 2
"""Of which the moment is shown."""
_WIDEST, _QUALITY = 480, 80
"""Of their pictures: pixels, and of 100."""


@dataclass(frozen=True)
class Path3:
    """Where hand and object were in one attempt."""

    times_s: Floats
    """(T,) from the first observation."""
    hand_m: Floats
    """(T, 3)."""
    object_m: Floats
    """(T, 3)."""


@dataclass(frozen=True)
class Curve:
    """One quantity over time."""

    name: str
    unit: str
    values: Floats
    """(T,)."""


@dataclass(frozen=True)
class Frame:
    """What a camera saw last before the moment."""

    topic: str
    jpeg: bytes
    at_s: float
    """Since the first command."""


@dataclass(frozen=True)
class Failed:
    """A failed attempt around its moment."""

    episode_id: str
    moment_s: float
    """Since the first command; of an attempt that nobody has judged its end."""
    times_s: Floats
    """(T,) since the first command."""
    distances: tuple[Curve, ...]
    """What the task looks at; none where it names nothing."""
    commands: tuple[Curve, ...]
    operated: tuple[tuple[float, float], ...]
    """Begin and end of the spans in which an operator drove, s."""
    frames: tuple[Frame, ...]


@dataclass
class Looked:
    """What was found."""

    axes: tuple[Axis, ...] = ()
    starts: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """By episode: (K,) what was observed first of what describes a start."""
    paths: dict[str, Path3] = field(default_factory=dict)
    """Of those that were asked for."""
    failed: list[Failed] = field(default_factory=list)
    latency: Latency | None = None
    read: int = 0
    """Bags."""
    notes: list[str] = field(default_factory=list)


def look_into(
    records: Sequence[Record],
    failed: Sequence[str],
    paths: Sequence[str],
    progress: Progress = lambda done, total: None,
) -> Looked:
    """Read bags, not more than fit into some seconds; what is read of many is spread evenly over them.

    Args:
        records: the attempts and demonstrations, in the order made.
        failed: episodes to show around their moment.
        paths: episodes whose paths are wanted.
        progress: told how many of how many are read.
    """
    found, until_s = Looked(), time.monotonic() + READ_S
    wanted = dict.fromkeys([*failed, *paths])
    by_id = {record.meta.episode_id: record for record in records}
    order = [by_id[name] for name in wanted if name in by_id]
    order += [records[index] for index in spread(len(records)) if records[index].meta.episode_id not in wanted]
    names: tuple[str, ...] | None = None
    recorded, today = None, None
    problems: dict[str, int] = {}
    for number, record in enumerate(order):
        name = record.meta.episode_id
        if name not in wanted and time.monotonic() > until_s:
            break
        progress(number, len(order))
        try:
            episode = read_episode(record.path, allow_empty=True)
            if episode.task != recorded:
                recorded, today = episode.task, task_today(episode.task)
            episode = replace(episode, task=today)
            if names is None and episode.task is not None:
                names = _names(episode, episode.task, found)
            _start(episode, names or (), found)
            if name in paths and (path := _path(episode)) is not None:
                found.paths[name] = path
            if name in failed:
                found.failed.append(_around(episode, record))
            found.read += 1
        except (XRolloutError, OSError) as error:
            problems[str(error)] = problems.get(str(error), 0) + 1
    found.notes += [f"{count} of the bags could not be looked into: {why}" for why, count in problems.items()]
    if found.read < len(order) - sum(problems.values()):
        found.notes.append(f"starts are those of {found.read} of the {len(order)} episodes, spread evenly over them")
    found.latency = _latency([record for record in records if record.meta.kind.rated])
    return found


def spread(count: int) -> Iterator[int]:
    """Numbers below ``count``, each once, so that the first few of them lie evenly (van der Corput)."""
    bits = max(1, (count - 1).bit_length())
    for number in range(1 << bits):
        mirrored = int(f"{number:0{bits}b}"[::-1], 2)
        if mirrored < count:
            yield mirrored


def _names(episode: EpisodeData, task: TaskSpec, found: Looked) -> tuple[str, ...]:
    try:
        names = names_of_starts(task, episode.robot)
    except SpecError as error:
        found.notes.append(f"nothing can be said of starts: {error.what}")
        return ()
    if not names:
        found.notes.append(f"nothing can be said of starts: {NOT_NAMED}")
    found.axes = axes_of_starts(names, episode.robot)
    return names


def _start(episode: EpisodeData, names: Sequence[str], found: Looked) -> None:
    slices = episode.robot.state_slices()
    if not names or not len(episode) or any(name not in slices for name in names):
        return
    values = np.concatenate([episode.state[0, slices[name]] for name in names])
    if len(values) == len(found.axes) and np.isfinite(values).all():
        found.starts[episode.meta.episode_id] = tuple(map(float, values))


def _path(episode: EpisodeData) -> Path3 | None:
    reach = episode.task.reach if episode.task is not None else None
    slices = episode.robot.state_slices()
    if reach is None or not len(episode) or reach.hand not in slices or reach.object not in slices:
        return None
    hand, thing = episode.state[:, slices[reach.hand]], episode.state[:, slices[reach.object]]
    if (hand.shape[1], thing.shape[1]) != (3, 3) or not np.isfinite([hand, thing]).all():
        return None
    return Path3(episode.stamp_s, hand, thing)


# --- around a failure -----------------------------------------------------------------------------------------------


def _around(episode: EpisodeData, record: Record) -> Failed:
    times_s, judgements = episode.stamp_s, record.effective.judgements
    end_s = float(times_s[-1]) if len(times_s) else record.meta.duration_s
    moment_s = judgements[0].moment_s if judgements else end_s
    rows = (times_s >= moment_s - BEFORE_S) & (times_s <= moment_s + AFTER_S)
    spans = tuple((span.begin_s, span.end_s) for span in record.meta.interventions)
    return Failed(
        episode_id=record.meta.episode_id,
        moment_s=moment_s,
        times_s=times_s[rows],
        distances=tuple(replace(each, values=each.values[rows]) for each in _distances(Signals(episode))),
        commands=tuple(
            Curve(dim.name, dim.unit, episode.action[rows, column]) for column, dim in enumerate(episode.robot.actions)
        ),
        operated=spans,
        frames=tuple(_frames(episode, moment_s)),
    )


def _distances(signals: Signals) -> Iterator[Curve]:
    """What the failure rules look at, as far as the task names it."""
    wanted: tuple[tuple[str, str, Callable[[], Floats]], ...] = (
        ("hand to object", "m", lambda: signals.apart_m),
        ("object to goal", "m", lambda: signals.to_goal_m),
    )
    for name, unit, values in wanted:
        try:
            yield Curve(name, unit, values())
        except (NotApplicableError, SpecError):
            continue


def _frames(episode: EpisodeData, moment_s: float) -> Iterator[Frame]:
    moment_ns = episode.start_ns + nanoseconds(moment_s)
    for topic in sorted(image_topics(episode.bag))[:CAMERAS]:
        try:
            images = ImageSequence(episode.bag, topic)
            number = int(np.searchsorted(images.stamps_ns, moment_ns, side="right")) - 1
            if number >= 0:
                at_s = (int(images.stamps_ns[number]) - episode.start_ns) / NS
                yield Frame(topic, encode_jpeg(_smaller(images[number]), _QUALITY), at_s)
        except (BagError, DataError):
            continue  # the figures of the attempt are worth showing without it


def _smaller(image: Image) -> Image:
    """Every n-th pixel of one that is wider than is shown."""
    step = -(-image.shape[1] // _WIDEST)
    return image[::step, ::step]


# --- times ----------------------------------------------------------------------------------------------------------


def _latency(records: Sequence[Record]) -> Latency | None:
    """Of as many attempts as can be read in time, spread evenly; none: nothing was measured."""
    until_s, found = time.monotonic() + TIMED_S, []
    for index in spread(len(records)):
        if time.monotonic() > until_s:
            break
        try:
            found.append((records[index].meta.episode_id, trace.trace(records[index].path)))
        except (BagError, OSError):
            continue  # an attempt without a command, or by an older version
    stages = []
    for name in dict.fromkeys(stage.name for _, each in found for stage in each.stages):
        own = [(episode, stage) for episode, each in found for stage in each.stages if stage.name == name]
        own = [(episode, stage) for episode, stage in own if len(stage.seconds)]
        if not own:
            continue
        seconds = np.concatenate([stage.seconds for _, stage in own])
        worst = max(own, key=lambda each: float(each[1].seconds.max()))
        stages.append(
            Stage(
                name=name,
                meaning=own[0][1].meaning,
                count=len(seconds),
                p50_s=float(np.percentile(seconds, 50)),
                p99_s=float(np.percentile(seconds, 99)),
                longest_s=float(seconds.max()),
                longest_in=worst[0],
            )
        )
    if not stages:
        return None
    return Latency(
        episodes=len(found),
        commands=sum(each.commands for _, each in found),
        from_policy=sum(each.from_policy for _, each in found),
        late=sum(each.late for _, each in found),
        stages=tuple(stages),
    )
