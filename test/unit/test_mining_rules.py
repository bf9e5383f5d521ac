"""Why attempts failed, told from bags."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.task import ReachSpec
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.mining.rules import RULES, Finding, judge
from xrollout_ros.mining.tagging import tag_episode, why_recovery

ROWS = 20


def attempt(bags: Any, distances: list[float], **meta: Any) -> EpisodeData:
    """The hand is ``distances[t]`` m above the object at row t."""
    state = np.zeros((len(distances), bags.robot.state_dim))
    slices = bags.robot.state_slices()
    state[:, slices["object_position"]] = [0.1, 0.6, 0.02]
    state[:, slices["hand_position"]] = state[:, slices["object_position"]]
    state[:, slices["hand_position"].start + 2] += distances
    path = bags.episode(state, np.zeros((len(distances), bags.robot.action_dim)), **meta).path
    return read_episode(path)


NEAR = [0.3] * 10 + [0.05] * 10
FAR = [*np.linspace(0.3, 0.1, 10), *np.linspace(0.11, 0.3, 10)]
TIMED_OUT = {"outcome": "failure", "outcome_source": "time_limit"}


def test_a_success_needs_no_reason(bags: Any) -> None:
    assert judge(attempt(bags, FAR, outcome="success", outcome_source="robot")) == []


def test_never_reached_names_the_least_distance_and_its_moment(bags: Any) -> None:
    episode = attempt(bags, FAR, **TIMED_OUT)
    (found,) = judge(episode)
    assert (found.mode, found.stage, found.author) == ("never_reached", "reach", "rule:never_reached")
    assert found.episode_id == episode.meta.episode_id
    assert found.moment_s == pytest.approx(9 * 0.0125)
    assert "0.1000 m (at 0.113 s of 0.237 s); reached is 0.06 m" in found.evidence


def test_timeout_is_what_remains(bags: Any) -> None:
    (found,) = judge(attempt(bags, NEAR, **TIMED_OUT))
    assert found.mode == "timeout"
    assert found.moment_s == pytest.approx(19 * 0.0125)
    limit = f"limit {bags.task.time_limit_s:g} s"
    assert f"no success within 0.237 s, {limit}; hand_position was 0.0500 m" in found.evidence


def test_the_border_counts_as_reached(bags: Any) -> None:
    assert [found.mode for found in judge(attempt(bags, [0.3, 0.06 - 1e-12], **TIMED_OUT))] == ["timeout"]


@pytest.mark.parametrize(("distances", "modes"), [(NEAR, []), (FAR, ["never_reached"])])
def test_a_human_mark_is_no_timeout(bags: Any, distances: list[float], modes: list[str]) -> None:
    episode = attempt(bags, distances, outcome="failure", outcome_source="human")
    assert [found.mode for found in judge(episode)] == modes


def test_without_a_reach_only_the_time_counts(bags: Any) -> None:
    bags.task = bags.task.model_copy(update={"reach": None})
    assert [found.mode for found in judge(attempt(bags, FAR, **TIMED_OUT))] == ["timeout"]


def test_an_abort_gives_its_reason_and_safety_events(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta(outcome="abort", outcome_source="safety", outcome_reason="the policy sent NaN")
    with bags.open(tmp_path / "bag", meta) as writer:
        for step in range(3):
            bags.observe(writer, np.zeros(bags.robot.state_dim), NS + step, NS + step)
            bags.command(writer, meta, [0.0] * 4, NS + step, NS + step, step=step)
        bags.safety(writer, meta, NS + NS // 4, check="stale", severity=1, value=0.3, limit=0.25, began=True)
        bags.safety(writer, meta, NS + NS // 2, check="finite", severity=3, value=float("nan"), limit=0.0, began=True)
        bags.safety(writer, meta, NS + NS // 2, check="stale", severity=1, value=0.0, limit=0.25, began=False)
        writer.close(meta)
    (found,) = judge(read_episode(tmp_path / "bag"))
    assert (found.mode, found.moment_s, found.confidence, found.severity) == ("aborted", 0.5, 1.0, 0.8)
    assert found.evidence == (
        "said by safety: the policy sent NaN; stale (hold) at 0.250 s: 0.3, allowed 0.25; "
        "finite (abort) at 0.500 s: nan, allowed 0"
    )


def test_an_abort_before_the_first_command_is_judged_too(bags: Any) -> None:
    meta = bags.meta(outcome="abort", outcome_source="system", outcome_reason="the policy died", duration_s=1.5)
    bags.open(bags.data / "bag", meta).close(meta)
    (found,) = tag_episode(bags.data, meta.episode_id, SystemClock())
    assert (found.mode, found.moment_s) == ("aborted", 1.5)
    assert found.evidence == "said by system: the policy died"


@pytest.mark.parametrize(("hand", "message"), [("tail", "'tail'"), ("gripper_opening", "between 1 and 3 values")])
def test_a_task_that_does_not_fit_the_robot_is_named(bags: Any, hand: str, message: str) -> None:
    reach = ReachSpec(hand=hand, object="object_position", distance_m=0.1)
    bags.task = bags.task.model_copy(update={"reach": reach})
    with pytest.raises(SpecError, match=message):
        judge(attempt(bags, NEAR, **TIMED_OUT))


def test_a_rule_joins_without_touching_others(bags: Any) -> None:
    class Always:
        mode = "always"

        def find(self, episode: EpisodeData) -> Finding | None:
            return Finding(moment_s=0.0, severity=0.0, confidence=0.5, evidence="as ever")

    found = judge(attempt(bags, NEAR, **TIMED_OUT), (Always(), *RULES))
    assert [judgement.mode for judgement in found] == ["always", "timeout"]
    assert len({rule.mode for rule in RULES}) == len(RULES)


def test_a_tag_is_kept_and_the_bag_unchanged(bags: Any) -> None:
    episode = attempt(bags, FAR, **TIMED_OUT)
    before = {path: path.read_bytes() for path in episode.path.iterdir()}
    for _ in range(2):
        (found,) = tag_episode(bags.data, episode.meta.episode_id, SystemClock())
    entries = journal.read(bags.data / "journal.jsonl").entries
    assert len(entries) == 1, "the same judgement again is nothing new"
    assert journal.effective(episode.meta, entries).judgements == (found,)
    assert {path: path.read_bytes() for path in episode.path.iterdir()} == before
    with pytest.raises(DataError, match="no episode"):
        tag_episode(bags.data, "01M7X39E2BNZKTYXNYD0KCAPAD", SystemClock())


SPAN = {"operator": "joy", "begin_s": 0.1, "end_s": 0.2}


@pytest.mark.parametrize(
    ("meta", "sources", "why"),
    [
        ({"policy_id": "p"}, {0, 3}, ""),
        ({"policy_id": "p", "interventions": [SPAN]}, {0, 1}, "joy drove"),
        ({"policy_id": "p"}, {0, 1}, "an operator drove"),  # a repaired bag knows its commands alone
        ({"policy_id": "p", "interventions": [SPAN]}, {0, 2}, "joy drove, a recovery sent 10 commands"),
        ({"policy_id": "p", "kind": "clip"}, {1, 2}, ""),
        ({"interventions": [SPAN]}, {1}, ""),  # a demonstration
    ],
)
def test_an_attempt_shows_a_recovery_where_somebody_else_than_its_policy_drove(
    bags: Any, meta: dict[str, Any], sources: set[int], why: str
) -> None:
    source = np.array([sorted(sources)[row % len(sources)] for row in range(ROWS)], dtype=np.uint8)
    assert why_recovery(replace(attempt(bags, NEAR, **meta), source=source)) == why
