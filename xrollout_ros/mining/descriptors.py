"""What an attempt was like up to its failure, as one row of numbers: events and a resampled trajectory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.rules import Scene, make_rules
from xrollout_ros.mining.signals import Floats, NotApplicableError

SAMPLES = 12
"""Points of the resampled trajectory."""
_TINY = 1e-9


@dataclass(frozen=True)
class Descriptors:
    """Rows of numbers, one for each episode."""

    names: tuple[str, ...]
    values: Floats
    """(N, K), units as named."""


def descriptors(episodes: Sequence[EpisodeData], moments_s: Sequence[float | None]) -> Descriptors:
    """Describe episodes of one task and robot, each up to its moment.

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


def _describe(episode: EpisodeData, moment_s: float | None) -> dict[str, float]:
    _, handling = make_rules(episode.task.tagging if episode.task is not None else TaggingSpec())
    scene = Scene(episode, handling)
    last = len(scene) - 1 if moment_s is None else int(np.searchsorted(scene.time_s, moment_s, side="right")) - 1
    last = min(max(last, 0), max(len(scene) - 1, 0))
    row = {"moment_s": float(scene.time_s[last]) if len(scene) else 0.0}
    row.update(_events(scene, last))
    row.update(_control(scene, last))
    row.update(_trajectory(scene, last))
    return row


def _events(scene: Scene, last: int) -> dict[str, float]:
    """Of hand, object and goal; 0 where the task names none."""
    names = (
        "first_near_s", "apart_min_m", "apart_end_m", "takes", "losses", "way_m", "raised_m", "object_speed_max",
        "object_moved_alone_m", "goal_end_m", "stuck_s",
    )  # fmt: skip
    found = dict.fromkeys(names, 0.0)
    try:
        apart, thing = scene.apart_m[: last + 1], scene.object[: last + 1]
    except NotApplicableError:
        return found
    near = np.flatnonzero(apart <= scene.near_m)
    span = min(scene.rows(0.1), max(1, last))
    moved = np.linalg.norm(thing[span:] - thing[:-span], axis=1) if last >= span else np.zeros(1)
    alone = moved[apart[span:] > scene.near_m] if last >= span else np.zeros(0)
    takes = [take for take in scene.takes if take.begin <= last]
    found.update(
        first_near_s=float(scene.time_s[near[0] if len(near) else last]),
        apart_min_m=float(apart.min()),
        apart_end_m=float(apart[-1]),
        takes=float(len(takes)),
        losses=float(sum(take.lost and take.end <= last for take in takes)),
        way_m=max((take.way_m for take in takes), default=0.0),
        raised_m=max((take.raised_m for take in takes), default=0.0),
        object_speed_max=float(moved.max()),
        object_moved_alone_m=float(alone.max()) if len(alone) else 0.0,
        stuck_s=float(scene.stuck_rows[: last + 1].max() / scene.rows(1.0)),
    )
    if scene.tagging.goal is not None:
        found["goal_end_m"] = float(scene.to_goal_m[last])
    return found


def _control(scene: Scene, last: int) -> dict[str, float]:
    """How the robot followed what it was told."""
    action, state = scene.episode.action[: last + 1], scene.episode.state[: last + 1]
    if len(action) < 3:
        return {"action_size": 0.0, "action_change": 0.0, "follows": 0.0, "lag_rows": 0.0, "scatter": 0.0}
    scale = np.maximum(scene.episode.robot.upper - scene.episode.robot.lower, _TINY) / 2
    told = action / np.where(np.isfinite(scale), scale, 1.0)
    size, change = float(np.abs(told).mean()), float(np.abs(np.diff(told, axis=0)).mean())
    follows = lag = scatter = 0.0
    try:
        where = scene.hand[: last + 1]
    except NotApplicableError:
        where = state[:, : told.shape[1]]
    width = min(told.shape[1], where.shape[1])
    done = np.diff(where[:, :width], axis=0)
    asked = told[:-1, :width]
    best = []
    for shift in range(min(16, len(done) - 2)):
        one, two = asked[: len(asked) - shift].ravel(), done[shift:].ravel()
        spread = float(one.std() * two.std())
        best.append(float(((one - one.mean()) * (two - two.mean())).mean()) / spread if spread > _TINY else 0.0)
    if best:
        lag, follows = float(np.argmax(best)), float(max(best))
    if len(done) > 2:
        scatter = float(np.linalg.norm(np.diff(done, axis=0), axis=1).mean() / (np.abs(done).mean() + 1e-6))
    return {"action_size": size, "action_change": change, "follows": follows, "lag_rows": lag, "scatter": scatter}


def _trajectory(scene: Scene, last: int) -> dict[str, float]:
    """Hand to object and object to where it began, resampled over time up to the moment."""
    try:
        curves = {
            "apart": scene.apart_m[: last + 1],
            "object": np.linalg.norm(scene.object[: last + 1] - scene.object[0], axis=1),
            "height": scene.hand[: last + 1, -1],
        }
        if scene.tagging.goal is not None:
            curves["goal"] = scene.to_goal_m[: last + 1]
        if scene.tagging.opening is not None:
            curves["opening"] = scene.opening[: last + 1]
    except NotApplicableError:
        state = scene.episode.state[: last + 1]
        curves = {f"state{index}": state[:, index] for index in range(state.shape[1])}
    points = np.linspace(0.0, max(last, 0), SAMPLES)
    row: dict[str, float] = {}
    for name, curve in curves.items():
        values = np.interp(points, np.arange(len(curve)), curve) if len(curve) else np.zeros(SAMPLES)
        row.update({f"{name}_{index}": float(value) for index, value in enumerate(values)})
    return row
