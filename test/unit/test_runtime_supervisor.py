"""The supervisor's logic: modes, checks, holding, and what may never be sent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xrollout_ros.core.chunk import ActionChunk, Command, OperatorAction
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.modes import TABLE, Event, next_mode
from xrollout_ros.runtime.supervisor import Supervisor, Tick

from .robots import DELTA, JOINTS

MS = 1_000_000
EPISODE = "episode"


def chunk(robot: RobotSpec, rows: object, start_ns: int, sequence: int = 0, episode: str = EPISODE) -> ActionChunk:
    actions = np.asarray(rows, dtype=np.float32)
    return ActionChunk(episode, "p", sequence, 0, start_ns, start_ns, robot.policy_period_ns, actions)


def operated(action: object, step: int = 0, *, enabled: bool = True, episode: str = EPISODE) -> OperatorAction:
    return OperatorAction(episode, "anna", step, 0, np.asarray(action, dtype=np.float64), enabled)


def begun(
    robot: RobotSpec = DELTA, *, stepped: bool = False, operator: str = "", has_policy: bool = True
) -> Supervisor:
    supervisor = Supervisor(robot, stepped=stepped)
    supervisor.begin(EPISODE, has_policy=has_policy, operator=operator)
    return supervisor


def sent(tick: Tick) -> Command:
    assert tick.command is not None
    return tick.command


def test_idle_commands_nothing() -> None:
    assert Supervisor(DELTA, stepped=False).tick(0, 0).command is None


def test_a_chunk_is_played_with_its_place_in_it() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1], [0.25, -1]], 0, sequence=3))
    first, second = (sent(supervisor.tick(t * 10 * MS, t)) for t in range(2))
    assert first.action.tolist() == [0.5, 1]
    assert (first.source, first.mode, first.chunk_sequence, first.chunk_index) == (Source.POLICY, Mode.AUTONOMOUS, 3, 0)
    assert (second.chunk_index, second.action.tolist()) == (1, [0.25, -1])


def test_run_dry_it_holds_by_each_dimensions_rule_and_says_so_once() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 0.75]], 0))
    supervisor.tick(0, 0)
    held = supervisor.tick(10 * MS, 1)
    assert sent(held).action.tolist() == [0, 0.75]
    assert (sent(held).source, sent(held).mode) == (Source.HOLD, Mode.AUTONOMOUS)
    assert [(event.check, event.severity, event.began) for event in held.events] == [("starved", Severity.HOLD, True)]
    assert supervisor.tick(20 * MS, 2).events == ()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 0.75]], 30 * MS))
    back = supervisor.tick(30 * MS, 3)
    assert sent(back).source is Source.POLICY
    assert [(event.check, event.began) for event in back.events] == [("starved", False)]


def test_run_dry_for_too_long_aborts() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 0.75]], 0))
    events = [event for t in range(105) for event in supervisor.tick(t * 10 * MS, t).events]
    assert [event.severity for event in events] == [Severity.HOLD, Severity.ABORT]
    assert events[1].value == pytest.approx(DELTA.safety.hold_abort_s, abs=0.011)
    assert supervisor.mode is Mode.HOLD


def test_a_delta_is_sent_once_for_each_row() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1], [0.25, 1]], 0))
    ticks = [supervisor.tick(t * 5 * MS, t) for t in range(4)]
    assert [tick.command is not None for tick in ticks] == [True, False, True, False]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_chunk_that_is_not_finite_is_a_fault_and_is_never_played(bad: float) -> None:
    supervisor = begun(stepped=True)
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1], [0.5, bad]], 0))
    tick = supervisor.tick(0, 0)
    assert [(event.check, event.severity) for event in tick.events] == [("finite", Severity.ABORT)]
    assert (sent(tick).source, supervisor.mode) == (Source.HOLD, Mode.HOLD)


def test_an_incomplete_action_is_a_fault_and_never_a_partial_command() -> None:
    supervisor = begun(stepped=True)
    supervisor.submit_chunk(chunk(DELTA, [[0.5], [0.5]], 0))
    tick = supervisor.tick(0, 0)
    assert [(event.check, event.value, event.limit) for event in tick.events] == [("complete", 1, 2)]
    assert len(sent(tick).action) == 2


def test_rows_that_are_not_whole_are_a_fault() -> None:
    supervisor = begun()
    supervisor.submit_chunk(ActionChunk(EPISODE, "p", 0, 0, 0, 0, 10 * MS, np.zeros(3, dtype=np.float32)))
    assert supervisor.tick(0, 0).events[0].check == "complete"


def test_a_chunk_of_another_attempt_is_discarded_and_counted() -> None:
    supervisor = begun(stepped=True)
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]], 0, episode="another"))
    assert sent(supervisor.tick(0, 0)).source is Source.HOLD
    assert supervisor.chunks_discarded == 1


def test_a_chunk_from_before_the_policy_got_control_is_stale() -> None:
    supervisor = begun(stepped=True)
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]] * 50, 0))
    supervisor.tick(0, 0)
    supervisor.ask(Event.TAKE_OVER, "by hand", "anna")
    supervisor.tick(10 * MS, 1)
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]] * 50, 20 * MS))
    supervisor.tick(20 * MS, 2)
    supervisor.ask(Event.HAND_BACK, "done", "anna")
    assert sent(supervisor.tick(30 * MS, 3)).source is Source.HOLD
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]] * 50, 20 * MS))
    assert sent(supervisor.tick(40 * MS, 4)).source is Source.HOLD
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]] * 50, 50 * MS))
    assert sent(supervisor.tick(50 * MS, 5)).source is Source.POLICY
    assert supervisor.chunks_discarded == 2


def test_limits_clip_and_say_which_value_began_and_ended() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[3, 0], [0, 0]], 0))
    over, within = supervisor.tick(0, 0), supervisor.tick(10 * MS, 1)
    assert sent(over).action.tolist() == [1, 0]
    assert sent(over).clipped.tolist() == [True, False]
    assert [(event.check, event.value, event.limit, event.began) for event in over.events] == [("limit", 3, 1, True)]
    assert [(event.check, event.began) for event in within.events] == [("limit", False)]


def test_rates_slow_a_jump() -> None:
    supervisor = begun(JOINTS)
    supervisor.measured("joints", np.array([0.0, 0.0]))
    supervisor.submit_chunk(chunk(JOINTS, [[0, 0, 0], [1, 1, 1], [1, 1, 1]], 0))
    commands = [sent(supervisor.tick(t * 10 * MS, t)) for t in range(3)]
    np.testing.assert_allclose([command.action[0] for command in commands], [0, 0.02, 0.04])
    np.testing.assert_allclose([command.action[1] for command in commands], [0, 0.05, 0.1])
    assert commands[1].action[2] == 1


def test_hold_keeps_the_measured_position_and_stops_a_velocity() -> None:
    supervisor = begun(JOINTS)
    supervisor.measured("joints", np.array([0.1, 0.4]))
    supervisor.submit_chunk(chunk(JOINTS, [[0.4, 0.05, 0.5]], 0))
    supervisor.tick(0, 0)
    # The wheel fades out first.
    fading = sent(supervisor.tick(10 * MS, 1))
    assert (fading.source, fading.chunk_sequence, fading.chunk_index) == (Source.HOLD, 0, -1)
    assert 0 < fading.action[1] <= 0.05 + 1e-6
    assert 0 < sent(supervisor.tick(20 * MS, 2)).action[1] < fading.action[1]
    supervisor.measured("joints", np.array([0.1, 0.39]))
    assert sent(supervisor.tick(30 * MS, 3)).action.tolist() == [0.39, 0, 0.5]
    # It sags: following it would let it creep down.
    supervisor.measured("joints", np.array([0.1, 0.3]))
    assert sent(supervisor.tick(40 * MS, 4)).action.tolist() == [0.39, 0, 0.5]


def test_the_operator_drives_an_attempt_of_his_own() -> None:
    supervisor = begun(stepped=True, operator="anna", has_policy=False)
    supervisor.submit_operator(operated([0.1, 0.2], step=0), 0)
    command = sent(supervisor.tick(0, 0))
    assert (command.source, command.mode, command.action.tolist()) == (Source.OPERATOR, Mode.TELEOP, [0.1, 0.2])
    assert supervisor.operator == "anna"


def test_an_operators_silence_or_open_dead_man_switch_holds() -> None:
    supervisor = begun(operator="anna", has_policy=False)
    supervisor.submit_operator(operated([0.1, 0.2]), 0)
    assert sent(supervisor.tick(0, 0)).source is Source.OPERATOR
    late = supervisor.tick(300 * MS, 1)
    assert sent(late).source is Source.HOLD
    assert [event.check for event in late.events] == ["operator_silent"]
    supervisor.submit_operator(operated([0.1, 0.2], enabled=False), 310 * MS)
    assert sent(supervisor.tick(310 * MS, 2)).source is Source.HOLD


def test_take_over_and_hand_back() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]] * 50, 0))
    supervisor.tick(0, 0)
    supervisor.ask(Event.TAKE_OVER, "pedal", "anna")
    supervisor.submit_operator(operated([0.1, 0.2]), 10 * MS)
    assert sent(supervisor.tick(10 * MS, 1)).source is Source.OPERATOR
    supervisor.ask(Event.HAND_BACK, "pedal", "anna")
    assert sent(supervisor.tick(20 * MS, 2)).source is Source.HOLD
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 1]] * 50, 30 * MS))
    assert sent(supervisor.tick(30 * MS, 3)).source is Source.POLICY
    assert supervisor.operator == ""


def test_handing_back_to_nobody_is_refused_with_a_reason() -> None:
    supervisor = begun(operator="anna", has_policy=False)
    supervisor.tick(0, 0)
    supervisor.ask(Event.HAND_BACK, "pedal")
    assert supervisor.tick(10 * MS, 1).changed
    assert supervisor.mode is Mode.TELEOP
    assert supervisor.reason.startswith("refused")


def test_the_manager_lost_means_hold() -> None:
    supervisor = begun(stepped=True)
    supervisor.tick(0, 0)
    supervisor.manager_seen(0)
    assert supervisor.watch(900 * MS, 900 * MS).events == ()
    tick = supervisor.watch(1100 * MS, 1100 * MS)
    assert [event.check for event in tick.events] == ["manager_heartbeat"]
    assert supervisor.mode is Mode.HOLD


def test_a_stale_sensor_holds_comes_back_and_aborts() -> None:
    supervisor = begun(JOINTS)
    supervisor.measured("joints", np.array([0.0, 0.0]))
    supervisor.submit_chunk(chunk(JOINTS, [[0, 0, 0]] * 500, 0))
    supervisor.tick(0, 0)
    supervisor.sensor_seen("/joint_states", 0)
    supervisor.watch(50 * MS, 50 * MS)
    assert sent(supervisor.tick(50 * MS, 1)).source is Source.POLICY
    assert [event.check for event in supervisor.watch(150 * MS, 150 * MS).events] == ["stale"]
    assert sent(supervisor.tick(150 * MS, 2)).source is Source.HOLD
    supervisor.sensor_seen("/joint_states", 160 * MS)
    supervisor.watch(170 * MS, 170 * MS)
    assert sent(supervisor.tick(170 * MS, 3)).source is Source.POLICY
    supervisor.watch(300 * MS, 300 * MS)
    tick = supervisor.watch(1400 * MS, 1400 * MS)
    assert [event.severity for event in tick.events] == [Severity.ABORT]
    assert supervisor.mode is Mode.HOLD


def test_a_sensor_silent_before_the_attempt_holds_and_has_the_time_that_any_silence_has() -> None:
    supervisor = begun(JOINTS)
    supervisor.measured("joints", np.array([0.0, 0.0]))
    supervisor.sensor_seen("/joint_states", 0)
    supervisor.finish()
    supervisor.tick(10 * MS, 1)
    supervisor.begin(EPISODE, has_policy=True, operator="")
    supervisor.tick(5000 * MS, 2)
    assert [event.severity for event in supervisor.watch(5000 * MS, 5000 * MS).events] == [Severity.HOLD]
    assert supervisor.watch(5900 * MS, 5900 * MS).events == ()
    assert [event.severity for event in supervisor.watch(6100 * MS, 6100 * MS).events] == [Severity.ABORT]


def test_the_next_attempt_starts_afresh() -> None:
    supervisor = begun()
    supervisor.submit_chunk(chunk(DELTA, [[0.5, 0.75]], 0))
    supervisor.tick(0, 0)
    supervisor.finish()
    supervisor.tick(10 * MS, 1)
    supervisor.begin("next", has_policy=True, operator="")
    command = sent(supervisor.tick(20 * MS, 2))
    # What a real robot grips it goes on gripping.
    assert (supervisor.mode, command.episode_id, command.action.tolist()) == (Mode.AUTONOMOUS, "next", [0, 0.75])


def test_the_table_leaves_estop_by_its_reset_alone() -> None:
    out = {event for (mode, event), target in TABLE.items() if mode is Mode.ESTOP and target is not Mode.ESTOP}
    assert out == {Event.RESET_EMERGENCY_STOP}
    assert all(next_mode(mode, Event.EMERGENCY_STOP) is Mode.ESTOP for mode in Mode)
