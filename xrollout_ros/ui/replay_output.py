"""What came of replaying an attempt, in the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from xrollout_ros.core.modes import Source
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.learning.agreement import Agreement
from xrollout_ros.sim.replay import ActionReplay, Reproduction

WORST_STEPS = 5


def show(
    console: Console, recorded: EpisodeData, actions: ActionReplay | None, agreement: Agreement | None,
    reproduction: Reproduction | None,
) -> None:  # fmt: skip
    """For people."""
    if actions is not None:
        _show_actions(console, recorded, actions)
    if agreement is not None:
        _show_agreement(console, recorded, agreement)
    if reproduction is not None:
        _show_reproduction(console, recorded, reproduction)


def _show_actions(console: Console, recorded: EpisodeData, found: ActionReplay) -> None:
    steps = len(found.difference)
    if found.same:
        console.print(f"commands sent again: all {steps} states are the recorded ones, bit for bit")
    else:
        at = found.diverges_at or 0
        console.print(
            f"commands sent again: states differ from step {at} of {steps} on "
            f"({found.time_s[at]:.2f} s into the attempt)"
        )
        table = _table("observation", "largest difference", "at step")
        for each in found.deviations:
            table.add_row(each.name, f"{each.largest:.3g} {each.unit}", str(each.at_step) if each.largest else "–")
        console.print(table)
    meta = recorded.meta
    told = f"outcome: {found.outcome.value}; recorded: {meta.outcome.value}, said by {meta.outcome_source.value}"
    console.print(told + ("" if found.comparable else ", which a simulator cannot repeat"))
    _remark(console, found.remarks)


def _show_agreement(console: Console, recorded: EpisodeData, found: Agreement) -> None:
    console.print(f"policy against what was done, at {len(found.row)} steps (mean absolute error)")
    table = _table("action", "next action", "whole chunk", "share of range", "most", "at")
    for index, name in enumerate(found.names):
        unit, error = found.units[index], found.chunk[:, index]
        worst = int(error.argmax())
        table.add_row(
            name,
            f"{found.first[:, index].mean():.3g} {unit}",
            f"{error.mean():.3g} {unit}",
            f"{error.mean() / found.span[index]:.1%}",
            f"{error[worst]:.3g} {unit}",
            f"{found.time_s[worst]:.2f} s",
        )
    console.print(table)
    console.print("\nwhere it diverges most (mean over the actions, as a share of their ranges)")
    worst_steps = _table("step", "time", "error", "drove")
    for index in _worst(found):
        row = int(found.row[index])
        worst_steps.add_row(
            str(row), f"{found.time_s[index]:.2f} s", f"{found.overall[index]:.1%}", _source(recorded, row)
        )
    console.print(worst_steps)


def _show_reproduction(console: Console, recorded: EpisodeData, found: Reproduction) -> None:
    meta = recorded.meta
    console.print(f"\nfrom the same start (seed {meta.seed}, {meta.start}): {found.rate}")
    if found.identical:
        console.print("all of them were the same, command for command: this policy does not vary, one attempt says all")
    _remark(console, found.remarks)


def _remark(console: Console, remarks: tuple[str, ...]) -> None:
    for remark in remarks:
        console.print(f"note: {remark}")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _worst(found: Agreement) -> list[int]:
    return [int(index) for index in found.overall.argsort(kind="stable")[::-1][:WORST_STEPS]]


def _source(recorded: EpisodeData, row: int) -> str:
    return Source(int(recorded.source[row])).name.lower()


def as_json(
    recorded: EpisodeData, actions: ActionReplay | None, agreement: Agreement | None, found: Reproduction | None
) -> dict[str, Any]:
    """For programs."""
    document: dict[str, Any] = {"episode": recorded.meta.episode_id, "seed": recorded.meta.seed}
    if actions is not None:
        document["actions"] = {
            "steps": len(actions.difference),
            "same": actions.same,
            "diverges_at": actions.diverges_at,
            "largest": {each.name: each.largest for each in actions.deviations},
            "largest_at_step": {each.name: each.at_step for each in actions.deviations},
            "outcome": actions.outcome.value,
            "recorded_outcome": actions.recorded.value,
            "same_outcome": actions.same_outcome,
            "remarks": list(actions.remarks),
        }
    if agreement is not None:
        document["policy"] = {
            "steps": len(agreement.row),
            "actions": {
                name: {
                    "unit": agreement.units[index],
                    "next_action": float(agreement.first[:, index].mean()),
                    "chunk": float(agreement.chunk[:, index].mean()),
                    "chunk_most": float(agreement.chunk[:, index].max()),
                }
                for index, name in enumerate(agreement.names)
            },
            "worst": [
                {
                    "step": int(agreement.row[index]),
                    "time_s": float(agreement.time_s[index]),
                    "error": float(agreement.overall[index]),
                    "source": _source(recorded, int(agreement.row[index])),
                }
                for index in _worst(agreement)
            ],
        }
    if found is not None:
        document["reproduction"] = {
            "attempts": len(found.outcomes),
            "outcomes": [outcome.value for outcome in found.outcomes],
            "steps": list(found.steps),
            "successes": found.rate.successes,
            "rate": found.rate.rate,
            "low": found.rate.low,
            "high": found.rate.high,
            "confidence": found.rate.confidence,
            "identical": found.identical,
            "remarks": list(found.remarks),
        }
    return document
