"""What devices move: finite and within limits whatever comes, nothing in the dead zone, no jump at a clutch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Moment, Operator
from xrollout_ros.core.resources import load_robot, robot_ids
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.axes import deadband
from xrollout_ros.runtime.operators.joy import JoyOperator
from xrollout_ros.runtime.operators.keyboard import KeyboardOperator
from xrollout_ros.runtime.operators.leader import LeaderOperator
from xrollout_ros.runtime.operators.pose import PoseOperator
from xrollout_ros.runtime.operators.specs import (
    AxisBinding,
    JointBinding,
    JoySpec,
    KeyBinding,
    KeyboardSpec,
    LeaderSpec,
    PoseSpec,
)

from .robots import DELTA, JOINTS, dim, robot

MS = 1_000_000
ANY = st.floats(allow_nan=True, allow_infinity=True, width=32)
SAWYER, SO100, HAND, BASE = (load_robot(name) for name in ("metaworld_sawyer", "so100", "ee_delta_arm", "diff_drive"))
POSED = robot(
    [dim(name, "position", "keep", unit=unit, lower=-2.0, upper=2.0) for name, unit in
     (("x", "m"), ("y", "m"), ("z", "m"), ("rx", "rad"), ("ry", "rad"), ("rz", "rad"))]
)  # fmt: skip


def at(t_ms: float, *, driving: bool = True, sent: Array | None = None, state: Array | None = None) -> Moment:
    return Moment(round(t_ms * MS), state, 0, sent, driving)


def ask(operator: Operator, moment: Moment) -> Array:
    return operator.answer(moment).action


def sound(spec: RobotSpec, action: Array) -> bool:
    return bool(np.isfinite(action).all() and (action >= spec.lower).all() and (action <= spec.upper).all())


@given(ANY, st.floats(0, 0.99))
def test_a_dead_zone_gives_zero_and_the_rest_reaches_one(value: float, band: float) -> None:
    got = deadband(value, band)
    assert -1 <= got <= 1
    if not math.isfinite(value) or abs(value) <= band:
        assert got == 0
    elif abs(value) >= 1:
        assert got == math.copysign(1, value)


@pytest.mark.parametrize("spec", [SAWYER, SO100, HAND, BASE, JOINTS, DELTA], ids=lambda spec: spec.id)
@given(
    messages=st.lists(
        st.tuples(
            st.lists(ANY, max_size=8), st.lists(st.integers(0, 1), max_size=12), st.integers(-50, 400), st.booleans()
        ),
        max_size=12,
    ),
    origin=st.one_of(st.none(), ANY),
)
def test_a_joystick_gives_finite_actions_within_limits_whatever_it_says(
    spec: RobotSpec,
    messages: list[tuple[list[float], list[int], int, bool]],
    origin: float | None,
) -> None:
    axes = {each.name: AxisBinding(axis=place) for place, each in enumerate(spec.actions)}
    operator = JoyOperator(JoySpec(source="joy", axes=axes), spec)
    now_ms = 1000
    sent = None if origin is None else np.full(spec.action_dim, origin)
    state = None if origin is None else np.full(spec.state_dim, origin)
    for heard_axes, buttons, gap_ms, driving in messages:
        operator.heard(heard_axes, buttons, now_ms * MS)
        now_ms += gap_ms
        assert sound(spec, ask(operator, at(now_ms, driving=driving, sent=sent, state=state)))


def pad(**buttons: int) -> list[int]:
    pressed = [0] * 11
    for name, value in buttons.items():
        pressed[{"dead_man": 5, "toggle": 7, "success": 0, "plus": 2, "minus": 3}[name]] = value
    return pressed


def test_a_joystick_moves_by_the_kind_of_action() -> None:
    operator = JoyOperator(JoySpec(source="joy"), SAWYER)
    operator.heard([0, 1.0, 0, 0, -0.55, 0, 0, 0], pad(dead_man=1), 0)
    answer = operator.answer(at(10, sent=np.zeros(4)))
    assert answer.enabled
    np.testing.assert_allclose(answer.action, [1.0, 0.0, -0.5, 0.0])
    base = JoyOperator(JoySpec(source="joy"), BASE)
    base.heard([0.5, -1.0, 0, 0, 0, 0, 0, 0], pad(dead_man=1), 0)
    np.testing.assert_allclose(ask(base, at(10)), [-0.25, 1.0 * (0.5 - 0.1) / 0.9])


def test_a_joystick_moves_a_position_on_from_the_last_command_at_no_more_than_its_rate() -> None:
    operator = JoyOperator(JoySpec(source="joy"), SO100)
    sent = np.array([0.1, -0.2, 0.3, 0.2, -0.1, 0.5])
    operator.heard([0, 1.0, 0, 0, 0, 0, 0, 0], pad(dead_man=1), 0)
    np.testing.assert_array_equal(ask(operator, at(0, sent=sent)), sent)
    moved = ask(operator, at(50, sent=sent))
    np.testing.assert_allclose(moved - sent, [1.5 * 0.05, 0, 0, 0, 0, 0], atol=1e-12)
    # Let go, and begin anew: from where the robot was sent meanwhile.
    operator.heard([0, 1.0, 0, 0, 0, 0, 0, 0], pad(), 60 * MS)
    assert not operator.answer(at(60, sent=sent)).enabled
    elsewhere = sent + 0.2
    operator.heard([0, 1.0, 0, 0, 0, 0, 0, 0], pad(dead_man=1), 70 * MS)
    np.testing.assert_array_equal(ask(operator, at(70, sent=elsewhere)), elsewhere)


def test_a_joystick_begins_where_the_arm_is_measured_if_nothing_was_sent() -> None:
    operator = JoyOperator(JoySpec(source="joy"), SO100)
    operator.heard([0.0] * 8, pad(dead_man=1), 0)
    state = np.array([0.1, -0.2, 0.3, 0.2, -0.1, 0.5])
    np.testing.assert_array_equal(ask(operator, at(1, state=state)), state)


def test_the_dead_man_and_silence_stop_a_joystick() -> None:
    operator = JoyOperator(JoySpec(source="joy"), SAWYER)
    assert not operator.answer(at(0)).enabled
    assert operator.problem() == "no message came on /joy"
    operator.heard([0, 1.0, 0, 0, 0, 0, 0, 0], pad(), 0)
    answer = operator.answer(at(1))
    assert not answer.enabled and (answer.action == 0).all()
    operator.heard([0, 1.0, 0, 0, 0, 0, 0, 0], pad(dead_man=1), 0)
    assert operator.answer(at(499)).enabled
    assert not operator.answer(at(501)).enabled
    assert operator.problem() == "/joy is silent"
    operator.heard([0, 1.0], pad(dead_man=1), 600 * MS)
    operator.answer(at(600))
    assert "2 axes" in operator.problem()


def test_gripper_buttons_go_all_the_way() -> None:
    operator = JoyOperator(JoySpec(source="joy"), SAWYER)
    operator.heard([0.0] * 8, pad(dead_man=1, plus=1), 0)
    assert ask(operator, at(1, sent=np.zeros(4)))[3] == 1
    operator.heard([0.0] * 8, pad(dead_man=1), 0)
    assert ask(operator, at(2))[3] == 1
    operator.heard([0.0] * 8, pad(dead_man=1, minus=1), 0)
    assert ask(operator, at(3))[3] == -1


@pytest.mark.parametrize("source", [JoyOperator, KeyboardOperator, LeaderOperator, PoseOperator])
def test_an_action_that_does_not_exist_is_refused_by_name(source: type) -> None:
    specs = {
        JoyOperator: JoySpec(source="joy", axes={"warp": AxisBinding(axis=0)}),
        KeyboardOperator: KeyboardSpec(source="keyboard", motions={"w": KeyBinding(action="warp", value=1)}),
        LeaderOperator: LeaderSpec(source="leader", joints={"warp": JointBinding(joint="warp")}),
        PoseOperator: PoseSpec(source="pose", translation=("warp", None, None)),
    }
    with pytest.raises(SpecError, match=r"warp.*'metaworld_sawyer'.*dx, dy, dz, gripper"):
        source(specs[source], SAWYER)


def test_a_button_or_key_with_two_meanings_is_refused() -> None:
    with pytest.raises(SpecError, match="button 0 of the joystick means both success and gripper"):
        JoyOperator(JoySpec(source="joy", axes={"gripper": AxisBinding(plus=0)}), SAWYER)
    with pytest.raises(ValueError, match="key 1 has two meanings"):
        KeyboardSpec(source="keyboard", motions={"1": KeyBinding(action="dx", value=1)})
    with pytest.raises(SpecError, match="key d has a function already"):
        KeyboardOperator(KeyboardSpec(source="keyboard", keys={"d": "discard"}), SAWYER)


def test_every_shipped_robot_has_a_keyboard() -> None:
    for name in robot_ids():
        spec = load_robot(name)
        operator = KeyboardOperator(KeyboardSpec(source="keyboard"), spec)
        assert {bound.action for bound in operator.motions.values()} == {each.name for each in spec.actions}


def test_a_key_moves_while_it_repeats() -> None:
    operator = KeyboardOperator(KeyboardSpec(source="keyboard"), SAWYER)
    assert (ask(operator, at(0)) == 0).all()
    operator.typed("w", 10 * MS)
    assert ask(operator, at(20))[0] == 1
    operator.typed("s", 30 * MS)
    assert ask(operator, at(40))[0] == 0
    assert ask(operator, at(175))[0] == -1
    assert (ask(operator, at(200)) == 0).all()
    operator.typed("]", 300 * MS)
    assert ask(operator, at(310))[3] == 1
    assert ask(operator, at(900))[3] == 1
    operator.closed("the terminal is closed")
    assert not operator.answer(at(901)).enabled


JOINT_NAMES = [each.name for each in SO100.actions]


@given(
    st.lists(st.tuples(st.lists(ANY, min_size=6, max_size=6), st.integers(0, 400), st.booleans()), max_size=10),
    st.booleans(),
)
def test_a_leader_gives_finite_actions_within_limits(
    messages: list[tuple[list[float], int, bool]], relative: bool
) -> None:
    operator = LeaderOperator(LeaderSpec(source="leader", relative=relative), SO100)
    now_ms = 0
    for positions, gap_ms, driving in messages:
        operator.heard(JOINT_NAMES, positions, now_ms * MS)
        now_ms += gap_ms
        assert sound(SO100, ask(operator, at(now_ms, driving=driving)))


def test_a_follower_goes_where_the_leader_is_with_scale_and_offset() -> None:
    joints = {"shoulder_pan": JointBinding(joint="base", scale=-2.0, offset=0.5), "gripper": JointBinding(joint="jaw")}
    operator = LeaderOperator(LeaderSpec(source="leader", joints=joints), SO100)
    sent = np.array([0.1, -0.2, 0.3, 0.2, -0.1, 0.5])
    operator.heard(["jaw", "base"], [0.4, 0.1], 0)
    np.testing.assert_allclose(ask(operator, at(1, sent=sent)), [0.3, -0.2, 0.3, 0.2, -0.1, 0.4])
    # What no joint is bound to stays where it was when the leader took over.
    np.testing.assert_allclose(ask(operator, at(2, sent=sent + 0.05)), [0.3, -0.2, 0.3, 0.2, -0.1, 0.4])
    operator.heard(["jaw", "base"], [0.4, math.nan], 300 * MS)
    answer = operator.answer(at(301, sent=sent))
    assert not answer.enabled
    np.testing.assert_array_equal(answer.action, sent)
    operator.heard(["jaw"], [0.4], 400 * MS)
    assert operator.unfit() == "the messages on /leader/joint_states have no joint base"


def test_a_relative_leader_does_not_jump_at_takeover() -> None:
    operator = LeaderOperator(LeaderSpec(source="leader", relative=True), SO100)
    sent = np.array([0.1, -0.2, 0.3, 0.2, -0.1, 0.5])
    operator.heard(JOINT_NAMES, [1.0] * 6, 0)
    operator.answer(at(1, driving=False, sent=sent))
    np.testing.assert_allclose(ask(operator, at(2, sent=sent)), sent)
    operator.heard(JOINT_NAMES, [0.9] * 6, 0)
    np.testing.assert_allclose(ask(operator, at(3, sent=sent)), np.clip(sent - 0.1, SO100.lower, SO100.upper))


def test_a_leader_moves_positions_only() -> None:
    with pytest.raises(SpecError, match="moves dx, which is a delta"):
        LeaderOperator(LeaderSpec(source="leader"), SAWYER)


TURN = st.lists(ANY, min_size=4, max_size=4)
PLACE = st.lists(ANY, min_size=3, max_size=3)


@pytest.mark.parametrize("spec", [SAWYER, HAND, BASE, POSED], ids=["sawyer", "hand", "base", "posed"])
@given(
    poses=st.lists(st.tuples(PLACE, TURN, st.integers(-20, 300), st.booleans()), max_size=10),
    origin=st.one_of(st.none(), ANY),
)
def test_a_pose_gives_finite_actions_within_limits(
    spec: RobotSpec, poses: list[tuple[list[float], list[float], int, bool]], origin: float | None
) -> None:
    operator = PoseOperator(PoseSpec(source="pose"), spec)
    now_ms = 0
    sent = None if origin is None else np.full(spec.action_dim, origin)
    for place, turn, gap_ms, driving in poses:
        operator.heard(place, turn, now_ms * MS)
        now_ms += gap_ms
        assert sound(spec, ask(operator, at(now_ms, driving=driving, sent=sent)))


UPRIGHT = (0.0, 0.0, 0.0, 1.0)
SMALL = st.floats(-0.04, 0.04)


@given(st.tuples(SMALL, SMALL, SMALL), st.tuples(SMALL, SMALL, SMALL))
def test_a_clutch_that_closes_anywhere_moves_nothing(
    here: tuple[float, float, float], there: tuple[float, float, float]
) -> None:
    spec = PoseSpec(source="pose", buttons_topic="/vr/joy", clutch=0)
    for owner in (HAND, POSED):
        operator = PoseOperator(spec, owner)
        sent = np.clip(np.full(owner.action_dim, 0.02), owner.lower, owner.upper)
        still = sent if owner is POSED else np.append(np.zeros(6), sent[6])
        operator.heard(here, UPRIGHT, 0)
        operator.heard_buttons([], [1])
        np.testing.assert_allclose(ask(operator, at(1, sent=sent)), still, atol=1e-12)
        operator.heard_buttons([], [0])
        assert not operator.answer(at(2, sent=sent)).enabled
        operator.heard(there, UPRIGHT, 2 * MS)
        operator.heard_buttons([], [1])
        np.testing.assert_allclose(ask(operator, at(3, sent=sent)), still, atol=1e-12)


def test_a_hand_goes_where_the_phone_goes_and_makes_up_for_what_a_limit_cut_off() -> None:
    operator = PoseOperator(PoseSpec(source="pose", scale=0.5, frame_rpy=(0.0, 0.0, math.pi / 2)), HAND)
    operator.heard((1.0, 2.0, 3.0), UPRIGHT, 0)
    assert (ask(operator, at(0))[:6] == 0).all()
    turned = math.sin(0.1), 0.0, 0.0, math.cos(0.1)  # 0.2 rad about the phone's x, the robot's y
    operator.heard((1.05, 2.0, 3.0), turned, 10 * MS)
    total = sum((ask(operator, at(10 + 50 * step)) for step in range(5)), np.zeros(7))
    # 5 cm along the phone's x are 2.5 cm along the robot's y, at most 1 cm a step; 0.05 rad a step.
    np.testing.assert_allclose(total[:6], [0, 0.025, 0, 0, 0.2, 0], atol=1e-9)
    operator.heard((1.05, 2.0, 3.0), turned, 260 * MS)
    np.testing.assert_allclose(ask(operator, at(260))[:6], 0, atol=1e-9)


def test_a_lost_track_is_no_motion() -> None:
    operator = PoseOperator(PoseSpec(source="pose"), HAND)
    operator.heard((0.0, 0.0, 0.0), UPRIGHT, 0)
    operator.answer(at(0))
    operator.heard((0.0, 0.0, 0.5), UPRIGHT, 10 * MS)
    assert (ask(operator, at(10))[:6] == 0).all()
    operator.heard((0.0, 0.0, 0.505), UPRIGHT, 20 * MS)
    np.testing.assert_allclose(ask(operator, at(20))[:3], [0, 0, 0.005], atol=1e-12)


def test_a_target_pose_turns_with_the_phone() -> None:
    operator = PoseOperator(PoseSpec(source="pose"), POSED)
    sent = np.array([0.5, 0.0, 0.2, 0.0, 0.0, 0.1])
    operator.heard((0.0, 0.0, 0.0), UPRIGHT, 0)
    np.testing.assert_allclose(ask(operator, at(0, sent=sent)), sent)
    operator.heard((0.01, 0.0, 0.0), (0.0, 0.0, math.sin(0.1), math.cos(0.1)), 10 * MS)
    np.testing.assert_allclose(ask(operator, at(10, sent=sent)), [0.51, 0, 0.2, 0, 0, 0.3], atol=1e-9)


def test_velocities_bring_the_base_where_the_phone_went() -> None:
    operator = PoseOperator(PoseSpec(source="pose"), BASE)
    operator.heard((0.0, 0.0, 0.0), UPRIGHT, 0)
    operator.answer(at(0))
    gone = 0.0
    for step in range(1, 60):
        operator.heard((0.08, 0.0, 0.0), UPRIGHT, step * 20 * MS)
        gone += ask(operator, at(step * 20))[0] * 0.02
    assert gone == pytest.approx(0.08, abs=1e-3)


def test_units_and_kinds_that_no_pose_can_move_are_refused() -> None:
    odd = robot([dim("dx", "delta", unit="parsec")])
    with pytest.raises(SpecError, match=r"dx.*'parsec'.*m, cm, mm"):
        PoseOperator(PoseSpec(source="pose"), odd)
    with pytest.raises(SpecError, match="gripper is a gripper"):
        PoseOperator(PoseSpec(source="pose", translation=("gripper", None, None)), HAND)
    with pytest.raises(SpecError, match=r"not known which actions.*shoulder_pan"):
        PoseOperator(PoseSpec(source="pose"), SO100)
    assert NS == 1000 * MS
