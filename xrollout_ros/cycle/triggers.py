"""What makes a cycle begin by itself: enough new attempts, a schedule, too many failures or alarms. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from xrollout_ros.core.calibration import ALARM
from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.core.episode import EpisodeMeta, Outcome
from xrollout_ros.cycle.comparing.evidence import rate_sequence
from xrollout_ros.cycle.recipe import TriggerSpec

_HOUR_S = 3600.0
_ALARMS = frozenset({ALARM, "no_progress", "near_failure"})
"""Checks that tell of a failure while it happens; time alone tells when it is over."""


def fired(spec: TriggerSpec, since: Sequence[EpisodeMeta], clock: Clock, last_began: str) -> str:
    """Why a cycle is to begin now; empty: it is not.

    Rates are judged by a bound that holds however often one looks, so that looking after each attempt fires no more
    often by chance.

    Args:
        spec: the triggers.
        since: attempts of the deployed policy since the last cycle.
        clock: says what time it is.
        last_began: when that was, ISO 8601; empty: there was none.
    """
    known = [meta for meta in since if meta.outcome is not Outcome.UNKNOWN]
    if spec.episodes is not None and len(known) >= spec.episodes:
        return f"{len(known)} new attempts"
    if spec.every_h is not None and known:
        began = last_began or min(meta.started_at for meta in known)
        hours = (clock.wall_ns() / NS - datetime.fromisoformat(began.replace("Z", "+00:00")).timestamp()) / _HOUR_S
        if hours >= spec.every_h:
            return f"{hours:.1f} h since the last cycle"
    for bound, what, count in (
        (spec.failure_rate, "fail", sum(not meta.result().success for meta in known)),
        (spec.alarm_rate, "raise an alarm", sum(alarmed(meta) for meta in known)),
    ):
        if bound is not None and known and rate_sequence(count, len(known))[0] > bound:
            return f"{count} of {len(known)} attempts {what}, more than {bound:.0%}"
    return ""


def alarmed(meta: EpisodeMeta) -> bool:
    """Whether a detector raised an alarm in an attempt."""
    return any(event.check in _ALARMS and event.began for event in meta.safety_events)
