"""Passing control: no jump, no lost frame, and everybody may change their mind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.chunk import ActionChunk, Command, OperatorAction
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.handover import Blend
from xrollout_ros.runtime.modes import Event
from xrollout_ros.runtime.supervisor import Supervisor

from .robots import dim, robot

PERIOD_NS = 10_000_000
MEASURED = {"observation": "joints", "index": 0}
ARM = robot([dim("arm", "position", "measured", measured=MEASURED), dim("grip", "gripper", "keep")])
SLOW_ARM = robot([dim("arm", "position", "measured", measured=MEASURED, max_rate=0.2), dim("grip", "gripper", "keep")])
BASE = robot([dim("linear_x", "velocity"), dim("angular_z", "velocity", max_rate=1.0)])
HAND = robot([dim("dx", "delta"), dim("grip", "gripper", "keep")])
RAMP_S, APPROACH_S = ARM.safety.handover.ramp_s, ARM.safety.handover.approach_s


class Drive:
    """A supervisor ticked at the control rate, by a policy and an operator who may each say something in a tick."""

    def __init__(self, spec: RobotSpec, *, stepped: bool = False) -> None:
        self.spec = spec
        self.supervisor = Supervisor(spec, stepped=stepped)
        self.supervisor.measured("joints", np.zeros(2))
        self.supervisor.begin("e", has_policy=True, operator="anna")
        self.t_ns, self.step = PERIOD_NS, 0
        self.discarded = 0

    def chunk(self, row: Any, rows: int = 200, observed_ns: int | None = None) -> None:
        start_ns = self.t_ns if observed_ns is None else observed_ns
        actions = np.tile(np.asarray(row, dtype=np.float32), (rows, 1))
        self.supervisor.submit_chunk(ActionChunk("e", "p", 0, 0, start_ns, start_ns, PERIOD_NS, actions))

    def ask(self, event: Event) -> None:
        self.supervisor.ask(event, "test", "anna")

    def tick(self, operator: Any = None, *, enabled: bool = True) -> Command:
        if operator is not None:
            action = np.asarray(operator, dtype=np.float64)
            self.supervisor.submit_operator(OperatorAction("e", "anna", self.step, 0, action, enabled), self.t_ns)
        command = self.supervisor.tick(self.t_ns, self.step).command
        self.t_ns += PERIOD_NS
        self.step += 1
        assert command is not None
        return command

    def driven(self, row: Any, ticks: int) -> list[Command]:
        self.chunk(row)
        return [self.tick() for _ in range(ticks)]

    @property
    def mode(self) -> Mode:
        return self.supervisor.mode


def test_a_takeover_goes_by_handover_to_teleop_and_loses_none_of_the_operators_frames() -> None:
    drive = Drive(HAND)
    drive.driven([0.5, 0], 5)
    drive.ask(Event.TAKE_OVER)
    commands = [drive.tick([-0.4, 0]) for _ in range(80)]
    assert {command.source for command in commands} == {Source.OPERATOR}
    modes = [command.mode for command in commands]
    assert modes == sorted(modes)
    assert set(modes) == {Mode.HANDOVER, Mode.TELEOP}
    assert modes.index(Mode.TELEOP) == pytest.approx(100 * RAMP_S, abs=2)
    deltas = [command.action[0] for command in commands]
    assert deltas[0] == 0
    assert np.diff(deltas).max() <= 0
    assert deltas[-1] == -0.4
    assert drive.supervisor.operator == "anna"


def test_a_velocity_blends_from_what_was_being_sent() -> None:
    drive = Drive(BASE)
    drive.driven([0.8, 0], 5)
    drive.ask(Event.TAKE_OVER)
    speeds = [drive.tick([-0.2, 0]).action[0] for _ in range(80)]
    assert speeds[0] == pytest.approx(0.8)
    assert np.abs(np.diff(speeds)).max() <= 1.0 / (100 * RAMP_S) + 1e-9
    assert speeds[-1] == -0.2


def test_a_leader_arm_that_is_far_away_is_approached_at_a_speed_that_grows() -> None:
    drive = Drive(ARM)
    drive.driven([0, 0], 5)
    drive.ask(Event.TAKE_OVER)
    places = [drive.tick([0.9, 0]).action[0] for _ in range(300)]
    steps = np.diff(places)
    allowed = 2.0 / APPROACH_S * np.arange(1, 300) / (100 * RAMP_S) / 100
    assert (steps <= allowed + 1e-9).all()
    assert places[-1] == 0.9
    assert drive.mode is Mode.TELEOP


def test_a_rate_limit_rules_the_approach_too() -> None:
    drive = Drive(SLOW_ARM)
    drive.driven([0, 0], 5)
    drive.ask(Event.TAKE_OVER)
    places = [drive.tick([0.5, 0]).action[0] for _ in range(400)]
    assert np.diff(places).max() <= 0.2 / 100 + 1e-9
    assert places[-1] == pytest.approx(0.5)


def test_what_is_gripped_stays_so_until_the_operator_commands_it() -> None:
    drive = Drive(HAND)
    drive.driven([0.1, 0.9], 5)
    drive.ask(Event.TAKE_OVER)
    grips = [drive.tick([0, -0.9]).action[1] for _ in range(100)]
    assert drive.mode is Mode.TELEOP
    assert set(np.round(grips, 6)) == {0.9}
    assert drive.tick([0, -0.5]).action[1] == -0.5
    assert drive.tick([0, -0.9]).action[1] == -0.9


def test_a_scripted_operators_gripper_may_follow_at_once() -> None:
    spec = robot([dim("dx", "delta"), dim("grip", "gripper", "keep")], safety={"handover": {"gripper": "at_once"}})
    drive = Drive(spec)
    drive.driven([0.1, 0.9], 5)
    drive.ask(Event.TAKE_OVER)
    assert drive.tick([0, -0.9]).action[1] == -0.9


def test_until_the_operator_commands_the_robot_holds_and_the_ramp_waits() -> None:
    drive = Drive(HAND)
    drive.driven([0.5, 0], 5)
    drive.ask(Event.TAKE_OVER)
    waiting = [drive.tick(enabled=False, operator=[1, 0]) for _ in range(100)]
    assert {(command.mode, command.source, command.action[0]) for command in waiting} == {
        (Mode.HANDOVER, Source.HOLD, 0.0)
    }
    assert drive.tick([1, 0]).action[0] == 0
    assert 0 < drive.tick([1, 0]).action[0] < 0.1


def test_an_operator_who_lets_go_and_comes_back_elsewhere_makes_no_jump() -> None:
    drive = Drive(ARM)
    drive.driven([0, 0], 5)
    drive.ask(Event.TAKE_OVER)
    for _ in range(200):
        drive.tick([0, 0])
    assert drive.mode is Mode.TELEOP
    drive.tick([0, 0], enabled=False)
    places = [drive.tick([1, 0]).action[0] for _ in range(20)]
    assert max(places) < 0.05


@pytest.mark.parametrize(
    ("event", "mode"),
    [(Event.HOLD, Mode.HOLD), (Event.EMERGENCY_STOP, Mode.ESTOP), (Event.END, Mode.HOLD), (Event.FAULT, Mode.HOLD)],
)
def test_a_handover_can_be_aborted(event: Event, mode: Mode) -> None:
    drive = Drive(HAND)
    drive.driven([0.5, 0], 5)
    drive.ask(Event.TAKE_OVER)
    drive.tick([0.5, 0])
    drive.ask(event)
    command = drive.tick([0.5, 0])
    assert (command.mode, command.source, drive.supervisor.operator) == (mode, Source.HOLD, "")


def test_handing_back_is_ramped_and_takes_no_chunk_from_before() -> None:
    drive = Drive(HAND)
    drive.driven([0.5, 0], 5)
    drive.ask(Event.TAKE_OVER)
    for _ in range(100):
        drive.tick([0.1, 0])
    drive.chunk([1, 0], observed_ns=drive.t_ns - 1)  # the policy saw the operator drive
    drive.ask(Event.HAND_BACK)
    command = drive.tick([0.1, 0])
    assert (command.mode, command.source) == (Mode.HANDOVER, Source.HOLD)
    assert drive.supervisor.chunks_discarded == 1
    assert drive.supervisor.operator == ""
    commands = drive.driven([1, 0], 80)
    assert {command.source for command in commands} == {Source.POLICY}
    assert [command.action[0] for command in commands[:2]] == [0, pytest.approx(0.02)]
    assert drive.mode is Mode.AUTONOMOUS
    assert commands[-1].action[0] == 1


def test_whoever_asks_last_gets_the_robot() -> None:
    drive = Drive(HAND)
    drive.driven([0.5, 0], 5)
    drive.ask(Event.TAKE_OVER)
    drive.tick([0.1, 0])
    drive.ask(Event.HAND_BACK)
    drive.chunk([0.5, 0])
    assert (drive.tick([0.1, 0]).source, drive.mode) == (Source.POLICY, Mode.HANDOVER)
    drive.ask(Event.TAKE_OVER)
    assert (drive.tick([0.1, 0]).source, drive.mode) == (Source.OPERATOR, Mode.HANDOVER)


def test_asking_again_does_not_begin_the_ramp_again() -> None:
    drive = Drive(HAND)
    drive.driven([0.5, 0], 5)
    for _ in range(80):
        drive.ask(Event.TAKE_OVER)
        drive.tick([0.1, 0])
    assert drive.mode is Mode.TELEOP


def test_a_chunk_of_the_very_step_of_handing_back_counts_in_the_stepped_drive() -> None:
    drive = Drive(HAND, stepped=True)
    drive.driven([0.5, 0], 5)
    drive.ask(Event.TAKE_OVER)
    for _ in range(80):
        drive.tick([0.1, 0])
    drive.ask(Event.HAND_BACK)
    drive.chunk([1, 0])
    assert drive.tick([0.1, 0]).source is Source.POLICY


wishes = st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(
    spec=st.sampled_from([ARM, SLOW_ARM, BASE, HAND]),
    stepped=st.booleans(),
    before=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    operator=wishes,
    back=st.integers(0, 120),
)
def test_no_step_of_a_handover_is_a_jump(spec: RobotSpec, stepped: bool, before: Any, operator: Any, back: int) -> None:
    """Neither to the operator nor back, wherever either wants to be."""
    drive = Drive(spec, stepped=stepped)
    last = drive.driven(before, 150)[-1].action
    drive.ask(Event.TAKE_OVER)
    begun, begin = None, last
    for tick in range(240):
        if tick == back + 100:
            drive.ask(Event.HAND_BACK)
            drive.chunk([before[0], before[1]], observed_ns=drive.t_ns)
            begun, begin = None, last
        command = drive.tick(operator[tick % len(operator)])
        begun = tick if begun is None else begun
        if command.mode is Mode.HANDOVER:
            ramped = (tick - begun) / (100 * RAMP_S)
            step = np.abs(command.action - last)
            allowed = np.minimum(spec.max_rate / 100, np.inf)
            for place, each in enumerate(spec.actions):
                if each.kind.value == "position":
                    allowed[place] = min(allowed[place], 2.0 / APPROACH_S * ramped / 100)
                elif each.kind.value == "velocity":
                    # The blend's: where it came from fades, what is wanted grows.
                    wanted = max(abs(wish[place]) for wish in [*operator, before])
                    allowed[place] = min(allowed[place], (abs(begin[place]) + wanted) / 50 + ramped * 2 * wanted)
                elif each.kind.value == "delta":
                    allowed[place] = np.inf
                    if command.source is not Source.HOLD:
                        assert abs(command.action[place]) <= min(1.0, ramped) + 1e-9
                else:
                    allowed[place] = np.inf
            assert (step <= allowed + 1e-6).all()
        last = command.action


def test_a_blend_ends_and_changes_nothing_any_more() -> None:
    blend = Blend(ARM, keeps_grip=False)
    last = np.array([0.0, 0.0])
    for tick in range(1000):
        last = blend(np.array([np.sin(tick / 30), 0.5]), last, tick * PERIOD_NS, 0.01)
        if blend.over:
            break
    assert blend.over
    assert tick < 300
