"""What the success classifier and its labels look like in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import Outcome
from xrollout_ros.mining.success.labelling import Labelled
from xrollout_ros.mining.success.training import Trained
from xrollout_ros.ui import text
from xrollout_ros.ui.standing import STYLE, lines, rule_json

_NAMED = 3


def show_trained(console: Console, found: Trained, path: Path) -> None:
    """A classifier and how far it can be believed."""
    meta, measured = found.classifier.meta, found.quality
    console.print(Text(f"success classifier {found.classifier.id} of {meta.task} on {meta.robot}", "bold"))
    for source, outcomes in found.sources.items():
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        console.print(f"  learned from {told} by {source}")
    if found.older:
        console.print(f"  {text.plural(found.older, 'older episode')} left out; --most reads more")
    _unreadable(console, found.unreadable)
    console.print(
        f"  on held-out episodes: AUC {measured.auc:.3f} (95% interval {measured.auc_low:.3f} to "
        f"{measured.auc_high:.3f}), Brier score {measured.brier:.3f} (who knows only the rate: "
        f"{measured.brier_of_rate:.3f}), calibration error {measured.ece:.3f}",
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("  probability", "episodes", "predicted", "observed", "95% interval"):
        table.add_column(name, justify="right")
    for each in measured.bins:
        table.add_row(
            f"  {each.low:.1f} to {each.high:.1f}", str(each.episodes), f"{each.predicted:.2f}", f"{each.observed:.2f}",
            f"{each.observed_low:.2f} to {each.observed_high:.2f}",
        )  # fmt: skip
    console.print(table)
    low, high = found.classifier.band
    quality = meta.quality
    console.print(
        f"  unsure from {low:.2g} to {high:.2g}: of {quality.episodes} held-out episodes it would label "
        f"{quality.labelled} ({quality.labelled / quality.episodes:.0%}), {quality.wrong} of them wrongly",
        soft_wrap=True,
    )
    if not quality.labelled:
        console.print("  it would label nothing yet: more verified episodes make it surer", style="yellow")
    console.print(f"kept in {path}; `xrollout label` gives its labels", soft_wrap=True)


def trained_json(found: Trained, path: Path) -> dict[str, Any]:
    """All of it."""
    meta, measured = found.classifier.meta, found.quality
    return {
        "state": "trained",
        "file": str(path),
        "classifier": found.classifier.id,
        **meta.model_dump(mode="json", include={"task", "robot", "confidence", "seed", "trees", "created_at"}),
        "band": found.classifier.band,
        "sources": found.sources,
        "older": found.older,
        "unreadable": dict(found.unreadable),
        "quality": meta.quality.model_dump(mode="json"),
        "reliability": [each._asdict() for each in measured.bins],
    }


def show_labels(console: Console, found: Labelled, *, dry: bool) -> None:
    """What was said, or would be."""
    low, high = found.classifier.band
    now = found.standing
    console.print(
        Text.assemble(
            (f"{found.task} on {found.robot}, classifier {found.classifier.id}: ", "bold"),
            (now.state.value, f"bold {STYLE[now.state]}"),
        ),
        soft_wrap=True,
    )
    for line in lines(now)[:-1]:
        console.print(f"  {line}", soft_wrap=True)
    good, bad = found.count(Outcome.SUCCESS), found.count(Outcome.FAILURE)
    unsure = found.count(None)
    would = "would label" if dry else "labelled"
    console.print(f"{would} {good} success and {bad} failure; unsure of {unsure} (from {low:.2g} to {high:.2g})")
    if good or bad:
        console.print(
            f"  {found.drawn} of the {good + bad} are in the human sample of {now.share:.0%}; the rest needs no person "
            f"while the rule allows it",
            soft_wrap=True,
        )
    if found.drawn or unsure:
        waits = "would wait" if dry else "wait"
        console.print(f"  {found.drawn + unsure} {waits} in `xrollout review`, which does not show the label")
    if found.already:
        console.print(f"  it had said before what it says of {text.plural(found.already, 'episode')}")
    console.print(
        f"  not asked of: {found.verified} whose outcome somebody vouches for, {found.others} that were stopped or "
        "that others judge",
        soft_wrap=True,
    )
    if found.left:
        console.print(f"  {text.plural(found.left, 'older episode')} not read; --most reads more")
    _unreadable(console, found.unreadable)
    if found.batch:
        console.print(f"in the journal; take back with: xrollout untag --undo {found.batch}", style="dim")


def _unreadable(console: Console, problems: Mapping[str, str]) -> None:
    if not problems:
        return
    console.print(f"  {text.plural(len(problems), 'episode')} cannot be used:", style="yellow")
    for name, why in list(problems.items())[:_NAMED]:
        console.print(f"    {name}: {why}", style="yellow", soft_wrap=True)
    if len(problems) > _NAMED:
        console.print(f"    … and {len(problems) - _NAMED} more; --json names all", style="yellow")


def labels_json(found: Labelled, *, dry: bool) -> dict[str, Any]:
    """All of it."""
    return {
        "state": "dry_run" if dry else "labelled",
        "task": found.task,
        "robot": found.robot,
        "classifier": found.classifier.id,
        "band": found.classifier.band,
        "rule": rule_json(found.standing),
        "success": found.count(Outcome.SUCCESS),
        "failure": found.count(Outcome.FAILURE),
        "unsure": found.count(None),
        "human_sample": found.drawn,
        "already": found.already,
        "verified": found.verified,
        "others": found.others,
        "left": found.left,
        "unreadable": dict(found.unreadable),
        "batch": found.batch,
        "labels": [
            {
                "episode_id": each.episode_id,
                "outcome": None if each.outcome is None else each.outcome.value,
                "probability": each.probability,
            }
            for each in found.labels
        ],
    }
