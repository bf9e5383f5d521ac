"""From recorded episodes to training arrays: which rows train, and windows of future actions."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.core.mirror import MirrorSpec
from xrollout_ros.core.modes import Source
from xrollout_ros.core.processors import Entry, Processor
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.intended import intended_actions
from xrollout_ros.episodes.journal_entry import JournalEntry
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.learning.augment.spec import AugmentSpec
from xrollout_ros.learning.frames import Frame, Frames, frames_of
from xrollout_ros.mining.verification import outcome_basis
from xrollout_ros.runtime.processors import Pipeline, process_rows


class Include(str, Enum):
    """Which episodes may train."""

    DEMONSTRATIONS = "demonstrations"
    """Successful demonstrations, and what an operator did in other attempts."""
    SUCCESSES = "successes"
    """These, and the policy's own successful attempts."""


@dataclass(frozen=True, eq=False)
class TrainingEpisode:
    """The arrays of one episode, and which rows of them train. Arrays may be mapped into memory."""

    episode_id: str
    task: str
    state: Array
    """(T, I) float64, what the policy sees: the state, after the processors."""
    action: Array
    """(T, A) float64, as sent to the robot; during a handover as the operator commanded (``episodes.intended``)."""
    usable: npt.NDArray[np.bool_]
    """(T,)"""
    policy_step: Array | None = None
    """(T,) time in policy steps, ascending; None: each row is one step."""
    ticked: npt.NDArray[np.bool_] | None = None
    """(T,) rows at which a policy with processors is asked; None: it may be asked at each."""
    frame: Frames | None = None
    """(T,) class of each row; None: all are demonstrated."""
    weight: float = 1.0
    """How much its rows count beside those of other episodes."""
    level: int = 1
    """Of the pyramid."""
    cluster: str = ""
    """Failure mode that it was collected for or shows."""
    difficulty: float | None = None
    """Of its start: share of attempts from around there that fail."""
    images: Mapping[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    """(T, H, W, 3) by camera."""

    @property
    def classes(self) -> Frames:
        """(T,) class of each row."""
        return np.full(len(self.state), Frame.DEMONSTRATION, np.uint8) if self.frame is None else self.frame

    @property
    def sampled(self) -> npt.NDArray[np.bool_]:
        """(T,) rows at which a window begins."""
        return self.usable if self.ticked is None else self.usable & self.ticked

    @property
    def rows(self) -> int:
        """Rows that train."""
        return int(self.sampled.sum())


@dataclass(frozen=True)
class TrainingSet:
    """What a policy is trained from, and what was left out."""

    robot: RobotSpec
    task: str
    """TaskSpec id."""
    episodes: tuple[TrainingEpisode, ...]
    """In order of episode id, each with at least one usable row."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Number of episodes by the reason why they don't train."""
    processors: tuple[Processor, ...] = ()
    """What was done to the states."""
    inputs: dict[str, Entry] = field(default_factory=dict)
    """Names, sizes and units of what the policy sees; empty: the robot's observations."""
    version: str = ""
    """Content hash of the manifest that it came from; empty: it came from bags."""
    augment: AugmentSpec = field(default_factory=AugmentSpec)
    """How it is to be varied while a policy trains."""
    mirror: MirrorSpec | None = None
    """How the task looks in a mirror; None: it cannot be mirrored."""

    @property
    def rows(self) -> int:
        """Rows that train."""
        return sum(episode.rows for episode in self.episodes)

    @property
    def episode_ids(self) -> list[str]:
        """Ids of the episodes, sorted."""
        return [episode.episode_id for episode in self.episodes]


def why_not(meta: EpisodeMeta, include: Include) -> str | None:
    """Why no row of an episode may train, judging by its metadata alone; None: some may.

    Evaluation episodes never train: a policy must not be judged on starts that it was trained on.
    """
    if meta.kind is EpisodeKind.EVALUATION:
        return "evaluation episodes never train"
    if meta.kind is EpisodeKind.CLIP:
        return "highlights are no attempts"
    if meta.kind is EpisodeKind.DEMONSTRATION:
        return None if meta.outcome is Outcome.SUCCESS else f"demonstration with outcome {meta.outcome.value}"
    if meta.outcome is Outcome.ABORT:
        return "aborted attempt"
    if meta.interventions or (include is Include.SUCCESSES and meta.outcome is Outcome.SUCCESS):
        return None
    if meta.outcome is Outcome.SUCCESS:
        return "successful attempt without intervention (--include successes lets these in)"
    return f"attempt with outcome {meta.outcome.value} and no intervention"


def usable_rows(meta: EpisodeMeta, source: npt.NDArray[np.uint8], include: Include) -> npt.NDArray[np.bool_]:
    """Which rows ``(T,)`` of an episode that passed ``why_not`` train.

    An operator's rows always do, whatever became of the attempt: they say what a person would have done there. The
    policy's own rows train only on request and if the attempt succeeded; holding and recovering never do, since a
    policy that learned to hold would stall.
    """
    wanted = [Source.OPERATOR]
    if include is Include.SUCCESSES and meta.outcome is Outcome.SUCCESS:
        wanted.append(Source.POLICY)
    return np.isin(source, [int(value) for value in wanted])


def policy_steps(robot: RobotSpec, stamp_s: Array) -> Array | None:
    """Time of each row in policy steps ``(T,)``; None: each row is one.

    What acts once (a delta, an effort) was sent once for each step; anything else at the control rate, or at an
    operator's own.
    """
    return None if any(dim.kind.once for dim in robot.actions) else stamp_s * robot.policy_rate_hz


def as_judged(meta: EpisodeMeta, entries: Sequence[JournalEntry]) -> EpisodeMeta:
    """An episode's metadata with the outcome that holds: a person's word counts more than the bag's own.

    A label that a program gave counts for nothing here until a person has verified it.

    Args:
        meta: what the bag says.
        entries: the journal's, about this episode.
    """
    if not entries:
        return meta
    basis = outcome_basis(meta, entries)
    return meta if basis.unverified_label else meta.model_copy(update={"outcome": basis.outcome})


def select(data: EpisodeData, meta: EpisodeMeta, include: Include) -> TrainingEpisode | str:
    """The training rows of one episode, or why there are none.

    Args:
        data: what was recorded.
        meta: what holds of it.
        include: which kinds of episode train.
    """
    reason = why_not(meta, include)
    if reason is not None:
        return reason
    frame = frames_of(meta, data.source, data.stamp_s)
    # What a person had to mend is not imitated, whatever became of the attempt.
    usable = usable_rows(meta, data.source, include) & (frame != Frame.PRE_INTERVENTION)
    if not usable.any():
        return "no row was commanded by an operator"
    action = intended_actions(data)
    if not (np.isfinite(data.state[usable]).all() and np.isfinite(action[usable]).all()):
        return "values that are not finite"
    return TrainingEpisode(
        meta.episode_id,
        meta.task,
        data.state,
        action,
        usable,
        policy_steps(data.robot, data.stamp_s),
        frame=frame,
    )


def load_training_set(
    folder: Path,
    *,
    task: str | None = None,
    include: Include = Include.DEMONSTRATIONS,
    processors: Sequence[Processor] | None = None,
) -> TrainingSet:
    """Everything in a data folder that may train.

    Args:
        folder: data folder with bags.
        task: only this task's episodes; None: there must be just one task.
        include: which kinds of episode.
        processors: what is done to the states; None: what the RobotSpec of the newest episode says.

    Raises:
        DataError: the folder is not there, nothing in it is usable (with the count of each reason), robots or tasks
            are mixed, or the processors do not fit the robot.
    """
    left_out: Counter[str] = Counter()
    mirror: MirrorSpec | None = None
    taken: list[tuple[TrainingEpisode, RobotSpec]] = []
    said: defaultdict[str, list[JournalEntry]] = defaultdict(list)
    for word in journal.read(folder / JOURNAL).entries:
        said[word.episode_id].append(word)
    for entry in find_episodes(folder):
        if entry.meta is None:
            left_out[f"unreadable: {entry.problem}"] += 1
            continue
        if task is not None and entry.meta.task != task:
            left_out[f"task {entry.meta.task}"] += 1
            continue
        meta = as_judged(entry.meta, said[entry.meta.episode_id])
        reason = why_not(meta, include)
        if reason is None:
            try:
                data = read_episode(entry.path)
            except BagError as error:
                left_out[f"unreadable: {error.what}"] += 1
                continue
            chosen = select(data, meta, include)
            if isinstance(chosen, TrainingEpisode):
                taken.append((chosen, data.robot))
                mirror = data.task.mirror if data.task is not None else None
                continue
            reason = chosen
        left_out[reason] += 1
    return processed(replace(assemble(taken, left_out, folder), mirror=mirror), processors)


def assemble(taken: Iterable[tuple[TrainingEpisode, RobotSpec]], left_out: Counter[str], folder: Path) -> TrainingSet:
    """One training set out of chosen episodes.

    Raises:
        DataError: there are none, an id comes twice, or they mix robots or tasks.
    """
    chosen = sorted(taken, key=lambda item: item[0].episode_id)
    if not chosen:
        total = sum(left_out.values())
        reasons = "; ".join(f"{count}: {reason}" for reason, count in left_out.most_common())
        raise DataError(
            f"{folder} holds no episode to train from" + (f" ({total} left out: {reasons})" if total else " (no bag)"),
            "Record demonstrations with `xrollout record --task … --operator scripted --episodes 8`.",
        )
    ids = Counter(item[0].episode_id for item in chosen)
    twice = [name for name, count in ids.items() if count > 1]
    if twice:
        raise DataError(f"{folder} holds episode {twice[0]} more than once", "Remove the copies.")
    tasks = Counter(item[0].task for item in chosen)
    if len(tasks) > 1:
        raise DataError(f"{folder} mixes tasks: {_counts(tasks)}", "Choose one with --task.")
    robots = Counter(f"{item[1].id} ({item[1].interface_hash()})" for item in chosen)
    if len(robots) > 1:
        raise DataError(
            f"{folder} mixes robots of different interfaces: {_counts(robots)}",
            "Keep the bags of each robot and each version of its RobotSpec in a folder of their own.",
        )
    return TrainingSet(chosen[-1][1], chosen[-1][0].task, tuple(item[0] for item in chosen), dict(left_out))


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name}: {count} episode{'s' * (count != 1)}" for name, count in sorted(counter.items()))


def processed(data: TrainingSet, processors: Sequence[Processor] | None) -> TrainingSet:
    """The training set as the policy will see it: each episode through the processors, tick by tick, from its start.

    Raises:
        DataError: they do not fit the robot.
    """
    robot = data.robot
    try:
        pipeline = Pipeline(robot.processors if processors is None else processors, robot)
    except ValueError as error:
        raise DataError(f"the processors do not fit robot {robot.id!r}: {error}", "Mend them.") from error
    if not pipeline.processors:
        return data
    episodes = []
    for episode in data.episodes:
        steps = np.arange(len(episode.state)) if episode.policy_step is None else episode.policy_step
        stamps = np.rint(steps * robot.policy_period_ns).astype(np.int64)
        inputs, ticked = process_rows(pipeline, robot, episode.state, stamps)
        episodes.append(replace(episode, state=inputs, ticked=ticked))
    return replace(data, episodes=tuple(episodes), processors=pipeline.processors, inputs=dict(pipeline.outputs))


def dataset_version(episodes: Sequence[TrainingEpisode]) -> str:
    """SHA-256 over each episode's id and training rows: the same version is the same data, wherever it lies."""
    digest = hashlib.sha256()
    for episode in sorted(episodes, key=lambda item: item.episode_id):
        digest.update(episode.episode_id.encode())
        digest.update(np.packbits(episode.usable).tobytes())
        digest.update(np.ascontiguousarray(episode.state[episode.usable], dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(episode.action[episode.usable], dtype="<f8").tobytes())
    return digest.hexdigest()


def split(
    episodes: Sequence[TrainingEpisode], fraction: float, seed: int
) -> tuple[list[TrainingEpisode], list[TrainingEpisode]]:
    """Whole episodes to train and to validate on; ``floor(fraction · N)`` are held out, chosen by ``seed``."""
    count = int(fraction * len(episodes))
    order = np.random.default_rng(seed).permutation(len(episodes))
    held = set(order[:count].tolist())
    return (
        [episode for index, episode in enumerate(episodes) if index not in held],
        [episode for index, episode in enumerate(episodes) if index in held],
    )
