"""Calibrates a policy's alarm on its own successful rollouts, and says what it would have told of its failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

import xrollout_ros
from xrollout_ros.core.calibration import Calibration
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import Clock, SystemClock, utc_now
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.learning.calibration.conformal import (
    ALPHA,
    EWMA,
    check_alpha,
    conformal,
    halves,
    least,
    needed,
    smoothed,
    usual,
)
from xrollout_ros.learning.calibration.own_attempts import OwnAttempt, OwnAttempts
from xrollout_ros.learning.calibration.scored import Scored

_LEAST = 1e-6
"""A threshold is above 0."""


class State(str, Enum):
    """How a calibration ended."""

    CALIBRATED = "calibrated"
    NO_ATTEMPTS = "no_attempts"
    """The folder holds no attempt of this checkpoint that could be used."""
    NO_SUCCESSES = "no_successes"
    TOO_FEW_SUCCESSES = "too_few_successes"
    NO_DETECTORS = "no_detectors"
    """No score of the policy is a number."""


class CannotCalibrateError(DataError):
    """The data do not give a calibration.

    Args:
        state: in one word.
        reason: why.
        next_step: what to do.
        found: successes that could be used.
        needed: how many it takes.
    """

    def __init__(self, state: State, reason: str, next_step: str, found: int, needed: int) -> None:
        super().__init__(f"{state.value}: {reason}", next_step)
        self.state, self.found, self.needed = state, found, needed

    @property
    def facts(self) -> dict[str, Any]:
        return {"state": self.state.value, "found": self.found, "needed": self.needed}


@dataclass(frozen=True)
class Told:
    """What one alarm said of the policy's failures."""

    failures: int
    alarmed: int
    lead_s: tuple[float, ...]
    """From the first alarm to the end of each failure with an alarm."""
    before_s: tuple[float, ...]
    """To the moment at which it went wrong, where that was judged; negative: the alarm came later."""


@dataclass(frozen=True)
class Calibrated:
    """A calibration, and what is worth knowing of it."""

    calibration: Calibration
    alarm: Told
    time: Told
    """Of the time limit alone."""
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def likely_alpha(self) -> tuple[float, float]:
        """90 % range of the share of false alarms that a threshold from n rollouts really has: a Beta distribution."""
        from scipy.stats import beta

        n, rank = self.calibration.n, self.calibration.rank
        low, high = beta.ppf([0.05, 0.95], n + 1 - rank, rank)
        return float(low), float(high)


def calibrate(
    found: OwnAttempts,
    info: PolicyInfo,
    *,
    alpha: float = ALPHA,
    engine: str | None = None,
    seed: int = 0,
    clock: Clock | None = None,
) -> Calibrated:
    """Normalize on one half of the successes, take the threshold from the other.

    Args:
        found: the policy's own attempts.
        info: the policy.
        alpha: nominal share of successes with a false alarm.
        engine: only attempts with this inference engine; None: with the one that most successes have.
        seed: of the split.
        clock: stamps it.

    Raises:
        SpecError: alpha is no share.
        CannotCalibrateError: there are too few successes, or none.
    """
    check_alpha(alpha)
    asked = engine
    engine, drive = _most_common([each for each in found.successes if engine in (None, each.engine)])
    ours = [each for each in found.attempts if (each.engine, each.drive) == (engine, drive)]
    left_out = dict(found.left_out)
    if 0 < len(ours) < len(found.attempts):
        left_out[f"with another engine or drive than {engine}, {drive}"] = len(found.attempts) - len(ours)
    successes = {each.episode_id: each for each in ours if each.succeeded}
    if asked is not None and not ours and found.successes:
        reason = f"none of its {len(found.successes)} successes was with the engine {asked}"
        raise CannotCalibrateError(
            State.NO_SUCCESSES, reason, f"Deploy with engine:={asked}, or leave --engine out.", 0, needed(alpha)
        )
    _refuse(found, info, len(successes), alpha, left_out)
    first, second = halves(list(successes), seed)
    normal = [usual(name, [successes[each].scored for each in first]) for name in info.detectors]
    known = tuple(each for each in normal if each is not None)
    if not known:
        reason = f"no score of the policy ({', '.join(info.detectors)}) is a number in its successes"
        raise CannotCalibrateError(
            State.NO_DETECTORS, reason, "Train it again with this version.", len(successes), needed(alpha)
        )
    maxima = [float(smoothed(successes[each].scored, known).max()) for each in second]
    threshold, rank = conformal(maxima, alpha)
    time_limit_s, _ = conformal([each.duration_s for each in successes.values()], alpha)
    calibration = Calibration(
        calibration_id=new_id(),
        checkpoint_hash=info.checkpoint_hash,
        policy_id=info.policy_id,
        robot=info.robot,
        task=info.task,
        engine=engine,
        drive=drive,
        alpha=alpha,
        detectors=known,
        ewma=EWMA,
        threshold=max(threshold, _LEAST),
        n=len(second),
        rank=rank,
        normalized_on=tuple(first),
        calibrated_on=tuple(second),
        time_limit_s=max(time_limit_s, _LEAST),
        time_n=len(successes),
        starts=dict(Counter(each.start for each in successes.values())),
        recomputed=sum(each.scored.recomputed for each in successes.values()),
        seed=seed,
        created_at=utc_now(clock or SystemClock()),
        software_version=xrollout_ros.__version__,
    )
    failures = [each for each in ours if not each.succeeded]
    return Calibrated(
        calibration,
        told([(each, alarm_of(each.scored, calibration)) for each in failures]),
        told([(each, each.scored.time_s / calibration.time_limit_s) for each in failures]),
        left_out,
    )


def alarm_of(attempt: Scored, calibration: Calibration) -> Array:
    """(N,) what the score ``alarm`` would have been after each chunk."""
    return smoothed(attempt, calibration.detectors, calibration.ewma) / calibration.threshold


def told(failures: Sequence[tuple[OwnAttempt, Array]]) -> Told:
    """What an alarm, with its value after each chunk, said of failures."""
    lead, before = [], []
    for attempt, value in failures:
        above = np.flatnonzero(value > 1.0)
        if len(above):
            at_s = float(attempt.scored.time_s[above[0]])
            lead.append(attempt.duration_s - at_s)
            if attempt.failed_at_s is not None:
                before.append(attempt.failed_at_s - at_s)
    return Told(len(failures), len(lead), tuple(lead), tuple(before))


def _most_common(attempts: Sequence[OwnAttempt]) -> tuple[str, str]:
    """Engine and drive."""
    return Counter((each.engine, each.drive) for each in attempts).most_common(1)[0][0] if attempts else ("", "")


def _refuse(found: OwnAttempts, info: PolicyInfo, successes: int, alpha: float, left_out: dict[str, int]) -> None:
    wanted = needed(alpha)
    if successes >= wanted:
        return
    out = "; ".join(f"{why}: {count}" for why, count in left_out.items())
    out = f" (left out: {out})" if out else ""
    more = f"`xrollout up deploy model:=… episodes:={max(10, wanted)}` makes attempts."
    if not found.attempts:
        state, reason = State.NO_ATTEMPTS, f"there is no attempt of policy {info.policy_id} to calibrate on{out}"
        if found.others:
            named = ", ".join(f"{policy} ({count})" for policy, count in sorted(found.others.items())[:5])
            reason += f"; there are attempts of other policies: {named}"
            more = f"Deploy this checkpoint, or name the one that made them. {more}"
    elif not successes:
        state, reason = State.NO_SUCCESSES, f"none of its {len(found.attempts)} attempts succeeded by itself{out}"
        more = "What is usual in successes cannot be known without one: train a better policy first."
    else:
        state = State.TOO_FEW_SUCCESSES
        reason = (
            f"{successes} successes, alpha {alpha:g} takes {wanted}: {least(alpha)} for the threshold, the others to "
            f"normalize{out}"
        )
        more = f"{more} Until then alarms are only logged. A larger --alpha takes fewer."
    raise CannotCalibrateError(state, reason, more, successes, wanted)
