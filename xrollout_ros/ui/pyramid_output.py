"""What a pyramid holds, for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.ui import text

_SHOWN = 3
"""Episodes that are named beside a reason."""
Report = dict[str, Any]


def show(console: Console, report: Report, folder: Path) -> None:
    """Levels, what was left out and why, what is missing."""
    bags = f"{text.plural(report['bags_read'], 'bag')} read, {report['bags_known']} known"
    console.print(
        f"{folder}: {report['task']} on {report['robot']}, {text.plural(report['episodes'], 'episode')} ({bags}), "
        f"recipe {report['recipe']}",
        soft_wrap=True,
    )
    console.print()
    console.print(_levels(report))
    for level in report["levels"]:
        _level(console, level, folder)
    if earlier := _earlier(report, folder):
        console.print(Text(f"{', '.join(earlier)}: of an earlier build, not brought up to date", "yellow"))
    console.print()
    console.print(_rules(report))
    failed = [gate for gate in report["gates"] if gate["failed"]]
    for gate in failed:
        console.print(f"gate {gate['gate']} of level {gate['level']}: {gate['failed']} failed, {gate['passed']} passed")
    for stage, counts in report["stages"].items():
        console.print(f"{stage}: " + ", ".join(f"{name} {count}" for name, count in counts.items()), soft_wrap=True)
    for reason, found in report["left_out"].items():
        named = list(found["which"].items())
        shown = "; ".join(f"{name}: {why}" if why else name for name, why in named[:_SHOWN])
        more = f"; and {len(named) - _SHOWN} more, --json names them all" if len(named) > _SHOWN else ""
        console.print(
            Text.assemble((f"in no level, {reason}: {found['episodes']} ", "yellow"), f"({shown}{more})"),
            soft_wrap=True,
        )


def _earlier(report: Report, folder: Path) -> list[str]:
    """Levels that lie there and that the last build did not make."""
    known = {level["folder"] for level in report["levels"]}
    return [
        name for name in (f"level{number}" for number in range(1, 5)) if name not in known and (folder / name).is_dir()
    ]


def _levels(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("level", "", "episodes", "that train", "rows", "demonstrated", "intervention", "rollout", "dataset"):
        left = name in ("level", "", "dataset")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for level in report["levels"]:
        frames = level["training_frames"]
        table.add_row(
            str(level["level"]),
            level["name"],
            str(level["episodes"]),
            str(level["training_episodes"]),
            str(level["training_rows"]),
            *(str(frames.get(name, 0)) for name in ("demonstration", "intervention", "rollout")),
            level["dataset_version"][:12],
        )
    return table


def _level(console: Console, level: Report, folder: Path) -> None:
    number = level["level"]
    if level["missing"]:
        console.print()
        console.print(Text.assemble((f"level {number} trains nothing: ", "yellow"), level["missing"]), soft_wrap=True)
    out = {reason: count for reason, count in level["left_out"].items() if not reason.startswith("no rule of")}
    own = {reason: count for reason, count in out.items() if reason.startswith(("gate", "cap", "its outcome"))}
    if own:
        told = "; ".join(f"{count}: {reason}" for reason, count in sorted(own.items(), key=lambda item: -item[1]))
        console.print(f"level {number} left out {told}", soft_wrap=True)
    before, after = level["balance_before"], level["balance_after"]
    changed = [name for name in after if abs(after[name] - before.get(name, 0)) > 0.005]
    if changed:
        told = ", ".join(f"{name} {before.get(name, 0):.0%} → {after[name]:.0%}" for name in changed)
        console.print(f"level {number} weighs {told}", soft_wrap=True)
    if not level["missing"] and number == 4:
        console.print(f"train from it: xrollout train --data {folder / level['folder']} --output checkpoint.pt")


def _rules(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("rule", "to level", "holds for", "not for", ""):
        table.add_column(name, justify="left" if name in ("rule", "") else "right", no_wrap=bool(name))
    for rule in report["rules"]:
        table.add_row(rule["rule"], str(rule["level"]), str(rule["held"]), str(rule["not_held"]), rule["about"])
    return table


def show_episode(console: Console, line: Report) -> None:
    """One episode: its levels, each rule and gate."""
    if "left_out" in line:
        console.print(
            f"{line['episode_id']} is in no level: {line['left_out']} ({line['particulars']})", soft_wrap=True
        )
        return
    verified = "verified" if line["verified"] else "not verified"
    console.print(
        f"{line['episode_id']}: {line['kind']}, {line['outcome']} (by {line['outcome_basis']}, {verified}), start "
        f"{line['start']}; it reached level {line['level']}",
        soft_wrap=True,
    )
    if line["ignored"]:
        console.print(Text.assemble(("does not count: ", "yellow"), line["ignored"]), soft_wrap=True)
    for level in line["levels"]:
        console.print()
        words = f"level {level['level']}: " + ("in" if level["in"] else "not in")
        weight = f", weight {level['weight']:.3g}" if level["in"] and level["weight"] is not None else ""
        console.print(Text.assemble((words, "bold"), f"{weight}: {level['refused'] or level['why']}"), soft_wrap=True)
        for rule in line["rules"]:
            if rule["level"] == level["level"]:
                _line(console, rule["held"], f"rule {rule['rule']}", rule["words"])
        for gate in level["gates"]:
            _line(console, gate["passed"], f"gate {gate['gate']}", gate["words"])


def _line(console: Console, good: bool, name: str, words: str) -> None:
    console.print(Text.assemble(("  + ", "green") if good else ("  - ", "yellow"), f"{name}: {words}"), soft_wrap=True)
