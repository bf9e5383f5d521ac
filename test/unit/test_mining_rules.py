"""Why attempts failed, told from what was recorded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Mode
from xrollout_ros.core.resources import load_robot, load_task, task_ids
from xrollout_ros.core.task import ReachSpec, TaggingSpec
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.mining.rules import RULES, Finding, Report, Rule, Scene, judge, make_rules
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, MODES, FailureMode

DT_S = 0.0125
PUCK = np.array([0.05, 0.65, 0.02])
GOAL = np.array([0.05, 0.85, 0.2])
TIMED_OUT = {"outcome": "failure", "outcome_source": "time_limit"}
SUCCEEDED = {"outcome": "success", "outcome_source": "robot"}
Rows = list[tuple[np.ndarray, np.ndarray]]


def path(*corners: Any, rows: int = 20) -> list[np.ndarray]:
    """Straight lines through the corners, so many rows each."""
    parts = [np.linspace(a, b, rows, endpoint=False) for a, b in pairwise(corners)]
    return [*np.concatenate(parts), np.asarray(corners[-1], dtype=float)]


def up(metres: float) -> np.ndarray:
    return np.array([0, 0, metres])


ABOVE, AT = PUCK + up(0.2), PUCK + up(0.04)
AT_GOAL = GOAL + up(0.04)
APPROACH = path(ABOVE, AT)
CARRY = path(AT, AT_GOAL, rows=40)


def attempt(
    bags: Any, hand: list[np.ndarray], thing: list[np.ndarray], opening: Any = None, **meta: Any
) -> EpisodeData:
    rows = len(hand)
    slices = bags.robot.state_slices()
    state = np.zeros((rows, bags.robot.state_dim))
    state[:, slices["hand_position"]] = hand
    state[:, slices["object_position"]] = thing
    state[:, slices["goal_position"]] = GOAL
    near = np.linalg.norm(state[:, slices["hand_position"]] - state[:, slices["object_position"]], axis=1) < 0.06
    state[:, slices["gripper_opening"].start] = np.where(near, 0.5, 1.0) if opening is None else opening
    action = np.zeros((rows, bags.robot.action_dim))
    action[:, 3] = np.where(near, 1.0, -1.0)
    return read_episode(bags.episode(state, action, **{**TIMED_OUT, **meta}).path)


def held(hand: list[np.ndarray]) -> list[np.ndarray]:
    return [where - up(0.04) for where in hand]


def still(rows: int, where: Any = PUCK) -> list[np.ndarray]:
    return [np.asarray(where, dtype=float)] * rows


def modes(report: Report) -> list[str]:
    return [judgement.mode for judgement in report.judgements]


def never_reached(bags: Any, **meta: Any) -> EpisodeData:
    hand = path(ABOVE, PUCK + up(0.1), ABOVE)
    return attempt(bags, hand, still(len(hand)), **meta)


def grasp_failure(bags: Any) -> EpisodeData:
    hand = path(ABOVE, AT, ABOVE)
    return attempt(bags, hand, still(len(hand)))


def dropped(bags: Any) -> EpisodeData:
    hand = APPROACH + CARRY
    thing = still(len(APPROACH)) + held(CARRY)[:20] + still(len(CARRY) - 20, held(CARRY)[20] - up(0.05))
    return attempt(bags, hand, thing)


def recovery(bags: Any, **meta: Any) -> EpisodeData:
    """Taken, lost half-way, taken again and carried to the goal."""
    fallen = held(CARRY)[20] * np.array([1, 1, 0]) + up(0.02)
    back = path(AT_GOAL, fallen + up(0.2), fallen + up(0.04))
    again = path(fallen + up(0.04), AT_GOAL, rows=30)
    hand = APPROACH + CARRY + back + again
    thing = still(len(APPROACH)) + held(CARRY)[:20] + still(len(CARRY) - 20 + len(back), fallen) + held(again)
    return attempt(bags, hand, thing, **meta)


def pose_error(bags: Any) -> EpisodeData:
    hand = APPROACH + CARRY + still(40, AT_GOAL)
    return attempt(bags, hand, still(len(APPROACH)) + held(CARRY + still(40, AT_GOAL)))


def under_way(bags: Any) -> EpisodeData:
    return attempt(bags, APPROACH + CARRY, still(len(APPROACH)) + held(CARRY))


def far_start(bags: Any) -> EpisodeData:
    hand = path(ABOVE, ABOVE + np.array([0.1, 0, 0]))
    return attempt(bags, hand, still(len(hand), [0.3, 0.65, 0.02]))


def stuck(bags: Any) -> EpisodeData:
    """The hand says the same for half a second while it is told to move."""
    rows = 60
    slices = bags.robot.state_slices()
    state, action = np.zeros((rows, bags.robot.state_dim)), np.zeros((rows, bags.robot.action_dim))
    state[:, slices["hand_position"]] = path(ABOVE, AT)[:10] + still(40, [0.05, 0.65, 0.15]) + path(ABOVE, AT)[:10]
    state[:, slices["object_position"]] = PUCK
    action[:, 2] = -0.5
    return read_episode(bags.episode(state, action, **TIMED_OUT).path)


CASES: dict[str, Callable[..., EpisodeData]] = {
    "never_reached": never_reached,
    "grasp_failure": grasp_failure,
    "dropped": dropped,
    "recovery_failure": recovery,
    "pose_error": pose_error,
    "timeout": under_way,
    "generalization_failure": far_start,
    "system_fault": stuck,
}


@pytest.mark.parametrize("mode", CASES)
def test_each_mode_is_told_from_topics_with_figures_and_times(bags: Any, mode: str) -> None:
    episode = CASES[mode](bags)
    report = judge(episode)
    found = report.judgements[0]
    assert found.mode == mode, report
    assert (found.author, found.episode_id) == (f"rule:{mode}", episode.meta.episode_id)
    assert 0.5 <= found.confidence <= 1
    assert 0 <= found.moment_s <= episode.stamp_s[-1]
    assert any(letter.isdigit() for letter in found.evidence)
    assert found.severity == MODES[FailureMode(mode)].severity


def test_the_moment_of_a_drop_is_when_it_was_lost(bags: Any) -> None:
    found = judge(dropped(bags)).judgements[0]
    assert found.moment_s == pytest.approx((len(APPROACH) + 21) * DT_S, abs=4 * DT_S)
    assert found.stage == "transport"


def test_an_unfamiliar_start_is_looked_at_where_it_showed(bags: Any) -> None:
    first, second = judge(far_start(bags)).judgements[:2]
    assert (first.mode, second.mode) == ("generalization_failure", "never_reached")
    assert (first.moment_s, first.stage) == (second.moment_s, second.stage)
    assert first.moment_s > 0


def test_never_reached_names_the_least_distance(bags: Any) -> None:
    found = judge(never_reached(bags)).judgements[0]
    assert "no nearer to object_position than 0.1000 m (at 0.250 s of 0.500 s); reached is 0.06 m" in found.evidence


def test_what_was_put_down_at_the_goal_was_not_dropped(bags: Any) -> None:
    leave = path(AT_GOAL, AT_GOAL + up(0.1))
    hand = APPROACH + CARRY + leave + still(30, leave[-1])
    thing = still(len(APPROACH)) + held(CARRY) + still(len(leave) + 30, GOAL)
    assert modes(judge(attempt(bags, hand, thing)))[0] == "pose_error"


def test_what_was_only_pushed_with_empty_fingers_was_never_grasped(bags: Any) -> None:
    hand = APPROACH + CARRY
    episode = attempt(bags, hand, still(len(APPROACH)) + held(CARRY), opening=0.3)
    assert modes(judge(episode))[0] == "grasp_failure"


def test_what_a_closed_hand_dragged_along_slowly_was_had(bags: Any) -> None:
    drag = path(AT, AT + np.array([0.12, 0.0, 0.0]), rows=240)
    hand = APPROACH + drag
    for opening in (0.5, 0.3):  # in the fingers, and at the edge of closed ones
        episode = attempt(bags, hand, still(len(APPROACH)) + held(drag), opening=opening)
        assert modes(judge(episode)) == ["timeout"]


def test_what_opened_fingers_left_behind_was_dropped_though_the_hand_stayed_near(bags: Any) -> None:
    middle = held(CARRY)[20]
    hand = APPROACH + CARRY[:21] + still(60, CARRY[20])
    thing = still(len(APPROACH)) + held(CARRY)[:21] + still(60, middle)
    bag = attempt(bags, hand, thing)
    slices = bags.robot.state_slices()
    state, action = bag.state.copy(), bag.action.copy()
    assert "dropped" not in modes(judge(bag))
    state[-60:, slices["gripper_opening"].start] = 1.0
    action[-60:, 3] = -1.0
    assert modes(judge(read_episode(bags.episode(state, action, **TIMED_OUT).path)))[0] == "dropped"


def test_what_a_hand_swept_aside_in_passing_was_not_had(bags: Any) -> None:
    sweep = path(AT, AT + np.array([0.16, 0.0, 0.0]), rows=30)
    moved = [PUCK + min(1.0, 2 * share) * np.array([0.06, 0, 0]) for share in np.linspace(0, 1, len(sweep))]
    report = judge(attempt(bags, APPROACH + sweep, still(len(APPROACH)) + moved, opening=0.5))
    assert modes(report)[0] == "grasp_failure"


def test_a_hand_that_closed_a_little_too_far_away_was_at_the_object(bags: Any) -> None:
    high = PUCK + up(0.07)
    hand = path(ABOVE, high) + still(60, high)
    bag = attempt(bags, hand, still(len(hand)))
    assert modes(judge(bag))[0] == "never_reached"
    action = bag.action.copy()
    action[-40:, 3] = 1.0
    found = judge(read_episode(bags.episode(bag.state.copy(), action, **TIMED_OUT).path)).judgements[0]
    assert found.mode == "grasp_failure"
    assert "within 0.08 m" in found.evidence


@pytest.mark.parametrize(
    ("end", "mode"),
    [
        ({"outcome_source": "safety", "outcome_reason": "limit: held"}, "safety_abort"),
        ({"outcome_source": "safety", "outcome_reason": "emergency stop"}, "operator_abort"),
        ({"outcome_source": "system", "outcome_reason": "the policy died"}, "system_fault"),
        ({"outcome": "unknown", "outcome_source": "none", "outcome_reason": "ended by ann"}, "operator_abort"),
    ],
)
def test_an_abort_is_told_apart_by_who_ended_it(bags: Any, end: dict[str, str], mode: str) -> None:
    report = judge(never_reached(bags, **{"outcome": "abort", **end}))
    assert modes(report)[0] == mode
    assert end["outcome_reason"] in report.judgements[0].evidence


def test_a_safety_abort_gives_its_events(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta(outcome="abort", outcome_source="safety", outcome_reason="the policy sent NaN")
    with bags.open(tmp_path / "bag", meta) as writer:
        for step in range(3):
            bags.observe(writer, np.zeros(bags.robot.state_dim), NS + step, NS + step)
            bags.command(writer, meta, [0.0] * 4, NS + step, NS + step, step=step)
        bags.safety(writer, meta, NS + NS // 4, check="stale", severity=1, value=0.3, limit=0.25, began=True)
        bags.safety(writer, meta, NS + NS // 2, check="finite", severity=3, value=float("nan"), limit=0.0, began=True)
        writer.close(meta)
    found = judge(read_episode(tmp_path / "bag")).judgements[0]
    assert (found.mode, found.moment_s, found.confidence, found.severity) == ("safety_abort", 0.5, 1.0, 0.8)
    assert found.evidence == (
        "said by safety: the policy sent NaN; stale (hold) at 0.250 s: 0.3, allowed 0.25; "
        "finite (abort) at 0.500 s: nan, allowed 0"
    )


def test_a_force_that_was_too_high_is_a_collision(bags: Any, tmp_path: Path) -> None:
    meta = bags.meta(**TIMED_OUT)
    with bags.open(tmp_path / "bag", meta) as writer:
        for step in range(3):
            bags.observe(writer, np.zeros(bags.robot.state_dim), NS + step, NS + step)
            bags.command(writer, meta, [0.0] * 4, NS + step, NS + step, step=step)
        bags.safety(writer, meta, NS + NS // 4, check="force", severity=1, value=21.5, limit=15.0, began=True)
        writer.close(meta)
    found = judge(read_episode(tmp_path / "bag")).judgements[0]
    assert (found.mode, found.moment_s) == ("collision", 0.25)
    assert "21.5 N" in found.evidence


def test_a_success_needs_no_reason(bags: Any) -> None:
    hand = APPROACH + CARRY
    assert modes(judge(attempt(bags, hand, still(len(APPROACH)) + held(CARRY), **SUCCEEDED))) == []


def test_a_recovery_is_found_in_a_success_and_is_no_failure(bags: Any) -> None:
    found = judge(recovery(bags, **SUCCEEDED)).judgements[0]
    assert found.mode == "successful_recovery"
    assert "taken again" in found.evidence
    assert FailureMode(found.mode) in IN_SUCCESSES


def test_a_late_success_is_a_near_miss(bags: Any) -> None:
    hand = still(150, ABOVE) + APPROACH
    report = judge(attempt(bags, hand, still(len(hand)), **SUCCEEDED))
    assert modes(report) == ["near_miss"]
    assert "of the 2 s that it had" in report.judgements[0].evidence


def test_rules_that_cannot_apply_say_so_and_the_others_work(bags: Any) -> None:
    bags.task = bags.task.model_copy(update={"reach": None, "tagging": TaggingSpec()})
    report = judge(never_reached(bags))
    assert modes(report) == ["timeout"]
    assert report.not_applied["dropped"] == "the task names no object (under `reach`)"
    assert "familiar" in report.not_applied["generalization_failure"]


def test_an_attempt_without_a_row_is_judged_too(bags: Any) -> None:
    meta = bags.meta(outcome="abort", outcome_source="system", outcome_reason="the policy died", duration_s=1.5)
    bags.open(bags.data / "bag", meta).close(meta)
    found = judge(read_episode(bags.data / "bag", allow_empty=True)).judgements[0]
    assert (found.mode, found.moment_s, found.evidence) == (
        "system_fault",
        1.5,
        "said by system: the policy died",
    )


def test_a_recovery_policy_that_did_not_help(bags: Any) -> None:
    state = np.zeros((30, bags.robot.state_dim))
    meta = bags.meta(**TIMED_OUT)
    with bags.open(bags.data / "bag", meta) as writer:
        for step in range(30):
            stamp_ns = NS + step * bags.robot.control_period_ns
            bags.observe(writer, state[step], stamp_ns, stamp_ns)
            mode = int(Mode.RECOVERING if step > 20 else Mode.AUTONOMOUS)
            bags.command(writer, meta, [0.0] * 4, stamp_ns, stamp_ns, step=step, mode=mode)
        writer.close(meta)
    found = judge(read_episode(bags.data / "bag")).judgements[0]
    assert found.mode == "recovery_failure"
    assert found.moment_s == pytest.approx(21 * DT_S)


@pytest.mark.parametrize(("hand", "message"), [("tail", "'tail'"), ("gripper_opening", "of 1 values")])
def test_a_task_that_does_not_fit_the_robot_is_named(bags: Any, hand: str, message: str) -> None:
    reach = ReachSpec(hand=hand, object="object_position", distance_m=0.1)
    bags.task = bags.task.model_copy(update={"reach": reach})
    with pytest.raises(SpecError, match=message):
        judge(never_reached(bags))


@pytest.mark.parametrize(
    ("tagging", "message"),
    [
        ({"rules": {"fumbled": {}}}, "'fumbled', which is no rule"),
        ({"rules": {"pose_error": {"rest_m": -1.0}}}, "rest_m"),
        ({"rules": {"handling": {"grip": 1.0}}}, "grip"),
        ({"gripper": "claw"}, "'claw' as its gripper"),
        ({"goal": "moon"}, "'moon' as its goal"),
    ],
)
def test_a_wrong_rule_or_signal_is_named(bags: Any, tagging: dict[str, Any], message: str) -> None:
    bags.task = bags.task.model_copy(update={"tagging": TaggingSpec.model_validate(tagging)})
    with pytest.raises(SpecError, match=message):
        judge(dropped(bags))


def test_a_rule_joins_without_touching_others(bags: Any) -> None:
    class Always(Rule):
        MODE: ClassVar[FailureMode] = FailureMode.COLLISION

        def find(self, scene: Scene) -> Finding | None:
            return Finding(moment_s=0.0, confidence=0.5, evidence="as ever")

    rules, _ = make_rules(TaggingSpec())
    assert modes(judge(under_way(bags), (Always(), *rules)))[:2] == ["collision", "timeout"]


def test_the_taxonomy_is_whole_and_shipped_tasks_are_valid() -> None:
    assert set(MODES) == set(FailureMode) == {rule.MODE for rule in RULES}
    for name in task_ids():
        task = load_task(name)
        robot = load_robot(task.robot)
        make_rules(task.tagging)
        for signal in (task.tagging.goal, task.tagging.opening, *task.tagging.familiar):
            assert signal is None or signal in robot.state_slices()
        assert task.tagging.gripper is None or task.tagging.gripper in {dim.name for dim in robot.actions}
