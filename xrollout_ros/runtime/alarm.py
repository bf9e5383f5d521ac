"""One alarm of all detectors' scores: each measured against what it is in successes, averaged, smoothed.

The smoothed mean is an exponentially weighted moving average that begins at what is usual (Roberts 1959).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from xrollout_ros.core.calibration import ALARM, OVERTIME, Calibration, Usual
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.ports import PolicyInfo

CLIP = 8.0
"""A single score counts as at most so many scales above or below what is usual; one that is not finite as so many."""


def combined(scores: Mapping[str, float], usual: Sequence[Usual]) -> float | None:
    """Mean distance of these scores from what is usual, in their scales; None: none of them is there."""
    found = [_apart(scores[each.detector], each) for each in usual if each.detector in scores]
    return sum(found) / len(found) if found else None


def _apart(value: float, usual: Usual) -> float:
    apart = (value - usual.location) / usual.scale
    return max(-CLIP, min(CLIP, apart)) if math.isfinite(apart) else CLIP


class Smoothed:
    """The combined score of an attempt, smoothed.

    Args:
        usual: of each detector.
        newest: weight of the newest value.
    """

    def __init__(self, usual: Sequence[Usual], newest: float) -> None:
        self._usual, self._newest = usual, newest
        self.reset()

    def reset(self) -> None:
        """An attempt begins."""
        self._value = 0.0

    def update(self, scores: Mapping[str, float]) -> float:
        """The value with the scores of one more chunk, 0 and above: being more than usually sure is no credit."""
        value = combined(scores, self._usual)
        if value is not None:
            self._value = max(0.0, self._value + self._newest * (value - self._value))
        return self._value


class Alarm:
    """What a calibrated policy's scores say: called once for each chunk, in the worker's thread, some µs.

    Args:
        calibration: of the policy.
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._smoothed = Smoothed(calibration.detectors, calibration.ewma)
        self.reset()

    def reset(self) -> None:
        """An attempt begins."""
        self._smoothed.reset()
        self._began_ns: int | None = None

    def update(self, scores: Mapping[str, float], stamp_ns: int) -> dict[str, float]:
        """The scores ``alarm`` and ``overtime`` after one more chunk, made of an observation of this time."""
        if self._began_ns is None or stamp_ns < self._began_ns:
            self._began_ns = stamp_ns
        elapsed_s = seconds(stamp_ns - self._began_ns)
        return {
            ALARM: self._smoothed.update(scores) / self._calibration.threshold,
            OVERTIME: elapsed_s / self._calibration.time_limit_s,
        }


def in_words(info: PolicyInfo, engine: str, drive: str) -> str:
    """Whether a policy is calibrated, for its node's log.

    Args:
        info: the policy.
        engine: its inference engine.
        drive: ``stepped`` or ``real_time``.
    """
    made = info.calibration
    if made is None:
        return (
            "not calibrated: its scores are only logged (`xrollout calibrate` makes an alarm of them when enough "
            "attempts have succeeded)"
        )
    if made.engine != engine:
        return f"calibrated for engine {made.engine} alone, not for {engine}: its scores are only logged"
    other = "" if made.drive == drive else f"; of attempts in the drive {made.drive}, so alpha is not promised here"
    return (
        f"calibrated: alpha {made.alpha:g}, n {made.n} (made {made.created_at}){other}; alarms are what the RobotSpec "
        f"makes of the score {ALARM!r}"
    )
