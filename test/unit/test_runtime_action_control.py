"""The control stage: what each control makes of a robot, and the near-failures that `assisted` watches for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.safety import MomentSpec, NearFailureSpec, ScoreSpec
from xrollout_ros.runtime.action_control import CONTROLS, DESCRIPTIONS, make_control, recorded_control
from xrollout_ros.runtime.detectors import AttemptFacts, Moment, MomentDetector, NearFailureDetector
from xrollout_ros.runtime.overrides import with_call_for_help

from .robots import DELTA, JOINTS, dim, robot
from .test_runtime_safety import HAND, Drive

TASK = load_task("pick_and_place")
SAWYER = load_robot("metaworld_sawyer")
SCORE = {"kind": "score", "score": "doubt", "threshold": 1.0}


def test_limits_change_nothing_and_are_the_default() -> None:
    assert make_control("").constrain(SAWYER, TASK) is SAWYER
    assert make_control("").name == "limits"
    assert set(CONTROLS) == set(DESCRIPTIONS)


def test_calm_makes_what_moves_slower_and_leaves_ranges_and_grippers() -> None:
    calm = make_control("calm:0.5").constrain(JOINTS, TASK)
    shoulder, wheel, grip = calm.actions
    assert (shoulder.lower, shoulder.upper, shoulder.max_rate) == (-1, 1, 1.0)
    assert (wheel.lower, wheel.upper, wheel.max_rate) == (-0.5, 0.5, 2.5)
    assert grip == JOINTS.actions[2]
    assert make_control("calm:1").constrain(JOINTS, TASK) == JOINTS
    assert calm.interface_hash() == JOINTS.interface_hash()  # the same policies drive it


def test_what_is_recorded_under_another_control_is_another_command() -> None:
    sent = {}
    for name in ("limits", "calm:0.5"):
        drive = Drive(make_control(name).constrain(robot(HAND), TASK))
        sent[name] = drive.tick([0.8, 0.2, 0]).action.tolist()
    np.testing.assert_allclose(sent["limits"], [0.8, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(sent["calm:0.5"], [0.5, 0.2, 0], atol=1e-6)


def test_calm_is_refused_where_it_would_stop_the_robot_or_do_nothing() -> None:
    holds = robot([dim("dx", "delta")], safety={"limit": "hold"})
    with pytest.raises(SpecError, match="to hold at what is beyond its limit"):
        make_control("calm").constrain(holds, TASK)
    free = robot([dim("place", "position", "measured", measured={"observation": "joints"})])
    with pytest.raises(SpecError, match="no limit of speed"):
        make_control("calm").constrain(free, TASK)


@pytest.mark.parametrize(
    ("severity", "expected"), [("clip", Severity.ABORT), ("recover", Severity.ABORT), ("stop", Severity.STOP)]
)
def test_guarded_ends_the_attempt_at_an_alarm(severity: str, expected: Severity) -> None:
    spec = robot(HAND, safety={"detectors": [{**SCORE, "severity": severity}], "help": {}})
    guarded = make_control("guarded").constrain(spec, TASK)
    assert [each.severity for each in guarded.safety.detectors] == [expected]
    drive = Drive(guarded)
    drive.tick([0.1, 0, 0], scores={"doubt": 0.5})
    assert drive.mode is Mode.AUTONOMOUS
    drive.tick([0.1, 0, 0], scores={"doubt": 2.0})
    assert drive.mode is (Mode.ESTOP if expected is Severity.STOP else Mode.HOLD)
    assert ("doubt", expected, True) in drive.told()


def test_assisted_asks_for_an_operator_at_an_alarm_and_at_a_moment() -> None:
    task = TASK.model_copy(update={"reach": None})
    spec = robot(HAND, safety={"detectors": [SCORE]})
    drive = Drive(make_control("assisted:0.03").constrain(spec, task))
    helped = [drive.tick([0.1, 0, 0], scores={"doubt": 0.0}).help_wanted for _ in range(5)]
    assert helped == [False, False, False, True, True]
    assert drive.supervisor.help.reason.startswith("moment")
    drive = Drive(make_control("assisted").constrain(spec, task))
    assert not drive.tick([0.1, 0, 0], scores={"doubt": 0.5}).help_wanted
    command = drive.tick([0.1, 0, 0], scores={"doubt": 2.0})
    assert (command.help_wanted, command.source) == (True, Source.HOLD)


def test_assisted_hears_a_calibrated_policy_without_an_audit_and_knows_hand_and_object() -> None:
    own = SAWYER.safety.model_copy(update={"detectors": (ScoreSpec(kind="score", score="alarm", threshold=3),)})
    spec = SAWYER.model_copy(update={"safety": own})
    assisted = with_call_for_help(spec, TASK, 1.5)
    scores = {each.score: each for each in assisted.safety.detectors if isinstance(each, ScoreSpec)}
    assert {name: each.threshold for name, each in scores.items()} == {"alarm": 1.0, "overtime": 1.0}
    assert not any(each.only_told("any") for each in scores.values())
    [near] = [each for each in assisted.safety.detectors if isinstance(each, NearFailureSpec)]
    assert (near.hand, near.object, near.near, near.lost) == ("hand_position", "object_position", 0.06, 0.12)
    assert [each.at_s for each in assisted.safety.detectors if isinstance(each, MomentSpec)] == [1.5]
    assert all(each.severity is Severity.RECOVER for each in assisted.safety.detectors)
    assert set(assisted.measured) >= {"hand_position", "object_position"}
    assert assisted.safety.help is not None and assisted.safety.help.otherwise == "abort"  # it has no recovery
    with pytest.raises(SpecError, match="safety of robot"):
        with_call_for_help(DELTA, TASK)  # which observes no hand


@pytest.mark.parametrize("given", ["", "limits", "calm", "calm:0.25", "guarded", "assisted", "assisted:0.5"])
def test_a_control_is_known_again_from_what_is_recorded(given: str) -> None:
    control = make_control(given)
    again = recorded_control({"control": control.name, **control.parameters})
    assert (again.name, again.parameters) == (control.name, control.parameters)
    assert recorded_control({}).name == "limits"  # older bags say nothing


@pytest.mark.parametrize(
    ("given", "said"),
    [("wild", "unknown control 'wild'"), ("calm:0", "share 0"), ("calm:nan", "share nan"), ("calm:", "'' is no number"),
     ("guarded:1", "takes no number"), ("assisted:-1", "moment -1"), ("assisted:inf", "moment inf")],
)  # fmt: skip
def test_a_wrong_control_is_refused(given: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        make_control(given)


# --- near-failures ------------------------------------------------------------------------------------------------

SPEC = NearFailureSpec(kind="near_failure", hand="hand", object="object", near=0.06, lost=0.12, moved=0.04)


def values(detector: NearFailureDetector, *moments: tuple[float, Any, Any]) -> list[float | None]:
    found = []
    for t_s, hand, thing in moments:
        seen = {"hand": np.array([hand, 0.0, 0.0]), "object": np.array([thing, 0.0, 0.0])}
        reading = detector.update(Moment(t_s, seen, None))
        found.append(None if reading is None else round(reading.value / reading.threshold, 3))
    return found


def test_an_object_that_was_reached_and_is_far_again_is_lost() -> None:
    detector = NearFailureDetector(SPEC)
    assert values(detector, (0, 0.0, 0.3), (1, 0.25, 0.3), (2, 0.4, 0.3), (3, 0.5, 0.3)) == [0, 0.417, 0.833, 1.667]
    detector.reset(AttemptFacts())
    assert values(detector, (0, 0.5, 0.3)) == [0]


def test_an_object_that_moves_before_it_is_reached_was_bumped() -> None:
    assert values(NearFailureDetector(SPEC), (0, 0.0, 0.3), (1, 0.1, 0.32), (2, 0.1, 0.36)) == [0, 0.5, 1.5]


def test_a_hand_that_comes_too_late_is_late() -> None:
    detector = NearFailureDetector(SPEC)
    detector.reset(AttemptFacts(usual_s=2.0))
    assert values(detector, (0, 0.0, 0.3), (1, 0.1, 0.3), (3, 0.1, 0.3), (4, 0.3, 0.3)) == [0, 0.5, 1.5, 0]


def test_nothing_is_said_of_what_is_not_known() -> None:
    detector = NearFailureDetector(SPEC)
    assert detector.update(Moment(0.0, {"hand": np.zeros(3)}, None)) is None
    assert values(detector, (0, np.nan, 0.3)) == [None]
    with pytest.raises(ValueError, match=r"lost 0.05 must be more than near 0.06"):
        NearFailureSpec.model_validate({**SPEC.model_dump(), "lost": 0.05})


def test_a_moment_is_an_alarm_from_then_on() -> None:
    detector = MomentDetector(MomentSpec(kind="moment", at_s=0.5))
    readings = [detector.update(Moment(t_s, {}, None)) for t_s in (0.0, 0.49, 0.5, 0.9)]
    assert [reading is not None and reading.value > reading.threshold for reading in readings] == [
        False,
        False,
        True,
        True,
    ]
