"""Attempts at three tasks with every fault, made in one process, with what the simulator privately knows of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from xrollout_ros.core.chunk import Array, SafetyEvent
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource, SafetyRecord, Strategy
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.ports import Policy, PolicyInfo, Prefix
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_reader import Bag
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.sim.faults import FAULT_NAMES, parse_faults
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import Attempt, run_attempt
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.robot import make_sim_robot
from xrollout_ros.sim.truth import PrivateLog

TASKS = ("pick_and_place", "push", "peg_insert")
Sight = Literal["watchful", "committed", "forgetful", "trained"]
SIGHTS: tuple[Sight, ...] = ("watchful", "committed", "forgetful")
"""Of the scripted expert. ``watchful``: looks all the time and tries again; ``committed``: once it has closed its
fingers it believes that it has the object; ``forgetful``: and looks at the object only at the start. None has ever seen
an object begin outside the familiar range: it takes it to be at its edge. ``trained`` is no expert: see
``tagging_policy``."""
_GRASP_M, _LEVEL_M = 0.02, 0.055


class Careless:
    """``core.ports.Policy``: the scripted expert, with a belief about the object instead of a look at it."""

    scores: dict[str, float] = {}

    def __init__(self, robot: RobotSpec, task: TaskSpec, sight: Sight) -> None:
        self._expert = make_expert("scripted", robot, task)
        self._sight = sight
        slices = robot.state_slices()
        self._hand, self._object = slices["hand_position"], slices["object_position"]
        ranges = task.tagging.familiar["object_position"]
        self._low, self._high = (np.array([span[end] for span in ranges]) for end in (0, 1))
        self._opening = slices["gripper_opening"].start
        self.info = PolicyInfo(
            policy_id=sight, checkpoint_hash="", robot=robot.id, task=task.id, horizon=1, execute=1,
            state_dim=robot.state_dim, action_dim=robot.action_dim,
        )  # fmt: skip

    def reset(self, seed: int) -> None:
        self._expert.reset(seed)
        self._first: Array | None = None
        self._offset: Array | None = None

    def predict(self, state: Array, prefix: Prefix | None = None) -> Any:
        state = state.copy()
        if self._first is None:
            began = state[self._object].copy()
            edge = began.copy()
            edge[: len(self._low)] = np.clip(began[: len(self._low)], self._low, self._high)
            self._first, self._shift = edge, edge - began
        state[self._object] += self._shift
        if self._sight != "watchful":
            if self._sight == "forgetful":
                state[self._object] = self._first
            if self._offset is None and self._closed_on(state):
                self._offset = state[self._object] - state[self._hand]
            if self._offset is not None:
                state[self._object] = state[self._hand] + self._offset
        return self._expert.act(state)[None].astype(np.float32)

    def _closed_on(self, state: Array) -> bool:
        apart = state[self._object] - state[self._hand]
        near = np.linalg.norm(apart[:2]) < _GRASP_M and abs(apart[2]) < _LEVEL_M
        return bool(near and state[self._opening] < 0.7)


@dataclass(frozen=True)
class Case:
    """One attempt: what a tagger sees of it, and what only the simulator knows."""

    episode: EpisodeData
    log: PrivateLog
    fault: str
    sight: Sight
    seed: int


def _recorded(event: SafetyEvent) -> SafetyRecord:
    return SafetyRecord(
        at_s=event.stamp_ns / 1e9,
        check=event.check,
        severity=event.severity,
        value=event.value,
        limit=event.limit,
        began=event.began,
    )


def episode_of(attempt: Attempt, robot: RobotSpec, task: TaskSpec, seed: int, start: str) -> EpisodeData:
    """What the reader would give of a bag of this attempt."""
    source = {
        Outcome.SUCCESS: OutcomeSource.ROBOT,
        Outcome.FAILURE: OutcomeSource.TIME_LIMIT,
        Outcome.ABORT: OutcomeSource.SAFETY,
    }[attempt.outcome]
    period_s = robot.policy_period_ns / 1e9
    meta = EpisodeMeta(
        episode_id=new_id(), kind=EpisodeKind.ATTEMPT, task=task.id, robot=robot.id, start=start, seed=seed,
        strategy=Strategy.BASE, software_version="benchmark", started_at="2026-01-01T00:00:00+00:00",
        duration_s=attempt.steps * period_s, outcome=attempt.outcome, outcome_source=source,
    )  # fmt: skip
    path = Path("in-process")
    commands = attempt.commands
    return EpisodeData(
        path=path,
        meta=meta,
        robot=robot,
        task=task,
        start_ns=0,
        stamp_s=np.array([command.stamp_ns for command in commands]) / 1e9,
        step=np.array([command.step for command in commands]),
        state=np.array(attempt.states),
        action=attempt.actions,
        source=np.array([int(command.source) for command in commands], dtype=np.uint8),
        mode=np.array([int(command.mode) for command in commands], dtype=np.uint8),
        clipped=np.array([command.clipped for command in commands]),
        safety_events=tuple(_recorded(event) for event in attempt.events),
        bag=Bag(path, path, meta, robot, task, None),
    )


def attempts(
    seeds: range,
    tasks: tuple[str, ...] = TASKS,
    *,
    faults: tuple[str, ...] = ("", "wide", *FAULT_NAMES),
    sights: tuple[Sight, ...] = (*SIGHTS, "trained"),
    own: bool = False,
) -> Iterator[Case]:
    """Every task, fault, wide starts too, and way of driving, with each seed.

    Args:
        seeds: of the starts.
        tasks: TaskSpec ids.
        faults: their names; empty: none, ``wide``: none, from wider starts.
        sights: who drives.
        own: no start comes twice: the ways of driving take turns, and every fault has seeds of its own.
    """
    for name in tasks:
        task = load_task(name)
        robot = load_robot(task.robot)
        sim = FaultyRobot(make_sim_robot(robot, task, shapes=False), robot, watch=True)
        policies = {sight: _policy(sight, robot, task) for sight in sights}
        for number, fault in enumerate(faults):
            start = "wide" if fault == "wide" else task.default_start
            sim.inject(() if fault in ("", "wide") else parse_faults(fault))
            for turn, (sight, policy) in enumerate(policies.items()):
                for seed in seeds:
                    if own and (seed + number) % len(policies) != turn:
                        continue
                    drawn = seed * len(faults) + number if own else seed
                    attempt = run_attempt(sim, robot, drawn, start, policy=policy)
                    assert sim.log is not None
                    yield Case(episode_of(attempt, robot, task, drawn, start), sim.log, fault, sight, drawn)
        sim.close()


def _policy(sight: Sight, robot: RobotSpec, task: TaskSpec) -> Policy:
    if sight != "trained":
        return Careless(robot, task, sight)
    from tagging_policy import trained_policy

    return trained_policy(task.id)
