"""What the supervisor makes of a calibrated policy's scores: alarms, time, and the audit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.calibration import ALARM, OVERTIME
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.safety import AUDITED, ScoreSpec, TimeSpec
from xrollout_ros.runtime.detectors import AttemptFacts, DetectorBank, Moment, Reading, ScoreDetector, TimeDetector

from .robots import robot
from .test_runtime_safety import HAND, Drive

SPEC: dict[str, Any] = {"kind": "score", "score": ALARM, "threshold": 1.0, "severity": "recover"}


def moment(**scores: float) -> Moment:
    return Moment(0.5, {}, None, scores)


@given(st.text(min_size=1, max_size=26), st.floats(0, 1))
def test_who_is_audited_follows_from_the_attempt_s_id_alone(episode_id: str, share: float) -> None:
    spec = ScoreSpec.model_validate({**SPEC, "audit": share})
    assert spec.only_told(episode_id) == ScoreSpec.model_validate({**SPEC, "audit": share}).only_told(episode_id)
    assert not ScoreSpec.model_validate({**SPEC, "audit": 0}).only_told(episode_id)
    assert ScoreSpec.model_validate({**SPEC, "audit": 1}).only_told(episode_id)
    # A larger share audits those that a smaller one does.
    if spec.only_told(episode_id):
        assert ScoreSpec.model_validate({**SPEC, "audit": min(1.0, share + 0.1)}).only_told(episode_id)


def test_a_tenth_of_the_calibrated_alarm_is_audited_and_nothing_of_other_scores_unless_asked_for() -> None:
    spec = ScoreSpec.model_validate(SPEC)
    told = [spec.only_told(f"01JD{number:022d}") for number in range(4000)]
    assert spec.audited == AUDITED
    assert abs(sum(told) / len(told) - AUDITED) < 0.02
    other = ScoreSpec.model_validate({**SPEC, "score": "novelty"})
    assert other.audited == 0
    assert not any(other.only_told(str(number)) for number in range(100))
    assert ScoreSpec.model_validate({**SPEC, "score": "novelty", "audit": 0.5}).audited == 0.5
    with pytest.raises(ValueError, match="audit"):
        ScoreSpec.model_validate({**SPEC, "audit": 1.5})


def test_an_audited_alarm_is_told_and_nothing_follows_from_it() -> None:
    drive = Drive(robot(HAND, safety={"detectors": [{**SPEC, "audit": 1.0}]}), time_limit_s=100.0)
    assert drive.tick((0, 0, 0), scores={ALARM: 2.0}).source is Source.POLICY
    [event] = [each for each in drive.events if each.check == ALARM]
    assert (event.severity, event.began) == (Severity.CLIP, True)
    assert "would ask to recover; audit: logged only" in event.action_taken
    acted = Drive(robot(HAND, safety={"detectors": [{**SPEC, "audit": 0.0}]}), time_limit_s=100.0)
    acted.tick((0, 0, 0), scores={ALARM: 2.0})
    [event] = [each for each in acted.events if each.check == ALARM]
    assert event.severity is Severity.RECOVER
    assert acted.mode is not Mode.AUTONOMOUS


def test_each_attempt_is_drawn_anew() -> None:
    spec = ScoreSpec.model_validate({**SPEC, "audit": 0.5})
    bank = DetectorBank([(ScoreDetector(spec), Severity.RECOVER)], [spec])
    seen = []
    for number in range(40):
        bank.reset(AttemptFacts(episode_id=str(number)))
        bank.update(moment(alarm=2.0))
        [finding] = bank.raised
        seen.append(finding.severity is Severity.CLIP)
        assert seen[-1] == spec.only_told(str(number))
    assert 5 < sum(seen) < 35


def test_without_a_calibration_there_is_no_alarm() -> None:
    drive = Drive(robot(HAND, safety={"detectors": [SPEC]}), time_limit_s=100.0)
    drive.tick((0, 0, 0), scores={"novelty": 1e9})
    assert not drive.events


def test_time_goes_by_the_policy_s_own_limit_where_it_is_calibrated() -> None:
    detector = TimeDetector(TimeSpec())
    detector.reset(AttemptFacts(time_limit_s=10.0, usual_s=2.0))
    assert detector.update(moment(**{OVERTIME: 1.2})) == Reading(1.2, 1.0)
    assert detector.update(moment()) == Reading(0.5, 4.0)


def test_the_simulated_arm_logs_the_calibrated_alarm() -> None:
    [time, alarm] = load_robot("metaworld_sawyer").safety.detectors
    assert isinstance(time, TimeSpec)
    assert isinstance(alarm, ScoreSpec)
    assert (alarm.score, alarm.threshold, alarm.severity) == (ALARM, 1.0, Severity.CLIP)
