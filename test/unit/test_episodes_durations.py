"""How long a task usually takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.core.episode import InterventionSpan, Outcome
from xrollout_ros.episodes.durations import ENOUGH, SuccessDurations

from .conftest import Bags


def durations(bags: Bags, *known: dict[str, Any]) -> float:
    found = SuccessDurations("pick_and_place", "metaworld_sawyer")
    for values in known:
        found.add(bags.meta(**{"policy_id": "p", "outcome": Outcome.SUCCESS, "duration_s": 1.0, **values}))
    return found.usual_s


def test_enough_successes_of_the_task_without_help_give_the_median(bags: Bags) -> None:
    known = [{"duration_s": float(second)} for second in range(1, ENOUGH + 1)]
    assert durations(bags, *known) == 3.0
    assert durations(bags, *known[1:]) == 0.0
    others: list[dict[str, Any]] = [
        {"outcome": Outcome.FAILURE},
        {"task": "push"},
        {"robot": "so100"},
        {"policy_id": ""},
        {"interventions": [InterventionSpan(operator="anna", begin_s=0, end_s=1)]},
    ]
    assert durations(bags, *others, *others, *known[1:]) == 0.0


def test_they_are_read_from_a_data_folder(bags: Bags, tmp_path: Path) -> None:
    found = SuccessDurations("pick_and_place", "metaworld_sawyer")
    found.read(tmp_path / "not_there")
    state, action = np.zeros((3, bags.robot.state_dim)), np.zeros((3, bags.robot.action_dim))
    for second in range(ENOUGH):
        bags.episode(state, action, policy_id="p", outcome=Outcome.SUCCESS, duration_s=float(second))
    found.read(bags.data)
    assert found.usual_s == 2.0
