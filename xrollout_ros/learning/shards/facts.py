"""What is measured of an episode when its bag is read, and kept with its rows: gates and scores need no bag."""

from __future__ import annotations

import hashlib
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.document import Strict
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.reader import COMMAND_TOPIC, EpisodeData
from xrollout_ros.learning.runs import runs
from xrollout_ros.learning.shards.smoothness import spectral_arc_length
from xrollout_ros.mining.rules import Scene, make_rules
from xrollout_ros.mining.signals import NotApplicableError

VERSION = 4
"""Raised when something is measured otherwise: bags are then read again."""
HOLE = 5.0
"""Periods without a row after which the next one does not go on from the last: no window of actions reaches over it."""
STILL = 0.02
"""Of half an action's range: what is commanded below this is no motion."""
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Floats = npt.NDArray[np.float64]


class CameraFacts(Strict):
    """One camera, as its images were kept in the shard."""

    images: Count
    from_row: Count = Field(description="first row by which there was an image")
    gap_s: Number = Field(description="longest time without a new image")
    frozen_s: Number = Field(description="longest time in which the images were exactly the same")
    blank_share: Number = Field(description="share of the images that show nothing: all pixels alike")


class Facts(Strict):
    """Of one episode. What cannot be known is none."""

    duration_s: Number = Field(description="from the first row to the last")
    not_finite: Count = Field(description="rows with a value that is not finite")
    out_of_order: Count = Field(description="rows whose stamp or step is not above that of the row before")
    period_s: Number = Field(description="median time between two rows")
    gap: Number = Field(description="longest time between two rows of one kept part, in periods")
    idle_s: Number = Field(description="longest time in the middle in which an operator drove and commanded no motion")
    regrasps: Count | None = Field(description="times that the object was lost and taken again")
    clipped_share: Number = Field(
        description="share of an operator's rows that a limit changed; without one of a policy's"
    )
    lost_share: Number = Field(description="share of messages that never came, of the observed topic with the most")
    recovery_s: Number = Field(description="time that a recovery policy drove")
    sparc: Number | None = Field(description="spectral arc length of the hand's speed while an operator drove")
    cameras: dict[str, CameraFacts] = Field(default_factory=dict)


def version_of(task: TaskSpec | None) -> str:
    """Of what is measured, and of the TaskSpec that it is measured by."""
    said = "" if task is None else f"{task.reach!r}{task.tagging!r}"
    return f"{VERSION}:{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def measure(episode: EpisodeData) -> Facts:
    """Measure an episode with at least one row; its TaskSpec is the one to judge by.

    Raises:
        SpecError: the TaskSpec does not fit the robot.
    """
    stamps, count = episode.stamp_s, len(episode)
    steps = np.diff(stamps)
    period_s = float(np.median(steps)) if count > 1 else 0.0
    finite = np.isfinite(episode.state).all(axis=1) & np.isfinite(episode.action).all(axis=1)
    operator = episode.source == Source.OPERATOR
    # A handover changes every value on purpose, so that the robot does not jump.
    driven = (operator if operator.any() else episode.source == Source.POLICY) & (episode.mode != Mode.HANDOVER)
    return Facts(
        duration_s=float(stamps[-1]),
        not_finite=int(np.count_nonzero(~finite)),
        out_of_order=int(np.count_nonzero((steps <= 0) | (np.diff(episode.step) <= 0))),
        period_s=period_s,
        gap=longest_gap(steps, episode.meta) / period_s if period_s > 0 else 0.0,
        idle_s=longest_idle_s(episode.robot, episode.action, operator, stamps),
        regrasps=_regrasps(episode) if finite.all() else None,
        clipped_share=float(episode.clipped[driven].any(axis=1).mean()) if driven.any() else 0.0,
        lost_share=lost_share(episode.meta, episode.robot),
        recovery_s=_seconds(episode.source == Source.RECOVERY, stamps, period_s),
        sparc=_smoothness(episode, operator, period_s) if finite.all() else None,
    )


def longest_gap(steps: Floats, meta: EpisodeMeta) -> float:
    """Longest time between two rows, s; where a bag keeps only parts of an attempt, what lies between them is none."""
    parts = len(meta.kept) if meta.kept else 1
    return float(np.sort(steps)[::-1][parts - 1]) if len(steps) >= parts else 0.0


def longest_idle_s(robot: RobotSpec, action: Floats, operator: npt.NDArray[np.bool_], stamps: Floats) -> float:
    """Longest time in which an operator drove and commanded no motion, s; the beginning and the end are not looked at.

    Args:
        robot: says what commands no motion: a small delta, velocity or effort; a position or gripper as before.
        action: ``(T, A)``.
        operator: ``(T,)`` whether an operator drove.
        stamps: ``(T,)`` s.
    """
    moving = ~operator
    for index, dim in enumerate(robot.actions):
        values = action[:, index]
        reach = STILL * (dim.upper - dim.lower) / 2
        changed = np.zeros(len(values), dtype=bool)
        if dim.kind in (ActionKind.POSITION, ActionKind.GRIPPER):
            # So slow a drift is still motion: it is compared with the rows of a while before, not with the last one.
            changed[1:] = np.abs(np.diff(values)) > reach / 50
        else:
            changed = np.abs(values) > reach
        moving |= changed
    longest = 0.0
    for begin, end in runs(~moving):
        if begin > 0 and end < len(moving):
            longest = max(longest, float(stamps[end] - stamps[begin]))
    return longest


def lost_share(meta: EpisodeMeta, robot: RobotSpec) -> float:
    """Share of messages that never came, of the topic with the most, among the observations and the commands."""
    wanted = {entry.topic for entry in robot.observations} | {COMMAND_TOPIC}
    shares = [
        counts.lost / (counts.lost + counts.received)
        for topic, counts in meta.topics.items()
        if topic in wanted and counts.lost
    ]
    return max(shares, default=0.0)


def _regrasps(episode: EpisodeData) -> int | None:
    """None: the TaskSpec does not say what hand and object are."""
    task = episode.task
    if task is None:
        return None
    scene = Scene(episode, make_rules(task.tagging)[1])
    try:
        return sum(any(later.begin > lost.end for later in scene.takes) for lost in scene.losses)
    except NotApplicableError:
        return None


def _seconds(rows: npt.NDArray[np.bool_], stamps: Floats, period_s: float) -> float:
    return sum(float(stamps[end - 1] - stamps[begin]) + period_s for begin, end in runs(rows))


def _smoothness(episode: EpisodeData, operator: npt.NDArray[np.bool_], period_s: float) -> float | None:
    """Of the longest stretch that an operator drove; None: the TaskSpec names no hand, or it did not move."""
    task = episode.task
    slices = episode.robot.state_slices()
    if task is None or task.reach is None or task.reach.hand not in slices or not operator.any():
        return None
    begin, end = max(runs(operator), key=lambda run: run[1] - run[0])
    hand = episode.state[begin:end, slices[task.reach.hand]]
    stamps = episode.stamp_s[begin:end]
    if len(hand) < 5 or period_s <= 0:
        return None
    even = np.arange(stamps[0], stamps[-1], period_s)
    resampled = np.stack([np.interp(even, stamps, values) for values in hand.T], axis=1)
    speed = np.linalg.norm(np.diff(resampled, axis=0), axis=1) / period_s
    found = spectral_arc_length(speed, period_s)
    return None if np.isnan(found) else found
