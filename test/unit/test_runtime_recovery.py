"""Alarms, calls for help, and recoveries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.chunk import ActionChunk, Array
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.safety import NoProgressSpec, ScoreSpec, TimeSpec
from xrollout_ros.runtime.detectors import (
    AttemptFacts,
    DetectorBank,
    Moment,
    NoProgressDetector,
    Reading,
    ScoreDetector,
    TimeDetector,
)
from xrollout_ros.runtime.modes import Event
from xrollout_ros.runtime.trail import Trail, Waypoint

from .robots import dim, robot
from .test_runtime_safety import ARM, HAND, PERIOD_NS, POINT, Drive

SCORE = {"kind": "score", "score": "chunk_consistency", "threshold": 1.0, "severity": "recover"}


def alarmed(actions: Any = None, **safety: Any) -> Drive:
    """A drive of which the policy's consistency is watched."""
    return Drive(robot(actions or HAND, safety={"detectors": [SCORE], **safety}), time_limit_s=100.0)


def alarm(drive: Drive, row: Any = (0, 0, 0), value: float = 2.0) -> Any:
    return drive.tick(row, scores={"chunk_consistency": value})


# --- detectors --------------------------------------------------------------------------------------------------


def moment(t_s: float, sent: Any = (1.0, 0.0, 0.0), **values: Any) -> Moment:
    scores = values.pop("scores", {})
    return Moment(t_s, {name: np.array(value) for name, value in values.items()}, np.array(sent), scores)


def test_time_is_twice_the_usual_or_the_time_limit() -> None:
    detector = TimeDetector(TimeSpec())
    detector.reset(AttemptFacts(time_limit_s=10.0, usual_s=2.0))
    assert detector.update(moment(3.0)) == Reading(3.0, 4.0)
    detector.reset(AttemptFacts(time_limit_s=10.0))
    assert detector.update(moment(3.0)) == Reading(3.0, 10.0)
    detector.reset(AttemptFacts())
    assert detector.update(moment(3.0)) is None


def test_no_progress_counts_only_while_the_robot_is_told_to_move() -> None:
    spec = NoProgressSpec(kind="no_progress", observation="joints", distance=0.01, window_s=1.0)
    detector = NoProgressDetector(spec, robot(HAND))

    def still(begin_s: float, end_s: float, sent: Any, place: Any = (0.0, 0.0)) -> float:
        for t_s in np.arange(begin_s, end_s, 0.01):
            reading = detector.update(moment(float(t_s), sent, joints=place))
        assert reading is not None
        return reading.value

    assert still(0, 2, (0, 0, 0)) == 0
    assert still(2, 4, (1, 0, 0)) == pytest.approx(2, abs=0.05)
    assert still(4, 5, (1, 0, 0), (0.005, 0)) == pytest.approx(3, abs=0.05)
    assert detector.update(moment(5.0, joints=(0.02, 0))) == Reading(0.0, 1.0)
    assert detector.update(moment(5.0, joints=(np.nan, 0))) is None


def test_no_progress_of_positions_asks_where_they_were_sent() -> None:
    spec = NoProgressSpec(kind="no_progress", observation="joints", distance=0.01, window_s=1.0)
    detector = NoProgressDetector(spec, robot(ARM))
    for place in range(100):
        resting = detector.update(moment(place / 100, (0.3, 0), joints=(0, 0)))
    for place in range(100, 200):
        pushing = detector.update(moment(place / 100, (0.5, 0), joints=(0, 0)))
    assert resting is not None
    assert pushing is not None
    assert (resting.value, pushing.value) == (0, pytest.approx(1, abs=0.02))


def test_an_alarm_has_hysteresis_and_a_broken_detector_is_told_once() -> None:
    class Broken:
        name = "broken"

        def reset(self, facts: AttemptFacts) -> None:
            pass

        def update(self, seen: Moment) -> Reading | None:
            raise ValueError("no model")

    score = ScoreDetector(ScoreSpec(kind="score", score="s", threshold=1.0))
    bank = DetectorBank([(score, Severity.RECOVER), (Broken(), Severity.STOP)])
    seen = []
    for value in (0.9, 1.1, 0.9, 1.1, 0.7, 0.9, np.nan, 2.0):
        bank.update(moment(0.0, scores={"s": value}))
        seen.append(any(finding.check == "s" for finding in bank.raised))
    assert seen == [False, True, True, True, False, False, False, True]
    [broken] = [finding for finding in bank.raised if finding.check == "broken"]
    assert broken.severity is Severity.CLIP
    assert "no model" in broken.action_taken


def test_an_alarm_that_is_only_logged_changes_nothing() -> None:
    drive = alarmed(detectors=[{**SCORE, "severity": "log"}])
    assert alarm(drive).source is Source.POLICY
    assert drive.told() == [("chunk_consistency", Severity.CLIP, True)]
    assert alarm(drive, value=0.1).source is Source.POLICY
    assert drive.told()[-1] == ("chunk_consistency", Severity.CLIP, False)


# --- help -------------------------------------------------------------------------------------------------------


def test_an_alarm_calls_an_operator_who_takes_over() -> None:
    drive = alarmed(help={"timeout_s": 1.0})
    assert alarm(drive).source is Source.HOLD
    assert drive.supervisor.help.since_ns == 0
    assert "chunk_consistency" in drive.supervisor.help.reason
    drive.supervisor.ask(Event.TAKE_OVER, "test", "anna")
    assert drive.tick(operator=[0, 0, 0]).mode is Mode.HANDOVER
    assert drive.supervisor.help.since_ns is None
    # Handed back: the same alarm does not call again before it has fallen.
    drive.supervisor.ask(Event.HAND_BACK, "test")
    for _ in range(60):
        alarm(drive)
    assert (drive.mode, drive.supervisor.help.since_ns) == (Mode.AUTONOMOUS, None)
    alarm(drive, value=0.0)
    assert alarm(drive).source is Source.HOLD
    assert drive.supervisor.help.since_ns is not None


@pytest.mark.parametrize(("otherwise", "mode"), [("recover", Mode.RECOVERING), ("abort", Mode.HOLD)])
def test_nobody_answers(otherwise: str, mode: Mode) -> None:
    wanted = {"timeout_s": 0.5, "otherwise": otherwise, "meanwhile": "go_on"}
    drive = alarmed(help=wanted, recoveries=[{"kind": "hold", "duration_s": 1.0}])
    for _ in range(50):
        assert alarm(drive).source is Source.POLICY
    alarm(drive)
    assert drive.mode is mode
    assert (("recovery", Severity.ABORT, True) in drive.told()) == (otherwise == "abort")


def test_an_alarm_that_passes_is_no_call_any_more() -> None:
    drive = alarmed(help={"timeout_s": 1.0})
    alarm(drive)
    assert alarm(drive, value=0.1).source is Source.POLICY
    assert drive.supervisor.help.since_ns is None


def test_nobody_is_called_in_the_last_ten_policy_steps() -> None:
    drive = alarmed(help={"timeout_s": 1.0})
    drive.supervisor.begin("e", has_policy=True, operator="", time_limit_s=0.2)
    for _ in range(11):
        alarm(drive, value=0.1)
    assert alarm(drive).source is Source.POLICY
    assert drive.supervisor.help.since_ns is None


# --- recoveries -------------------------------------------------------------------------------------------------


def test_recoveries_are_used_up_one_after_the_other() -> None:
    drive = alarmed(recoveries=[{"kind": "hold", "duration_s": 0.05}, {"kind": "hold", "duration_s": 0.05}])
    for number in range(2):
        assert alarm(drive, value=0.1).mode is Mode.AUTONOMOUS
        sources = [alarm(drive).source for _ in range(3)]
        assert (drive.mode, sources[1:]) == (Mode.RECOVERING, [Source.RECOVERY] * 2), number
        while drive.mode is Mode.RECOVERING:
            alarm(drive)
    alarm(drive, value=0.1)
    alarm(drive)
    assert drive.mode is Mode.HOLD
    assert drive.told()[-1] == ("recovery", Severity.ABORT, True)


def test_one_that_does_not_succeed_in_time_gives_way_to_the_next() -> None:
    """The hand is in the way of itself: it does not move, so it never gets there."""
    retreat = {"kind": "retreat", "point": [0.3, 0.0], "time_limit_s": 0.2}
    drive = alarmed(point=POINT, recoveries=[retreat, {"kind": "hold", "duration_s": 0.1}])
    alarm(drive)
    actions = [alarm(drive).action[0] for _ in range(40)]
    assert actions[:19] == [0.5] * 19
    assert drive.mode is Mode.AUTONOMOUS
    assert (actions[-1], max(actions)) == (0.0, 0.5)


def test_retreat_brings_the_arm_to_a_posture_at_a_limited_rate() -> None:
    actions = [{**each, "max_rate": 1.0} for each in ARM]
    retreat = {"kind": "retreat", "pose": {"shoulder": 0.1}, "speed": 0.5}
    drive = alarmed(actions, recoveries=[retreat])
    place = np.zeros(2)
    for _ in range(40):
        place = alarm(drive, (0.4, 0.2), 0.1).action
        drive.place(*place)
    seen = [place]
    while drive.mode is not Mode.RECOVERING or len(seen) == 1:
        place = alarm(drive, (0.4, 0.2)).action
        drive.place(*place)
        seen.append(place)
    while drive.mode is Mode.RECOVERING:
        place = alarm(drive, (0.4, 0.2)).action
        drive.place(*place)
        seen.append(place)
    assert np.abs(np.diff([each[0] for each in seen])).max() <= 0.005 + 1e-9
    assert place[0] == pytest.approx(0.1, abs=0.021)
    assert place[1] == pytest.approx(0.2)
    assert drive.mode is Mode.AUTONOMOUS


def travel(drive: Drive, place: Array, rows: list[Any]) -> Array:
    for row in rows:
        place = place + drive.tick(row).action[:2] * 0.1
        drive.place(*place)
    return place


def test_backtracking_a_hand_leads_back_along_its_path() -> None:
    """Round a corner and back the same way, not straight."""
    drive = alarmed(point=POINT, recoveries=[{"kind": "backtrack", "duration_s": 1.0, "tolerance": 0.001, "speed": 1}])
    path = [np.zeros(2)]
    place = travel(drive, path[0], [(0.2, 0, 0)] * 10 + [(0, 0.2, 0)] * 10)
    np.testing.assert_allclose(place, [0.2, 0.2])
    alarm(drive)
    assert drive.mode is Mode.RECOVERING
    back = []
    while drive.mode is Mode.RECOVERING:
        place = place + alarm(drive).action[:2] * 0.1
        drive.place(*place)
        back.append(place)
    np.testing.assert_allclose(place, [0, 0], atol=0.021)
    corner = min(np.linalg.norm(each - [0.2, 0.0]) for each in back)
    assert corner < 0.01


def test_backtracking_an_arm_goes_back_through_what_was_sent() -> None:
    actions = [{**each, "max_rate": 1.0} for each in ARM]
    drive = alarmed(actions, recoveries=[{"kind": "backtrack", "duration_s": 0.2, "tolerance": 0.001}])
    for tick in range(40):
        place = drive.tick([0.005 * tick, 0]).action
        drive.place(*place)
    alarm(drive, (0.2, 0))
    seen = [place[0]]
    while drive.mode is Mode.RECOVERING:
        place = alarm(drive, (0.2, 0)).action
        drive.place(*place)
        seen.append(place[0])
    assert drive.mode is Mode.AUTONOMOUS
    assert np.abs(np.diff(seen)).max() <= 0.005 + 1e-9
    assert seen[-1] == pytest.approx(0.1, abs=0.01)


def test_without_a_path_there_is_nothing_to_go_back_along() -> None:
    drive = alarmed(point=POINT, recoveries=[{"kind": "backtrack"}, {"kind": "hold"}])
    alarm(drive)
    alarm(drive)
    assert drive.mode is Mode.RECOVERING
    assert drive.supervisor.reason == "chunk_consistency: hold"


def test_a_recovery_leaves_a_force_and_the_policy_gets_the_robot_without_a_jump() -> None:
    force = {"observation": "joints", "limit": 0.5}
    drive = alarmed(force=force, recoveries=[{"kind": "hold", "duration_s": 0.1, "time_limit_s": 1.0}])
    drive.tick([1, 0, 0])
    drive.place(0.6, 0)
    for _ in range(30):  # it lasts: the recovery does not succeed while something objects
        drive.tick([1, 0, 0])
    assert drive.mode is Mode.RECOVERING
    drive.place(0.1, 0)
    drive.tick([1, 0, 0])
    assert drive.mode is Mode.AUTONOMOUS
    deltas = [drive.tick([1, 0, 0]).action[0] for _ in range(60)]
    assert deltas[0] == 0
    assert np.diff(deltas).max() <= 0.02 + 1e-9
    assert deltas[-1] == 1


@pytest.mark.parametrize(
    ("event", "mode"),
    [(Event.TAKE_OVER, Mode.HANDOVER), (Event.HOLD, Mode.HOLD), (Event.EMERGENCY_STOP, Mode.ESTOP)],
)
def test_a_recovery_can_be_interrupted(event: Event, mode: Mode) -> None:
    drive = alarmed(recoveries=[{"kind": "hold"}])
    alarm(drive)
    assert drive.mode is Mode.RECOVERING
    drive.supervisor.ask(event, "test", "anna")
    assert drive.tick(operator=[0, 0, 0]).mode is mode


def test_a_robot_that_acts_once_is_recovered_at_the_policys_rate() -> None:
    from xrollout_ros.runtime.supervisor import Supervisor

    spec = robot(
        HAND,
        policy_rate_hz=25.0,
        safety={
            "point": POINT,
            "recoveries": [{"kind": "retreat", "point": [0.4, 0]}],
            "force": {"observation": "joints"},
        },
    )
    supervisor = Supervisor(spec, stepped=False)
    supervisor.measured("joints", np.array([0.0, 0.0]))
    supervisor.begin("e", has_policy=True, operator="")
    supervisor.submit_chunk(ActionChunk("e", "p", 0, 0, -1, -1, PERIOD_NS, np.zeros((1, 3), dtype=np.float32)))
    supervisor.tick(-1, 0)
    supervisor.measured("joints", np.array([20.0, 0.0]))
    ticks = [supervisor.tick(tick * PERIOD_NS, tick) for tick in range(13)]
    sent = [place for place, tick in enumerate(ticks) if tick.command is not None]
    sources = {tick.command.source for tick in ticks[1:] if tick.command is not None}
    assert (supervisor.mode, sources) == (Mode.RECOVERING, {Source.RECOVERY}), ticks
    assert (np.diff(sent[1:]) == 4).all()


def test_a_trail_keeps_the_newest_and_no_more() -> None:
    trail = Trail(1.0, PERIOD_NS)
    for tick in range(1000):
        trail.add(Waypoint(tick * PERIOD_NS // 2, np.array([tick]), None))
    assert len(trail) <= 101
    back = [waypoint.sent[0] for waypoint in trail.back(0.1)]
    assert back == sorted(back, reverse=True)
    assert back[0] == 998
    assert len(back) == 11


def test_kinds_of_dimensions_that_cannot_be_steered_are_refused() -> None:
    with pytest.raises(ValueError, match="backtrack"):
        robot([dim("linear_x", "velocity")], safety={"recoveries": [{"kind": "backtrack"}]})
