"""What an attempt was like up to its failure, as one row of numbers: how the robot answered, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.response import RESPONSE, response
from xrollout_ros.mining.rules import Scene, make_rules
from xrollout_ros.mining.signals import Floats, NotApplicableError

SAMPLES = 12
"""Points of the resampled curves of a robot whose task names no hand and no object."""
AFTER_S = 0.25
"""What happened so soon after the moment belongs to it: a failure takes its time to show."""
EVENTS = {
    "takes": 0.5,
    "losses": 0.5,
    "progress": 0.2,
    "apart_min_m": 0.01,
    "first_place_m": 0.02,
    "object_moved_alone_m": 0.01,
    "stuck_s": 0.1,
}
"""Name of an event: the difference that is worth telling apart.

``progress``: share of the object's way to the goal that was made with the hand, ``first_place_m``: how near the hand
came to where the object had been at first, ``object_moved_alone_m``: farthest in 0.1 s before the hand had it.
"""


@dataclass(frozen=True)
class Descriptors:
    """Rows of numbers, one for each episode."""

    names: tuple[str, ...]
    values: Floats
    """(N, K), units as named."""

    @property
    def resolution(self) -> Floats:
        """(K,) See :func:`resolution_of`."""
        return resolution_of(self.names)


def descriptors(episodes: Sequence[EpisodeData], moments_s: Sequence[float | None]) -> Descriptors:
    """Describe episodes of one task and robot: what happened up to a moment, and how the robot answered at all.

    How it follows what it is told takes more rows to measure than an early failure leaves, and is no consequence of the
    failure: that is of the whole attempt.

    Args:
        episodes: what was recorded.
        moments_s: the alarm or failure of each, s since its start; none: its end.

    Raises:
        DataError: there is none, the numbers do not match, or they are of several tasks or robots.
        SpecError: a TaskSpec does not fit its robot.
    """
    if not episodes or len(episodes) != len(moments_s):
        raise DataError(f"{len(episodes)} episodes with {len(moments_s)} moments", "Give one moment for each episode.")
    kinds = {(episode.meta.task, episode.meta.robot) for episode in episodes}
    if len(kinds) > 1:
        raise DataError(
            f"episodes of several tasks or robots: {', '.join('/'.join(kind) for kind in sorted(kinds))}",
            "Describe those of one task and robot at a time.",
        )
    rows = [_describe(episode, moment_s) for episode, moment_s in zip(episodes, moments_s, strict=True)]
    names = tuple(rows[0])
    return Descriptors(names, np.array([[row[name] for name in names] for row in rows]))


def resolution_of(names: Sequence[str]) -> Floats:
    """(K,) differences that are worth telling apart, in the unit of each descriptor; 0: any."""
    known = EVENTS | RESPONSE
    return np.array([known.get(name, 0.0) for name in names])


def _describe(episode: EpisodeData, moment_s: float | None) -> dict[str, float]:
    _, handling = make_rules(episode.task.tagging if episode.task is not None else TaggingSpec())
    scene = Scene(episode, handling)
    try:
        where, events = scene.hand, _events(scene, moment_s)
    except NotApplicableError:
        where, events = episode.state[:, : episode.robot.action_dim], _curves(scene, moment_s)
    return response(_told(episode), where, scene.rows(1.0)) | events


def _last(scene: Scene, until_s: float | None) -> int:
    """The last row that counts."""
    last = len(scene) - 1 if until_s is None else int(np.searchsorted(scene.time_s, until_s, side="right")) - 1
    return min(max(last, 0), max(len(scene) - 1, 0))


def _told(episode: EpisodeData) -> Floats:
    """(T, A) what the commands asked for per step, as a share of what is allowed; without fingers."""
    columns = []
    for index, dim in enumerate(episode.robot.actions):
        if dim.kind is ActionKind.GRIPPER:
            continue
        values = episode.action[:, index]
        if dim.kind is ActionKind.POSITION and len(values) > 1:
            values = np.gradient(values)
        half = (dim.upper - dim.lower) / 2
        columns.append(values / half if np.isfinite(half) and half > 0 else values)
    return np.array(columns).T if columns else np.zeros((len(episode), 0))


def _events(scene: Scene, moment_s: float | None) -> dict[str, float]:
    """What happened between hand, object and goal up to the moment, and just after it."""
    last = _last(scene, moment_s)
    late = _last(scene, None if moment_s is None else moment_s + AFTER_S)
    takes = [take for take in scene.takes if take.begin <= last]
    progress = 0.0
    if takes and scene.tagging.goal is not None:
        progress = 1.0 - float(scene.to_goal_m[last]) / max(float(scene.to_goal_m[0]), 1e-6)
    return {
        "takes": float(len(takes)),
        "losses": float(sum(take.lost and take.end <= late for take in takes)),
        "progress": progress,
        "apart_min_m": float(scene.apart_m[: last + 1].min()),
        "first_place_m": float(np.linalg.norm(scene.hand[: late + 1] - scene.object[0], axis=1).min()),
        "object_moved_alone_m": _moved_alone_m(scene, takes[0].begin if takes else late + 1),
        "stuck_s": float(scene.stuck_rows.max()) / scene.rows(1.0),
    }


def _moved_alone_m(scene: Scene, before: int) -> float:
    """Farthest way of the object in 0.1 s before a row."""
    span = scene.rows(0.1)
    still = scene.object[: max(1, before - span)]
    if len(still) <= span:
        return 0.0
    return float(np.linalg.norm(still[span:] - still[:-span], axis=1).max())


def _curves(scene: Scene, moment_s: float | None) -> dict[str, float]:
    """All that was sensed, resampled over time up to the moment."""
    state = scene.episode.state[: _last(scene, moment_s) + 1]
    points = np.linspace(0.0, max(len(state) - 1, 0), SAMPLES)
    row: dict[str, float] = {}
    for number, curve in enumerate(state.T):
        values = np.interp(points, np.arange(len(curve)), curve) if len(curve) else np.zeros(SAMPLES)
        row.update({f"state{number}_{index}": float(value) for index, value in enumerate(values)})
    return row
