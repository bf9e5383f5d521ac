"""A data folder of short attempts that nobody has judged, or somebody has, and that show how they ended."""

from __future__ import annotations

from typing import Any

import numpy as np

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.episodes import paths

ROWS = 24
GOAL = np.array([0.1, 0.8, 0.1])


def trajectory(robot: Any, success: bool, random: np.random.Generator) -> tuple[Any, Any]:
    """(T, D) and (T, A): the object is carried to the goal, or lost on the way."""
    slices = robot.state_slices()
    first = np.array([*random.uniform(-0.1, 0.1, 1), *random.uniform(0.6, 0.7, 1), 0.02])
    share = 1.0 if success else random.uniform(0.1, 0.7)
    way = np.clip(np.linspace(-0.5, 1.0, ROWS), 0, share)[:, None]
    state = random.normal(0, 0.002, (ROWS, robot.state_dim))
    state[:, slices["object_position"]] += first + way * (GOAL - first)
    state[:, slices["hand_position"]] += first + np.clip(np.linspace(-0.5, 1.0, ROWS), 0, 1)[:, None] * (GOAL - first)
    state[:, slices["goal_position"]] = GOAL
    state[:, slices["gripper_opening"]] += 0.5
    action = np.tile([0.3, 0.2, 0.1, 1.0], (ROWS, 1)) + random.normal(0, 0.01, (ROWS, 4))
    return state, action


def attempt(bags: Any, number: int, success: bool, **values: Any) -> EpisodeMeta:
    """One bag; nobody has said how it ended unless ``values`` do."""
    known: dict[str, Any] = {
        "episode_id": f"01M7Y4FQ9EP4WGGBQK{number:08d}",  # what is drawn by id is the same each time
        "seed": number,
        "policy_id": "01M7Y4FQ9EP4WGGBQK1BVJFSDV",
        "scene": "pick-place-v3",
        "started_at": f"2026-01-31T{number // 60:02d}:{number % 60:02d}:00+00:00",
        "duration_s": 0.3,
        "outcome": "unknown",
        "outcome_source": "time_limit",
    }
    meta: EpisodeMeta = bags.meta(**{**known, **values})
    state, action = trajectory(bags.robot, success, np.random.default_rng(number))
    bags.episode(state, action, paths.episode_dir(bags.data, meta), **meta.model_dump())
    return meta


def marked(bags: Any, count: int, begin: int = 0, **values: Any) -> list[EpisodeMeta]:
    """Attempts that an operator has marked, every other one a success."""
    made = []
    for number in range(begin, begin + count):
        good = number % 2 == 0
        outcome = {"outcome": "success" if good else "failure", "outcome_source": "human"}
        made.append(attempt(bags, number, good, **{**outcome, **values}))
    return made
