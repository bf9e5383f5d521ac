"""Checks beyond limits and rates: bounds in space and force, jumps, silence, stops; and what each leads to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.chunk import ActionChunk, Command, OperatorAction, SafetyEvent
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.modes import Event
from xrollout_ros.runtime.supervisor import Supervisor

from .robots import dim, robot

PERIOD_NS = 10_000_000
HAND = [dim("dx", "delta"), dim("dy", "delta"), dim("grip", "gripper", "keep")]
ARM = [
    dim(name, "position", "measured", measured={"observation": "joints", "index": index})
    for index, name in enumerate(("shoulder", "elbow"))
]
POINT = {"observation": "joints", "actions": ["dx", "dy"], "scale": 0.1}
BOX = {"lower": [-0.5, -0.5], "upper": [0.5, 0.5]}


class Drive:
    """A stepped supervisor that a policy drives."""

    def __init__(self, spec: RobotSpec, **begin: Any) -> None:
        self.spec = spec
        self.supervisor = Supervisor(spec, stepped=True)
        self.place(0.0, 0.0)
        self.supervisor.begin("e", **{"has_policy": True, "operator": "anna", **begin})
        self.step = 0
        self.events: list[SafetyEvent] = []

    @property
    def t_ns(self) -> int:
        return self.step * PERIOD_NS

    @property
    def mode(self) -> Mode:
        return self.supervisor.mode

    def place(self, *values: float) -> None:
        self.supervisor.measured("joints", np.array(values))

    def chunk(self, rows: Any, **values: Any) -> None:
        actions = np.asarray(rows, dtype=np.float32)
        self.supervisor.submit_chunk(
            ActionChunk("e", "p", 0, self.step, self.t_ns, self.t_ns, PERIOD_NS, actions, **values)
        )

    def tick(self, row: Any = None, operator: Any = None, **values: Any) -> Command:
        if row is not None:
            self.chunk([row], **values)
        if operator is not None:
            action = OperatorAction("e", "anna", self.step, self.t_ns, np.asarray(operator, dtype=np.float64))
            self.supervisor.submit_operator(action, self.t_ns)
        tick = self.supervisor.tick(self.t_ns, self.step)
        self.step += 1
        self.events += tick.events
        assert tick.command is not None
        return tick.command

    def told(self) -> list[tuple[str, Severity, bool]]:
        return [(event.check, event.severity, event.began) for event in self.events]


def hand(**safety: Any) -> Drive:
    return Drive(robot(HAND, safety={"point": POINT, **safety}))


def test_a_delta_that_would_leave_the_workspace_is_clipped_at_its_edge() -> None:
    drive = hand(workspace=BOX)
    drive.place(0.48, 0)
    command = drive.tick([1, 1, 0])
    np.testing.assert_allclose(command.action, [0.2, 1, 0])
    assert command.clipped.tolist() == [True, False, False]
    drive.tick([-1, 0, 0])
    assert drive.told() == [("workspace_edge", Severity.CLIP, True), ("workspace_edge", Severity.CLIP, False)]


def test_outside_the_workspace_one_may_come_back_but_is_not_driven() -> None:
    drive = hand(workspace={**BOX, "severity": "clip"})
    drive.place(0.9, 0)
    assert drive.tick([1, 0, 0]).action.tolist() == [0, 0, 0]
    assert drive.tick([0.3, 0, 0]).action[0] == 0
    assert drive.tick([-0.5, 0, 0]).action[0] == -0.5


def test_positions_are_clipped_to_the_workspace() -> None:
    spec = robot(ARM, safety={"point": {"observation": "joints", "actions": ["shoulder", "elbow"]}, "workspace": BOX})
    drive = Drive(spec)
    assert drive.tick([0.9, -0.9]).action.tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    ("severity", "mode"),
    [("hold", Mode.AUTONOMOUS), ("abort", Mode.HOLD), ("stop", Mode.ESTOP), ("recover", Mode.HOLD)],
)
def test_measured_outside_the_workspace_does_what_its_severity_says(severity: str, mode: Mode) -> None:
    drive = hand(workspace={**BOX, "severity": severity})
    drive.place(0.6, 0)
    command = drive.tick([-1, 0, 0])
    assert (command.source, drive.mode) == (Source.HOLD, mode)
    assert drive.told()[0] == ("workspace", Severity[severity.upper()], True)
    if severity == "recover":  # and there is no recovery
        assert drive.told()[1] == ("recovery", Severity.ABORT, True)


def test_a_hold_that_lasts_ends_the_attempt_and_one_that_ends_goes_on() -> None:
    drive = hand(workspace={**BOX, "severity": "hold"})
    drive.place(0.6, 0)
    for _ in range(50):
        drive.tick([-1, 0, 0])
    drive.place(0.4, 0)
    assert drive.tick([-1, 0, 0]).source is Source.POLICY
    drive.place(0.6, 0)
    for _ in range(101):
        drive.tick([-1, 0, 0])
    assert drive.told()[-1] == ("workspace", Severity.ABORT, True)
    assert drive.mode is Mode.HOLD


def test_an_operator_may_drive_out_of_where_the_policy_may_not_be() -> None:
    drive = hand(workspace={**BOX, "severity": "abort"}, force={"observation": "joints", "limit": 0.1})
    drive.tick([0, 0, 0])
    drive.supervisor.ask(Event.TAKE_OVER, "test", "anna")
    drive.tick(operator=[0, 0, 0])
    drive.place(0.3, 0)  # the force is too large now: a recovery, but somebody drives
    for _ in range(100):
        command = drive.tick(operator=[0.2, 0, 0])
    assert (command.source, drive.mode) == (Source.OPERATOR, Mode.TELEOP)
    drive.place(0.9, 0)
    drive.tick(operator=[0.2, 0, 0])
    assert drive.mode is Mode.HOLD


def test_force_is_15_newtons_unless_said_otherwise() -> None:
    spec = robot(HAND, safety={"force": {"observation": "joints", "severity": "abort"}})
    drive = Drive(spec)
    drive.place(9, 11)
    drive.tick([0, 0, 0])
    assert drive.mode is Mode.AUTONOMOUS
    drive.place(9, 13)
    drive.tick([0, 0, 0])
    assert drive.mode is Mode.HOLD
    assert drive.events[0].value == pytest.approx(np.hypot(9, 13))
    assert drive.events[0].limit == 15


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_force_that_is_not_a_number_is_not_no_force(value: float) -> None:
    drive = Drive(robot(HAND, safety={"force": {"observation": "joints"}}))
    drive.place(value, 0)
    assert drive.tick([1, 0, 0]).source is Source.HOLD
    assert drive.told() == [("unmeasured", Severity.HOLD, True)]


def test_a_gripper_may_not_open_in_its_zone_but_stays_as_it_is() -> None:
    zone = {"lower": [0, 0], "upper": [1, 1], "gripper": "grip", "allowed": [-1, -0.5]}
    drive = hand(gripper_zones=[zone])
    drive.place(-0.1, 0)
    assert drive.tick([0, 0, 0.5]).action[2] == 0.5
    drive.place(0.1, 0.1)
    assert drive.tick([0, 0, 0.5]).action[2] == 0.5
    assert drive.tick([0, 0, 0.9]).action[2] == 0.5
    assert drive.tick([0, 0, -0.8]).action[2] == pytest.approx(-0.8)
    assert drive.tick([0, 0, 0.9]).action[2] == -0.5
    assert drive.told()[0] == ("gripper_zone", Severity.CLIP, True)


@pytest.mark.parametrize(
    ("severity", "place", "source"),
    [("hold", 0.0, Source.HOLD), ("clip", 0.2, Source.POLICY), ("abort", 0.0, Source.HOLD)],
)
def test_a_row_that_leaps_from_what_is_being_sent(severity: str, place: float, source: Source) -> None:
    drive = Drive(robot(ARM, safety={"jump": {"limits": {"shoulder": 0.2}, "severity": severity}}))
    drive.tick([0.0, 0.0])
    command = drive.tick([0.5, 0.9])
    assert (command.action[0], command.source) == (pytest.approx(place), source)
    assert drive.events[0].check == "jump"
    assert (drive.events[0].value, drive.events[0].limit) == (pytest.approx(0.5), pytest.approx(0.2))
    assert (drive.mode is Mode.HOLD) == (severity == "abort")
    if severity == "hold":
        assert drive.tick([0.1, 0.9]).source is Source.POLICY


def test_a_limit_may_be_more_than_clipped() -> None:
    drive = Drive(robot(HAND, safety={"limit": "abort"}))
    assert drive.tick([0.5, 0, 0]).source is Source.POLICY
    assert drive.tick([1.5, 0, 0]).source is Source.HOLD
    assert drive.told() == [("limit", Severity.ABORT, True)]
    assert drive.mode is Mode.HOLD


@pytest.mark.parametrize("severity", ["clip", "hold"])
def test_a_row_beyond_a_limit_is_told_when_it_is_due_however_smoothly_the_motion_would_get_there(severity: str) -> None:
    drive = Drive(robot(ARM, safety={"limit": severity}, motion={"blend_s": 0.1, "interpolation": "linear"}))
    drive.chunk([[0, 0]] * 9)
    drive.tick()
    drive.chunk([[0, 0], [0, 3], [0, 3], [0, 3]])
    assert drive.tick().source is Source.POLICY and not drive.events
    command = drive.tick()
    assert drive.told() == [("limit", Severity[severity.upper()], True)]
    assert (drive.events[0].value, drive.events[0].limit) == (3, 1)
    assert (command.source is Source.HOLD) == (severity == "hold")
    assert (command.action <= 1).all()


def test_the_most_restrictive_wins() -> None:
    drive = hand(
        workspace={**BOX, "severity": "hold"}, force={"observation": "joints", "limit": 0.1, "severity": "stop"}
    )
    drive.place(0.6, 0)
    drive.tick([0, 0, 0])
    assert drive.mode is Mode.ESTOP


def test_a_stop_is_reset_only_when_its_cause_is_gone() -> None:
    drive = hand(force={"observation": "joints", "limit": 0.1, "severity": "stop"})
    drive.place(0.6, 0)
    drive.tick([0, 0, 0])
    drive.supervisor.ask(Event.RESET_EMERGENCY_STOP, "test")
    drive.tick()
    assert drive.mode is Mode.ESTOP
    assert drive.supervisor.reason.startswith("refused")
    drive.place(0, 0)
    drive.tick()
    drive.supervisor.ask(Event.RESET_EMERGENCY_STOP, "test")
    drive.tick()
    assert drive.mode is Mode.HOLD


def test_nan_from_whoever_does_not_drive_is_told_and_takes_nobody_the_robot() -> None:
    drive = Drive(robot(HAND))
    assert drive.tick([0.5, 0, 0], operator=[np.nan, 0, 0]).source is Source.POLICY
    drive.supervisor.ask(Event.TAKE_OVER, "test", "anna")
    drive.tick(operator=[0, 0, 0])
    assert drive.tick([np.nan, 0, 0], operator=[0, 0, 0]).source is Source.OPERATOR
    assert drive.told() == [
        ("finite", Severity.CLIP, True),
        ("finite", Severity.CLIP, False),
        ("finite", Severity.CLIP, True),
    ]
    drive.tick(operator=[0, np.nan, 0])
    assert drive.mode is Mode.HOLD


@pytest.mark.parametrize(("severity", "mode"), [("stop", Mode.ESTOP), ("hold", Mode.AUTONOMOUS)])
@pytest.mark.parametrize("released", [True, False])
def test_the_enabling_switch(severity: str, mode: Mode, released: bool) -> None:
    dead_man = {"topic": "/enable", "timeout_s": 0.3, "severity": severity}
    drive = Drive(robot(HAND, safety={"dead_man": dead_man}))
    drive.tick([0, 0, 0])
    drive.supervisor.enabling(True, 0)
    assert drive.supervisor.watch(290_000_000, drive.t_ns).events == ()
    if released:
        drive.supervisor.enabling(False, 290_000_000)
    [event] = drive.supervisor.watch(310_000_000, drive.t_ns).events
    assert event.check == "dead_man"
    assert drive.mode is mode
    assert drive.tick([1, 0, 0]).source is Source.HOLD
    drive.supervisor.enabling(True, 320_000_000)
    drive.supervisor.watch(330_000_000, drive.t_ns)
    if severity == "hold":
        assert drive.tick([1, 0, 0]).source is Source.POLICY


def test_a_supervisor_that_was_stopped_and_wakes_holds() -> None:
    supervisor = Supervisor(robot(HAND), stepped=False)
    supervisor.begin("e", has_policy=True, operator="")
    for t_ns in (0, PERIOD_NS):
        supervisor.submit_chunk(ActionChunk("e", "p", 0, 0, 0, 0, PERIOD_NS, np.ones((1000, 3), dtype=np.float32)))
        supervisor.tick(t_ns, 0)
    tick = supervisor.tick(2_000_000_000, 2)
    assert [event.check for event in tick.events] == ["asleep"]
    assert supervisor.mode is Mode.HOLD
    assert tick.command is None or tick.command.source is Source.HOLD


def test_what_is_in_force_is_said_in_words() -> None:
    drive = hand(workspace={**BOX, "severity": "hold"})
    drive.place(0.6, 0)
    drive.tick([0, 0, 0])
    assert drive.supervisor.in_force == ["workspace (hold)"]
