"""Attempts at three tasks as a robot without a success signal makes them, and how each really ended.

Every attempt runs to its time limit. The simulator's success at that moment is the truth; nothing of it is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tagging_attempts import SIGHTS, _policy, episode_of

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import SuccessSpec, TaggingSpec, TaskSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.success.features import features
from xrollout_ros.sim.backend import Frame
from xrollout_ros.sim.faults import FAULT_NAMES, parse_faults
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import BackedRobot, make_sim_robot

VIEWS = ("all", "body")
"""``all``: what the robot of the simulator observes, object and goal among it; ``body``: its hand and fingers alone,
and a task that names no signals."""
_BODY = ("hand_position", "gripper_opening")
SAMPLES = 64
"""Rows of a resampled trajectory, for those who learn from trajectories."""
FAULTS = ("", "wide", *FAULT_NAMES)
DRIVERS = (*SIGHTS, "trained")


class Witness:
    """A simulator that keeps its success to itself; ``sim.backend.Backend`` and ``sim.faulty_robot.Tamperable``."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.success = self.ever = False
        """Now, and at any moment of the attempt."""

    @property
    def observation_size(self) -> int:
        return int(self._inner.observation_size)

    def reset(self, seed: int, start: Any) -> Frame:
        self.success = self.ever = False
        frame: Frame = self._inner.reset(seed, start)
        return frame

    def step(self, action: Array) -> Frame:
        frame: Frame = self._inner.step(action)
        self.success = frame.success
        self.ever = self.ever or frame.success
        return replace(frame, success=False)

    def truth(self) -> Any:
        return self._inner.truth()

    def push_object(self, x: float, y: float) -> None:
        self._inner.push_object(x, y)

    def set_grip(self, share: float) -> None:
        self._inner.set_grip(share)

    def shapes(self) -> Any:
        return self._inner.shapes()

    def close(self) -> None:
        self._inner.close()


@dataclass(frozen=True)
class Attempts:
    """Attempts at one task."""

    ids: list[str]
    success: Any
    """(N,) bool, at the end."""
    ever: Any
    """(N,) bool, at any moment."""
    fault: Any
    """(N,) text; ``wide``: none, from wider starts."""
    driver: Any
    """(N,) text."""
    rows: dict[str, Any]
    """View: (N, K) features."""
    paths: dict[str, Any]
    """View: (N, SAMPLES, D + A) resampled states and actions, float32."""
    aborted: int
    """Attempts that a check stopped, and that are left out."""


def attempts_of(task: str, count: int, first: int, keep: Path | None) -> Attempts:
    """Make them, or read those that an earlier run has kept.

    Args:
        task: TaskSpec id.
        count: how many.
        first: seed of the first; each has a seed of its own, which draws who drives and what goes wrong too.
        keep: folder.
    """
    path = None if keep is None else keep / f"auto_labels_{task}_{first}_{count}.npz"
    if path is not None and path.is_file():
        with np.load(path) as file:
            known = {name: file[name] for name in file.files}
    else:
        known = _made(task, count, first)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **known)
    return Attempts(
        ids=known["ids"].tolist(),
        success=known["success"],
        ever=known["ever"],
        fault=known["fault"],
        driver=known["driver"],
        rows={view: known[f"rows_{view}"] for view in VIEWS},
        paths={view: known[f"paths_{view}"] for view in VIEWS},
        aborted=int(known["aborted"]),
    )


def _made(task: str, count: int, first: int) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {name: [] for name in ("ids", "success", "ever", "fault", "driver")}
    rows: dict[str, list[Any]] = {view: [] for view in VIEWS}
    paths: dict[str, list[Any]] = {view: [] for view in VIEWS}
    aborted = 0
    for episode, fault, driver, success, ever in _driven(task, count, first):
        if episode is None:
            aborted += 1
            continue
        found = (episode.meta.episode_id, success, ever, fault, driver)
        for name, value in zip(columns, found, strict=True):
            columns[name].append(value)
        for view in VIEWS:
            seen = episode if view == "all" else body_of(episode)
            rows[view].append(list(features(seen).values()))
            paths[view].append(_resampled(np.hstack([seen.state, seen.action])))
    made = {name: np.array(values) for name, values in columns.items()}
    made |= {f"rows_{view}": np.array(rows[view]) for view in VIEWS}
    made |= {f"paths_{view}": np.array(paths[view], dtype=np.float32) for view in VIEWS}
    return {**made, "aborted": np.array(aborted)}


def _driven(name: str, count: int, first: int) -> Iterator[tuple[EpisodeData | None, str, str, bool, bool]]:
    shipped = load_task(name)
    task: TaskSpec = shipped.model_copy(update={"success": SuccessSpec(signal="human")})
    robot = load_robot(task.robot)
    witness = Witness(make_sim_robot(robot, task, shapes=False).backend)
    sim = FaultyRobot(BackedRobot(robot, task, witness, [], False), robot)
    policies = {driver: _policy(driver, robot, task) for driver in DRIVERS}  # type: ignore[arg-type]
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        fault, driver = FAULTS[random.integers(len(FAULTS))], DRIVERS[random.integers(len(DRIVERS))]
        start = "wide" if fault == "wide" else task.default_start
        sim.inject(() if fault in ("", "wide") else parse_faults(fault))
        attempt = run_attempt(sim, robot, seed, start, policy=policies[driver])
        whole = attempt.outcome is not Outcome.ABORT
        episode = episode_of(attempt, robot, task, seed, start) if whole else None
        yield episode, fault, driver, witness.success, witness.ever
    sim.close()


def body_of(episode: EpisodeData) -> EpisodeData:
    """The same attempt, seen by a robot that observes its own body alone."""
    robot, task = episode.robot, episode.task
    assert task is not None
    slices = robot.state_slices()
    columns = np.concatenate([np.arange(episode.state.shape[1])[slices[name]] for name in _BODY])
    kept = [entry for entry in robot.observations if entry.name in _BODY]
    bare: RobotSpec = robot.model_copy(update={"observations": kept})
    unnamed = task.model_copy(update={"reach": None, "tagging": TaggingSpec()})
    return replace(episode, robot=bare, task=unnamed, state=episode.state[:, columns])


def _resampled(values: Array) -> Array:
    points, at = np.linspace(0, len(values) - 1, SAMPLES), np.arange(len(values))
    return np.stack([np.interp(points, at, column) for column in values.T], axis=1)
