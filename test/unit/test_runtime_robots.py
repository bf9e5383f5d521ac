"""The supervisor drives every shipped robot: each kind of action, each hold rule, and what is never sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.chunk import ActionChunk, Command, OperatorAction
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.modes import Event
from xrollout_ros.runtime.supervisor import Supervisor, Tick

from .robots import dim, robot

EPISODE = "episode"
MS = 1_000_000
SO100, BASE, JTC, DELTAS = (load_robot(name) for name in ("so100", "diff_drive", "jtc_arm", "ee_delta_arm"))


class Run:
    """A supervisor ticked at the control rate in real time."""

    def __init__(self, spec: RobotSpec, *, operator: str = "") -> None:
        self.spec = spec
        self.supervisor = Supervisor(spec, stepped=False)
        self.supervisor.begin(EPISODE, has_policy=not operator, operator=operator)
        self.t_ns = 0

    def measure(self, *positions: float) -> None:
        self.supervisor.measured(self.spec.measured[0], np.array(positions))

    def chunk(self, rows: Any) -> None:
        actions = np.asarray(rows, dtype=np.float32)
        period_ns = self.spec.policy_period_ns
        self.supervisor.submit_chunk(ActionChunk(EPISODE, "p", 0, 0, self.t_ns, self.t_ns, period_ns, actions))

    def operate(self, action: Any) -> None:
        values = np.asarray(action, dtype=np.float64)
        self.supervisor.submit_operator(OperatorAction(EPISODE, "anna", 0, self.t_ns, values), self.t_ns)

    def ticks(self, count: int) -> list[Tick]:
        made = []
        for _ in range(count):
            made.append(self.supervisor.tick(self.t_ns, 0))
            if made[-1].command is not None:
                self.supervisor.sent(self.t_ns, self.t_ns)
            self.t_ns += self.spec.control_period_ns
        return made

    def sent(self, count: int) -> list[Command]:
        return [tick.command for tick in self.ticks(count) if tick.command is not None]


def test_positions_are_interpolated_to_the_control_rate_and_a_gripper_is_not() -> None:
    run = Run(SO100)  # two ticks for each row
    run.measure(0, 0, 0, 0, 0, 0.5)
    first, second = np.array([0, 0, 0, 0, 0, 0.5]), np.array([0.02, -0.02, 0.01, 0, 0, 0.53])
    run.chunk([first, second, second])
    commands = run.sent(4)
    assert [command.chunk_index for command in commands] == [0, 0, 1, 1]
    half = (first + second) / 2
    np.testing.assert_allclose(commands[1].action, [*half[:5], 0.5], atol=1e-6)
    np.testing.assert_allclose(commands[2].action, second, atol=1e-6)


def test_velocities_are_interpolated_and_max_rate_is_an_acceleration_from_rest() -> None:
    run = Run(BASE)  # five ticks for each row
    run.chunk([[0.0, 0.0], [0.05, 0.1], [0.05, 0.1]])
    np.testing.assert_allclose([command.action[0] for command in run.sent(6)], np.arange(6) * 0.01, atol=1e-7)
    again = Run(BASE)
    again.chunk([[0.5, 1.0]] * 20)
    commands = again.sent(60)
    speeds = np.array([command.action for command in commands])
    steps = BASE.max_rate / BASE.control_rate_hz
    np.testing.assert_allclose(speeds[:3], [steps * (tick + 1) for tick in range(3)])
    assert (np.diff(speeds, axis=0) <= steps + 1e-9).all()
    np.testing.assert_allclose(speeds[-1], [0.5, 1.0])


def test_a_base_that_runs_dry_brakes_to_zero_at_its_acceleration() -> None:
    run = Run(BASE)
    run.chunk([[0.1, 0.0]] * 3)
    commands = run.sent(45)
    held = [command for command in commands if command.source is Source.HOLD]
    speeds = [command.action[0] for command in held]
    assert speeds == sorted(speeds, reverse=True)
    assert speeds[-1] == 0
    assert np.abs(np.diff([command.action[0] for command in commands])).max() <= 0.5 / 50 + 1e-9


def test_deltas_are_sent_once_for_each_row_though_the_control_rate_is_higher() -> None:
    run = Run(DELTAS)  # three ticks for each row
    run.measure(0.04)
    rows = np.full((4, 7), 0.001) * np.arange(1, 5)[:, None]
    run.chunk(rows)
    ticks = run.ticks(12)
    assert [tick.command is not None for tick in ticks] == [True, False, False] * 4
    sent = np.array([tick.command.action for tick in ticks if tick.command is not None])
    np.testing.assert_allclose(sent, rows, atol=1e-9)


@pytest.mark.parametrize("kind", ["delta", "effort"])
def test_what_acts_once_is_held_at_zero_at_once_and_then_at_the_policys_rate(kind: str) -> None:
    spec = robot([dim("a", kind), dim("b", "gripper", "keep")], control_rate_hz=100.0, policy_rate_hz=25.0)
    run = Run(spec)
    run.chunk([[0.5, 0.75]])
    ticks = run.ticks(13)
    # The row's four ticks, then hold: at the first tick that needs it, and every fourth from there on.
    assert [place for place, tick in enumerate(ticks) if tick.command is not None] == [0, 4, 8, 12]
    held = [tick.command for tick in ticks[4:] if tick.command is not None]
    assert all(command.source is Source.HOLD and command.action.tolist() == [0, 0.75] for command in held)


def test_an_operators_delta_acts_once_however_often_the_supervisor_ticks() -> None:
    run = Run(DELTAS, operator="anna")
    run.measure(0.04)
    run.operate([0.001] * 6 + [0.05])
    assert len(run.sent(3)) == 1
    for _ in range(6):  # an operator who sends with each tick is heard at the policy's rate
        run.operate([0.002] * 6 + [0.05])
        run.ticks(1)
    run.operate([0.003] * 6 + [0.05])
    commands = run.sent(3)
    assert [command.action[0] for command in commands] == [0.003]


def test_an_operators_silence_holds_a_delta_robot_still() -> None:
    run = Run(DELTAS, operator="anna")
    run.measure(0.04)
    run.operate([0.001] * 6 + [0.05])
    commands = run.sent(20)
    assert commands[0].source is Source.OPERATOR
    assert {command.source for command in commands[1:]} == {Source.HOLD}
    assert all(command.action.tolist() == [0] * 6 + [0.05] for command in commands[1:])


def test_an_operators_positions_are_sent_at_the_control_rate() -> None:
    run = Run(SO100, operator="anna")
    run.measure(0, 0, 0, 0, 0, 0.5)
    run.operate([0, 0, 0, 0, 0, 0.5])
    assert len(run.sent(6)) == 6


@pytest.mark.parametrize("spec", [SO100, JTC], ids=lambda spec: spec.id)
@pytest.mark.parametrize("operator", ["", "anna"])
def test_a_robot_that_was_never_measured_is_not_commanded_at_all(spec: RobotSpec, operator: str) -> None:
    run = Run(spec, operator=operator)
    run.chunk(np.zeros((200, spec.action_dim)))
    run.operate(np.zeros(spec.action_dim))
    count = round(spec.control_rate_hz * (spec.safety.hold_abort_s + 0.1))
    ticks = run.ticks(count)
    assert all(tick.command is None for tick in ticks)
    events = [event for tick in ticks for event in tick.events]
    assert [(event.check, event.severity) for event in events] == [
        ("posture", Severity.HOLD),
        ("posture", Severity.ABORT),
    ]
    assert spec.actions[0].name in events[0].action_taken
    assert run.supervisor.mode is Mode.HOLD
    for event in (Event.EMERGENCY_STOP, Event.RESET_EMERGENCY_STOP, Event.END):
        run.supervisor.ask(event, "test")
        assert run.sent(5) == []


def test_nan_measurements_count_as_none() -> None:
    run = Run(JTC)
    run.measure(0, 0, np.nan, 0, 0, 0)
    assert run.sent(3) == []


def test_once_measured_it_holds_there_and_begins_from_there() -> None:
    run = Run(JTC)
    here = [0.5, -0.5, 1.0, 0, 0.25, 0]
    run.ticks(3)
    run.measure(*here)
    [tick] = run.ticks(1)
    assert tick.command is not None
    assert tick.command.action.tolist() == here
    assert ("posture", False) in [(event.check, event.began) for event in tick.events]
    run.chunk(np.zeros((100, 6)))  # far away: the first command is a step towards it, no leap
    [command] = run.sent(1)
    np.testing.assert_allclose(np.abs(command.action - here)[:3], 0.8 / 100)


def test_an_attempt_that_follows_at_once_goes_on_from_the_velocity_that_was_sent() -> None:
    run = Run(robot([dim("wheel", "velocity", max_rate=5.0), dim("motor", "effort", max_rate=5.0)]))
    run.chunk([[1.0, -1.0]] * 50)
    before = run.sent(15)[-1].action
    assert (np.abs(before) > 0.5).all()
    run.supervisor.finish()
    run.supervisor.begin(EPISODE, has_policy=True, operator="")
    for command in run.sent(30):
        assert (np.abs(command.action - before) <= 5.0 * 0.01 * (1 + 1e-9)).all()
        before = command.action
    assert not before.any()


def test_after_a_silence_a_velocity_begins_from_rest_since_the_driver_has_stopped_the_robot() -> None:
    run = Run(robot([dim("wheel", "velocity", max_rate=5.0)]))
    run.chunk([[1.0]] * 50)
    assert run.sent(20)[-1].action[0] > 0.5
    run.t_ns += 1000 * MS  # the process was stopped
    assert abs(run.sent(1)[0].action[0]) <= 5.0 * 0.01 * (1 + 1e-9)


def test_after_a_command_that_was_long_under_way_a_velocity_begins_from_rest_and_no_sooner() -> None:
    for late_ms, rests in ((90, False), (110, True)):
        run = Run(robot([dim("wheel", "velocity", max_rate=5.0)]))
        run.chunk([[1.0]] * 100)
        before = run.sent(20)[-1].action[0]
        late = run.supervisor.tick(run.t_ns, 0)  # chosen at once, sent when the robot has stopped
        assert late.command is not None and late.command.action[0] >= before
        run.t_ns += (late_ms - 10) * MS
        run.supervisor.sent(run.t_ns, run.t_ns)
        run.t_ns += 1 * MS
        after = run.sent(1)[0].action[0]
        assert (abs(after) <= 5.0 * 0.01 * (1 + 1e-9)) == rests


def test_a_command_of_which_nobody_knows_when_it_went_is_taken_for_no_silence() -> None:
    run = Run(robot([dim("wheel", "velocity", max_rate=5.0)]))
    run.chunk([[1.0]] * 100)
    before = run.sent(20)[-1].action[0]
    assert run.supervisor.tick(run.t_ns, 0).command is not None
    # Somewhere in these 150 ms: the robot may still move.
    run.supervisor.sent(run.t_ns, run.t_ns + 150 * MS)
    run.t_ns += 151 * MS
    assert abs(run.sent(1)[0].action[0] - before) <= 2 * 5.0 * 0.01 * (1 + 1e-9)


def test_the_first_command_of_an_attempt_begins_where_the_robot_stands_now() -> None:
    run = Run(JTC)
    run.measure(*[0.0] * 6)
    run.chunk(np.zeros((5, 6)))
    run.sent(3)
    run.supervisor.finish()
    run.sent(2)
    run.measure(*[1.0] * 6)  # moved by hand between two attempts
    run.supervisor.begin(EPISODE, has_policy=True, operator="")
    run.chunk(np.zeros((5, 6)))
    [command] = run.sent(1)
    np.testing.assert_allclose(command.action, 1.0 - JTC.max_rate / 100)


def test_a_robot_far_outside_its_limits_is_left_alone_and_named() -> None:
    run = Run(JTC)
    run.measure(0, 1.7, 0, 0, 0, 0)
    ticks = run.ticks(2)
    assert all(tick.command is None for tick in ticks)
    assert "joint_2: measured 1.7, its limits are -1.5 to 1.5" in ticks[0].events[0].action_taken
    run.measure(0, 1.51, 0, 0, 0, 0)  # noise
    [command] = run.sent(1)
    assert command.action[1] == 1.5


def test_hold_keeps_what_is_gripped_where_the_arm_was() -> None:
    run = Run(SO100)
    run.measure(0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    run.chunk([[0.11, 0.2, 0.3, 0.4, 0.5, 0.65]])
    run.sent(2)
    run.measure(0.105, 0.2, 0.3, 0.4, 0.5, 0.62)
    held = run.sent(1)[0]
    assert held.source is Source.HOLD
    np.testing.assert_allclose(held.action, [0.105, 0.2, 0.3, 0.4, 0.5, 0.65], atol=1e-6)


def test_a_gripper_of_which_nothing_is_known_is_not_moved() -> None:
    spec = robot([dim("dx", "delta"), dim("grip", "gripper", "keep")])
    run = Run(spec)
    assert run.sent(5) == []
    run.chunk([[0.5, 0.75]])
    assert [command.action.tolist() for command in run.sent(2)] == [[0.5, 0.75], [0, 0.75]]


def test_a_gripper_that_is_measured_is_kept_where_it_is() -> None:
    run = Run(DELTAS)
    run.measure(0.03)
    assert run.sent(1)[0].action.tolist() == [0] * 6 + [0.03]


def test_a_long_silence_earns_no_leap() -> None:
    run = Run(JTC)
    run.measure(*[0.0] * 6)
    run.chunk(np.zeros((1, 6)))
    run.sent(1)
    run.t_ns += 900 * MS
    run.chunk(np.ones((5, 6)))
    [command] = run.sent(1)
    np.testing.assert_allclose(command.action, JTC.max_rate / 100)
