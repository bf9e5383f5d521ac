"""Whether a calibrated alarm keeps what it promises: by attempts since then in which nothing followed from it.

Where alarms are acted on, an attempt that was stopped might have succeeded, and nobody knows. So in a random share of
the attempts they are only told (``core.safety.ScoreSpec.audit``). Of these, and of all where alarms are only logged
anyway, it is known how many succeeded all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import numpy as np

from xrollout_ros.core.calibration import ALARM, Calibration
from xrollout_ros.core.wilson import wilson
from xrollout_ros.learning.calibration.calibrating import Told, told
from xrollout_ros.learning.calibration.own_attempts import OwnAttempt, OwnAttempts

CONFIDENCE = 0.95


class Verdict(str, Enum):
    """What the count says of the nominal share of false alarms."""

    NO_SUCCESSES = "no_successes"
    """There is no attempt since the calibration that could have had a false alarm."""
    CONSISTENT = "consistent"
    """The nominal share lies within the interval."""
    TOO_MANY = "too_many"
    """The interval lies above it."""
    FEWER = "fewer"
    """The interval lies below it, which α allows."""


@dataclass(frozen=True)
class Share:
    """So many of so many, with its Wilson interval."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %."""
        return wilson(self.count, self.of, CONFIDENCE)


@dataclass(frozen=True)
class Audit:
    """What was counted."""

    calibration: Calibration
    attempts: int
    """Since the calibration, in which nothing followed from an alarm."""
    false_alarms: Share
    """Of the successes, those with an alarm."""
    alarms_in_vain: Share
    """Of the attempts with an alarm, those that succeeded all the same."""
    alarm: Told
    """Of the failures."""
    left_out: dict[str, int]

    @property
    def verdict(self) -> Verdict:
        """Whether the nominal share holds."""
        if not self.false_alarms.of:
            return Verdict.NO_SUCCESSES
        low, high = self.false_alarms.interval
        if low > self.calibration.alpha:
            return Verdict.TOO_MANY
        return Verdict.FEWER if high < self.calibration.alpha else Verdict.CONSISTENT


def audit(found: OwnAttempts, calibration: Calibration) -> Audit:
    """Count the alarms of the attempts that were made with this calibration, and were left to themselves."""
    left_out = {why: count for why, count in found.left_out.items() if count}
    used = {*calibration.normalized_on, *calibration.calibrated_on}
    since: list[OwnAttempt] = []
    for each in found.attempts:
        why_not = ""
        if each.episode_id in used or _time(each.started_at) < _time(calibration.created_at):
            why_not = "from before the calibration"
        elif ALARM not in each.scored.names or each.scored.recomputed:
            why_not = "made without the calibrated alarm"
        if why_not:
            left_out[why_not] = left_out.get(why_not, 0) + 1
        else:
            since.append(each)
    alarmed = {each.episode_id for each in since if (each.scored.values(ALARM) > 1.0).any()}
    successes = [each for each in since if each.succeeded]
    in_vain = sum(each.episode_id in alarmed for each in successes)
    failures = [(each, np.nan_to_num(each.scored.values(ALARM))) for each in since if not each.succeeded]
    return Audit(
        calibration,
        len(since),
        Share(in_vain, len(successes)),
        Share(in_vain, len(alarmed)),
        told(failures),
        left_out,
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
