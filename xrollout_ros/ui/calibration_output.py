"""A calibration and its audit, for the terminal and as JSON."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.wilson import wilson
from xrollout_ros.learning.calibration.audit import Audit, Share, Verdict
from xrollout_ros.learning.calibration.calibrating import Calibrated, Told
from xrollout_ros.ui import text

_ORDINALS = {1: "st", 2: "nd", 3: "rd"}
_MEANING = {
    Verdict.NO_SUCCESSES: "no success since the calibration without anything following from an alarm: deploy more",
    Verdict.CONSISTENT: "agrees with the nominal share",
    Verdict.TOO_MANY: "more than the nominal share: starts, robot or task are not those it was calibrated on; "
    "calibrate again on attempts as they are now",
    Verdict.FEWER: "fewer than the nominal share allows",
}


def show(console: Console, found: Calibrated, path: Path) -> None:
    """What was calibrated, what it promises, and what it would have told."""
    made = found.calibration
    starts = ", ".join(f"{name} {count}" for name, count in sorted(made.starts.items()))
    console.print(
        f"{made.task} on {made.robot}, policy {made.policy_id}, engine {made.engine}, {made.drive}", soft_wrap=True
    )
    console.print(
        f"successes: {made.time_n} (starts: {starts}): {len(made.normalized_on)} normalize, {made.n} give the threshold"
    )
    if made.recomputed:
        console.print(f"computed again, since the bags lack scores: {made.recomputed} of them")
    _left_out(console, found.left_out)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("score", "usual", "scale"):
        table.add_column(name, justify="left" if name == "score" else "right")
    for each in made.detectors:
        table.add_row(each.detector, f"{each.location:.4g}", f"{each.scale:.4g}")
    console.print()
    console.print(table)
    low, high = found.likely_alpha
    console.print(
        f"\nalarm: combined score above {made.threshold:.3g}, the {_ordinal(made.rank)} smallest of {made.n} maxima "
        f"(alpha {made.alpha:g})",
        soft_wrap=True,
    )
    console.print(
        f"  false alarms: at most {made.alpha:.0%} of successes on the average of all calibrations; this one, with n "
        f"{made.n}, {low:.1%} to {high:.0%} (90 %)",
        soft_wrap=True,
    )
    console.print(f"  {_told(found.alarm)}", soft_wrap=True)
    console.print(f"time: longer than {made.time_limit_s:.3g} s")
    console.print(f"  {_told(found.time)}", soft_wrap=True)
    console.print(f"wrote {path}", soft_wrap=True)


def _told(told: Told) -> str:
    if not told.failures:
        return "no failures: what it finds is not known"
    low, high = wilson(told.alarmed, told.failures)
    words = f"of {text.plural(told.failures, 'failure')} it finds {told.alarmed} ({low:.0%}–{high:.0%})"
    if told.lead_s:
        words += f", {median(told.lead_s):.2f} s before the end (median)"
    if told.before_s:
        words += f", {median(told.before_s):+.2f} s before it went wrong, as judged"
    return words


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else _ORDINALS.get(number % 10, "th")
    return f"{number}{ending}"


def _left_out(console: Console, left_out: dict[str, int]) -> None:
    for why, count in left_out.items():
        console.print(Text.assemble(("left out: ", "yellow"), f"{count}, {why}"), soft_wrap=True)


def as_json(found: Calibrated, path: Path) -> dict[str, Any]:
    """The same, and the whole document."""
    return {
        "state": "calibrated",
        "path": str(path),
        "calibration": found.calibration.model_dump(mode="json"),
        "likely_alpha": list(found.likely_alpha),
        "alarm": _told_json(found.alarm),
        "time": _told_json(found.time),
        "left_out": found.left_out,
    }


def _told_json(told: Told) -> dict[str, Any]:
    low, high = wilson(told.alarmed, told.failures)
    return {
        "failures": told.failures,
        "alarmed": told.alarmed,
        "interval": [low, high],
        "lead_s": median(told.lead_s) if told.lead_s else None,
        "before_it_went_wrong_s": median(told.before_s) if told.before_s else None,
    }


def show_audit(console: Console, counted: Audit) -> None:
    """What the alarms were since the calibration."""
    made = counted.calibration
    console.print(f"policy {made.policy_id}, calibrated {made.created_at} (alpha {made.alpha:g}, n {made.n})")
    console.print(f"attempts since then in which nothing followed from an alarm: {counted.attempts}")
    _left_out(console, counted.left_out)
    console.print(
        f"false alarms: {_share(counted.false_alarms)} of successes, nominal {made.alpha:.0%}: "
        f"{_MEANING[counted.verdict]}",
        soft_wrap=True,
    )
    console.print(f"attempts with an alarm that succeeded all the same: {_share(counted.alarms_in_vain)}")
    console.print(_told(counted.alarm), soft_wrap=True)


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.count}/{share.of} ({low:.0%}–{high:.0%})"


def audit_as_json(counted: Audit) -> dict[str, Any]:
    """The same."""
    return {
        "state": counted.verdict.value,
        "meaning": _MEANING[counted.verdict],
        "calibration_id": counted.calibration.calibration_id,
        "alpha": counted.calibration.alpha,
        "attempts": counted.attempts,
        "false_alarms": _share_json(counted.false_alarms),
        "alarms_in_vain": _share_json(counted.alarms_in_vain),
        "alarm": _told_json(counted.alarm),
        "left_out": counted.left_out,
    }


def _share_json(share: Share) -> dict[str, Any]:
    return {"count": share.count, "of": share.of, "interval": list(share.interval)}
