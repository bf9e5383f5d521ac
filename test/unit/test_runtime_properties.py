"""What the supervisor never does, whatever comes: for several robots, in both drives."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import ActionChunk, Command, OperatorAction
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.modes import Event
from xrollout_ros.runtime.supervisor import Supervisor, Tick

from .robots import SMOOTH, dim, robot

MS = 1_000_000
JOINT = {"observation": "joints", "index": 0}
HAND = {"observation": "joints", "index": 1}
LEARNED = {"kind": "learned", "clear_s": 0.1, "answer_s": 0.2, "time_limit_s": 0.5}
RECOVERIES = [
    {"kind": "hold", "duration_s": 0.05},
    {"kind": "backtrack", "duration_s": 1.0, "time_limit_s": 0.3, "tolerance": 0.01},
]
ALARMS = [
    {"kind": "time", "factor": 2.0, "severity": "recover"},
    {"kind": "no_progress", "observation": "joints", "distance": 0.01, "window_s": 0.2, "severity": "recover"},
    {"kind": "score", "score": "chunk_consistency", "threshold": 0.5, "severity": "hold"},
    {"kind": "score", "score": "ensemble_variance", "threshold": 0.9, "severity": "stop"},
]
BOX = {"lower": [-0.5, -0.5], "upper": [0.5, 0.5]}
ZONE = {"lower": [0.0, 0.0], "upper": [1.0, 1.0], "gripper": "grip", "allowed": [0.0, 0.25]}
POSITION = robot(
    [
        dim("shoulder", "position", "measured", max_rate=2.0, measured=JOINT),
        dim("elbow", "position", "measured", measured=HAND),
        dim("grip", "gripper", "keep", max_rate=3.0),
    ],
    safety={
        "point": {"observation": "joints", "actions": ["shoulder", "elbow"]},
        "workspace": BOX,
        "gripper_zones": [ZONE],
        "force": {"observation": "joints", "limit": 1.2, "severity": "recover"},
        "jump": {"limits": {"shoulder": 0.3}, "severity": "hold"},
        "recoveries": [LEARNED, *RECOVERIES, {"kind": "retreat", "pose": {"shoulder": 0.25}}, LEARNED],
        "detectors": ALARMS,
    },
)
DELTA = robot(
    [dim("dx", "delta"), dim("dy", "delta", max_rate=50.0), dim("grip", "gripper", "keep")],
    policy_rate_hz=50.0,
    safety={
        "point": {"observation": "joints", "actions": ["dx", "dy"], "scale": 0.1},
        "workspace": BOX,
        "recoveries": [LEARNED, *RECOVERIES, {"kind": "retreat", "point": [0.0, 0.0]}],
        "detectors": ALARMS,
        "help": {"timeout_s": 0.2, "otherwise": "recover"},
    },
)
VELOCITY = robot(
    [dim("linear_x", "velocity", max_rate=5.0), dim("angular_z", "velocity", max_rate=2.0)],
    safety={
        "recoveries": [{"kind": "hold", "duration_s": 0.1}, LEARNED, LEARNED],
        "detectors": ALARMS,
        "dead_man": {"topic": "/enable", "timeout_s": 0.5},
        "limit": "hold",
    },
)
MIXED = robot(
    [
        dim("shoulder", "position", "measured", max_rate=2.0, measured=JOINT),
        dim("wheel", "velocity", max_rate=5.0),
        dim("push", "effort"),
        dim("grip", "gripper", "keep", measured=HAND),
    ],
    policy_rate_hz=25.0,
    safety={
        "force": {"observation": "joints", "limit": 1.3, "severity": "stop"},
        "jump": {"limits": {"shoulder": 0.3, "wheel": 0.5}, "severity": "recover"},
        "recoveries": [LEARNED, *RECOVERIES],
        "help": {"timeout_s": 0.2, "otherwise": "abort", "meanwhile": "go_on"},
        "detectors": ALARMS,
        "dead_man": {"topic": "/enable", "timeout_s": 0.5, "severity": "hold"},
        "rate": "recover",
    },
)
ROBOTS = [POSITION, DELTA, VELOCITY, MIXED, SMOOTH]

values = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.sampled_from([0.0, 1.0, -1.0, 0.5, 0.1])
near = st.floats(-1.25, 1.25, width=32)


class AnythingHappens(RuleBasedStateMachine):
    """Everything that reaches a supervisor, in any order; each command is judged."""

    late_ns = 0

    @initialize(spec=st.sampled_from(ROBOTS), stepped=st.booleans(), operator=st.sampled_from(["", "anna"]))
    def start(self, spec: RobotSpec, stepped: bool, operator: str) -> None:
        self.spec = spec
        self.supervisor = Supervisor(spec, stepped=stepped)
        once = any(each.kind.once for each in spec.actions)
        self.period_ns = spec.policy_period_ns if once or stepped else spec.control_period_ns
        self.t_ns, self.steady_ns, self.step = 10**12, 10**12, 0
        self.sequence = itertools.count()
        self.episode = "one"
        self.last: Command | None = None
        self.sent_ns, self.came_late = 0, False
        self.reset_asked = False
        self.supervisor.measured("joints", np.array([0.0, 0.1]))
        self.supervisor.begin(self.episode, has_policy=True, operator=operator, time_limit_s=30.0)
        self.judged(lambda: self.supervisor.tick(self.t_ns, 0))

    @rule(
        rows=st.lists(st.lists(values, min_size=4, max_size=4), max_size=4),
        width=st.sampled_from([0, 0, 0, 1, -1]),
        offset=st.integers(-5, 5),
        mine=st.sampled_from([True, True, True, False]),
        scores=st.dictionaries(st.sampled_from(["chunk_consistency", "ensemble_variance"]), values),
    )
    def chunk(self, rows: list[list[float]], width: int, offset: int, mine: bool, scores: dict[str, float]) -> None:
        self.submit(np.resize(np.array(rows), (len(rows), self.spec.action_dim + width)), offset, mine, scores)

    @rule(rows=st.lists(st.lists(near, min_size=4, max_size=4), min_size=3, max_size=8))
    def sound_chunk(self, rows: list[list[float]]) -> None:
        self.submit(np.array(rows)[:, : self.spec.action_dim], 0, True, {})

    @rule(
        rows=st.lists(st.lists(values, min_size=4, max_size=4), max_size=4),
        width=st.sampled_from([0, 0, 0, 1, -1]),
        offset=st.integers(-5, 5),
        mine=st.sampled_from([True, True, True, False]),
    )
    def recovery_chunk(self, rows: list[list[float]], width: int, offset: int, mine: bool) -> None:
        actions = np.resize(np.array(rows), (len(rows), self.spec.action_dim + width))
        self.supervisor.submit_recovery_chunk(self.made(actions, offset, mine, {}))

    @rule(rows=st.lists(st.lists(near, min_size=4, max_size=4), min_size=1, max_size=4), ticks=st.integers(1, 60))
    def recovery_drives(self, rows: list[list[float]], ticks: int) -> None:
        self.all_is_well()
        self.submit(np.zeros((4, self.spec.action_dim)), 0, True, {})
        self.go_on(1)
        self.supervisor.measured("joints", np.array([1.25, 0.0]))  # outside, and pressing
        self.go_on(2)
        actions = np.repeat(np.array(rows)[:, : self.spec.action_dim], 8, axis=0)
        self.supervisor.submit_recovery_chunk(self.made(actions, 0, True, {}))
        self.go_on(ticks)

    def submit(self, rows: Any, offset: int, mine: bool, scores: dict[str, float]) -> None:
        self.supervisor.submit_chunk(self.made(rows, offset, mine, scores))

    def made(self, rows: Any, offset: int, mine: bool, scores: dict[str, float]) -> ActionChunk:
        start_ns, period_ns = self.t_ns + offset * self.spec.policy_period_ns, self.spec.policy_period_ns
        episode = self.episode if mine else "another"
        actions = np.asarray(rows, dtype=np.float32)
        number = next(self.sequence)
        return ActionChunk(episode, "p", number, 0, start_ns, start_ns, period_ns, actions, scores=scores)

    @rule(action=st.lists(values, max_size=5), enabled=st.booleans())
    def operate(self, action: list[float], enabled: bool) -> None:
        told = OperatorAction(self.episode, "anna", self.step + 1, 0, np.array(action), enabled)
        self.supervisor.submit_operator(told, self.t_ns)

    @rule(
        rows=st.lists(st.lists(near, min_size=4, max_size=4), min_size=1, max_size=4),
        ticks=st.integers(1, 60),
        event=st.sampled_from([None, None, Event.HAND_BACK]),
    )
    def policy_drives(self, rows: list[list[float]], ticks: int, event: Event | None) -> None:
        self.all_is_well()
        if event is not None:
            self.ask(event)
            self.go_on(1)
        self.submit(np.repeat(np.array(rows)[:, : self.spec.action_dim], 8, axis=0), 0, True, {})
        self.go_on(ticks)

    @rule(
        actions=st.lists(st.lists(near, min_size=4, max_size=4), min_size=1, max_size=3),
        ticks=st.integers(1, 60),
        event=st.sampled_from([None, Event.TAKE_OVER]),
    )
    def operator_drives(self, actions: list[list[float]], ticks: int, event: Event | None) -> None:
        self.all_is_well()
        if event is not None:
            self.ask(event)
        for tick in range(ticks):
            action = np.array(actions[tick * len(actions) // ticks][: self.spec.action_dim])
            told = OperatorAction(self.episode, "anna", self.step + 1, 0, action, True)
            self.supervisor.submit_operator(told, self.t_ns)
            self.go_on(1)

    @rule()
    def all_is_well(self) -> None:
        self.heard()
        self.enabling(True)
        self.supervisor.measured("joints", np.array([0.2, -0.1]) if self.last is None else self.last.action[:2] / 4)

    @rule(event=st.sampled_from([*Event, *[event for event in Event if event.name.startswith("START")] * 4]))
    def ask(self, event: Event) -> None:
        self.reset_asked |= event is Event.RESET_EMERGENCY_STOP
        self.supervisor.ask(event, "test", "anna")

    @rule(operator=st.sampled_from(["", "anna"]), has_policy=st.booleans(), usual=st.sampled_from([None, 0.2]))
    def begin(self, operator: str, has_policy: bool, usual: float | None) -> None:
        self.episode = f"after {self.episode}"[-40:]
        self.supervisor.begin(self.episode, has_policy=has_policy, operator=operator, time_limit_s=30.0, usual_s=usual)
        # The robot need not be where it was sent last.
        self.last = None

    @rule()
    def finish(self) -> None:
        self.supervisor.finish()

    @rule(place=st.lists(values, min_size=2, max_size=2))
    def measure(self, place: list[float]) -> None:
        self.supervisor.measured("joints", np.array(place))

    @rule(place=st.lists(st.floats(-0.4, 0.4), min_size=2, max_size=2))
    def measure_within(self, place: list[float]) -> None:
        self.supervisor.measured("joints", np.array(place))

    @rule(enabled=st.booleans())
    def enabling(self, enabled: bool) -> None:
        self.supervisor.enabling(enabled, self.steady_ns)

    @rule()
    def heard(self) -> None:
        self.supervisor.sensor_seen("/joint_states", self.steady_ns)
        self.supervisor.manager_seen(self.steady_ns)

    @rule(silence_ms=st.sampled_from([0, 10, 90, 600, 3000]))
    def watch(self, silence_ms: int) -> None:
        self.steady_ns += silence_ms * MS
        self.judged(lambda: self.supervisor.watch(self.steady_ns, self.t_ns))

    @rule(jump_ms=st.sampled_from([-100_000, -500, -1, 0, 300, 2_000, 100_000]))
    def clock_jumps(self, jump_ms: int) -> None:
        self.t_ns += jump_ms * MS
        self.go_on(1)

    @rule(late_ms=st.sampled_from([5, 60, 90, 150, 1000]))
    def sent_late(self, late_ms: int) -> None:
        """The process is stopped between choosing a command and sending it."""
        self.late_ns = late_ms * MS
        self.go_on(1)
        self.t_ns += self.late_ns
        self.late_ns = 0

    @rule(ticks=st.integers(1, 30))
    def go_on(self, ticks: int) -> None:
        for _ in range(ticks):
            self.t_ns += self.spec.control_period_ns
            self.steady_ns += self.spec.control_period_ns
            self.step += 1
            self.judged(lambda: self.supervisor.tick(self.t_ns, self.step))

    def judged(self, call: Any) -> None:
        before = self.supervisor.mode
        tick: Tick = call()
        if before is Mode.ESTOP and self.supervisor.mode is not Mode.ESTOP:
            assert self.reset_asked
        self.reset_asked = False
        if tick.command is None:
            return
        spec, command = self.spec, tick.command
        assert command.action.shape == (spec.action_dim,)
        assert np.isfinite(command.action).all()
        assert (command.action >= spec.lower).all()
        assert (command.action <= spec.upper).all()
        if self.last is not None:
            allowed = spec.max_rate * self.period_ns / 1e9
            begin = self.last.action
            limit_ns = max(100 * MS, 2 * self.period_ns)
            if not self.supervisor.stepped and (self.came_late or self.t_ns - self.sent_ns > limit_ns):
                # The driver has stopped what moves only as long as it is told to.
                ceased = np.array([each.kind in (ActionKind.VELOCITY, ActionKind.EFFORT) for each in spec.actions])
                begin = np.where(ceased, 0.0, begin)
            assert (np.abs(command.action - begin) <= allowed * (1 + 1e-6) + 1e-12).all()
        drivers = {
            Mode.AUTONOMOUS: {Source.POLICY},
            Mode.TELEOP: {Source.OPERATOR},
            Mode.HANDOVER: {Source.POLICY, Source.OPERATOR},
            Mode.RECOVERING: {Source.RECOVERY},
        }
        assert command.source in drivers.get(command.mode, set()) | {Source.HOLD}
        really_ns = self.t_ns + self.late_ns
        self.came_late = self.last is not None and really_ns - self.sent_ns > max(100 * MS, 2 * self.period_ns)
        self.supervisor.sent(really_ns, really_ns)
        self.last, self.sent_ns = command, really_ns


AnythingHappens.TestCase.settings = settings(
    max_examples=120, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
test_no_sequence_of_inputs_sends_what_must_not_be_sent = AnythingHappens.TestCase
