"""What a cycle came to, and the flywheel as a whole: the facts of the reports. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from xrollout_ros.cycle.cycle_report import CycleReport
from xrollout_ros.cycle.record import CycleRecord, Ending, State, Tally


def report_of(record: CycleRecord, earlier: Sequence[CycleRecord]) -> CycleReport:
    """Facts of one cycle.

    Args:
        record: it.
        earlier: those before it, oldest first.
    """
    known = {mode.mode for each in earlier if each.mined is not None for mode in each.mined.ranked}
    modes = [mode.mode for mode in record.mined.ranked] if record.mined is not None else []
    facts = {
        "cycle_id": record.cycle_id,
        "number": record.number,
        "task": record.task,
        "robot": record.robot,
        "faults": record.faults,
        "level": record.level,
        "stage": record.stage.value if record.stage is not None else None,
        "target": record.target or None,
        "ending": record.ending.value if record.ending is not None else None,
        "stop": record.stop.model_dump() if record.stop is not None else None,
        "reason": record.stop.reason if record.stop is not None else record.reason,
        "next_step": record.stop.next_step if record.stop is not None else record.next_step,
        "policy_before": record.base.model_dump() if record.base is not None else None,
        "policy_new": record.trained.policy.model_dump() if record.trained is not None else None,
        "failures": {
            "unique_modes": len(modes),
            "modes": [mode.model_dump() for mode in record.mined.ranked] if record.mined is not None else [],
            "new_modes": [mode for mode in modes if mode not in known],
            "gone_modes": sorted(known - set(modes)) if record.mined is not None else [],
            "diversity_bits": record.mined.diversity if record.mined is not None else None,
            "plateaued": list(record.mined.plateaued) if record.mined is not None else [],
        },
        "edge_case_coverage": record.mined.covered if record.mined is not None else None,
        "deployed": _deployed(record),
        "held_out": _held_out(record),
        "collected": record.collected.model_dump() if record.collected is not None else None,
        "annotation_per_hour": _per_hour(record),
        "failure_to_dataset_s": _failure_to_dataset(record),
        "dataset": record.curated.model_dump() if record.curated is not None else None,
        "level_progression": [
            {"cycle": each.number, "levels": each.curated.levels}
            for each in [*earlier, record]
            if each.curated is not None
        ],
        "convergence": convergence([*earlier, record]),
        "durations_s": durations(record),
        "restarts": record.restarts,
        "decisions": [each.model_dump(mode="json") for each in record.transitions],
        "lessons": list(record.lessons),
    }
    return CycleReport.model_validate(facts)


def _deployed(record: CycleRecord) -> dict[str, Any] | None:
    found = record.deployed
    if found is None:
        return None
    return {
        "policy_id": found.policy_id,
        "all": rate(found.all),
        "by_start": {start: rate(tally) for start, tally in found.by_start.items()},
        "alarms": found.alarms,
        "aborted": found.aborted,
        "helped": found.helped,
        "episodes": found.episodes,
    }


def rate(tally: Tally) -> dict[str, Any]:
    """With its Wilson interval, 95 %."""
    return tally.rate.model_dump()


def _held_out(record: CycleRecord) -> dict[str, Any] | None:
    """Both policies at starts that neither was trained from."""
    found = record.validated
    if found is None or not found.b.attempts:
        return None
    before, after = found.a.attempts - found.a.successes, found.b.attempts - found.b.successes
    return {
        "before": rate(found.a),
        "after": rate(found.b),
        "difference": [found.low, found.high],
        "failure_rate_reduction": 1 - after / before if before else None,
        "verdict": found.verdict,
        "pairs": found.pairs,
        "e_value": found.e_value,
        "by_start": {start: {"before": rate(a), "after": rate(b)} for start, (a, b) in found.by_start.items()},
    }


def _per_hour(record: CycleRecord) -> float | None:
    found = record.collected
    if found is None or found.spent_s <= 0 or not found.demonstrations:
        return None
    return (found.demonstrations + found.failed) / found.spent_s * 3600


def _failure_to_dataset(record: CycleRecord) -> float | None:
    """From the first failed attempt to the dataset that was made of it, s."""
    begun = record.deployed.first_failure_at if record.deployed is not None else ""
    curated = next((each.at for each in record.transitions if each.state is State.TRAIN), "")
    return _seconds(begun, curated) if begun and curated else None


def durations(record: CycleRecord) -> dict[str, float]:
    """How long it was in each state, s; a cycle that was gone on with later has the pause in it."""
    found: dict[str, float] = {}
    for one, next_one in zip(record.transitions, record.transitions[1:], strict=False):
        name = one.state.value
        found[name] = found.get(name, 0.0) + _seconds(one.at, next_one.at)
    return found


def convergence(records: Sequence[CycleRecord]) -> dict[str, Any]:
    """Success of the deployed policy from cycle to cycle, and what a gained point cost in demonstrations."""
    tried = [(each.number, each.deployed) for each in records if each.deployed is not None and each.deployed.attempts]
    rates = [{"cycle": number, **rate(found.all)} for number, found in tried]
    demonstrations = sum(each.collected.demonstrations for each in records if each.collected is not None)
    gained = None
    last = next((each for each in reversed(records) if each.ending is Ending.PROMOTED and each.validated), None)
    if tried and last is not None and last.validated is not None and last.validated.b.attempts:
        first = tried[0][1]
        gained = 100 * (last.validated.b.successes / last.validated.b.attempts - first.rate)
    return {
        "deployed": rates,
        "demonstrations": demonstrations,
        "points_gained": gained,
        "demonstrations_per_point": demonstrations / gained if gained and gained > 0 else None,
    }


def _seconds(begin: str, end: str) -> float:
    return (_time(end) - _time(begin)).total_seconds()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
