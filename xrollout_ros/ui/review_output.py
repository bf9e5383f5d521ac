"""What waits for a reviewer, and what was decided or taken back: in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.mining.review.api import Done, Reviews
from xrollout_ros.mining.review.queue import Waiting
from xrollout_ros.mining.success.label import Label
from xrollout_ros.ui import text
from xrollout_ros.ui.review_screen import in_words, label_in_words


def show_waiting(console: Console, found: Sequence[Waiting], reviewer: str, limit: int) -> None:
    """For people."""
    if not found:
        console.print(f"nothing waits for {reviewer}")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("episode", "recorded", "task", "outcome", "mode", "why"):
        table.add_column(name, overflow="fold")
    for each in found[:limit]:
        why = ", ".join(reason.value for reason in each.why) + (" (two reviewers)" if each.double else "")
        when = text.moment(each.started_at)
        table.add_row(
            *map(Text, (each.episode_id, when, each.task, each.outcome or "–", each.failure_mode or "–", why))
        )
    console.print(table)
    more = f", the first {limit} shown" if limit < len(found) else ""
    console.print(f"\n{text.plural(len(found), 'episode')} for {reviewer}{more}", style="dim")


def waiting_json(found: Sequence[Waiting]) -> list[dict[str, Any]]:
    """For programs."""
    return [{**each._asdict(), "why": [reason.value for reason in each.why]} for each in found]


def show_decided(console: Console, done: Done) -> None:
    """For people."""
    episode_id = done.entries[0].episode_id
    console.print(f"{episode_id}: {in_words(done.decision)}", soft_wrap=True)
    for author, word in done.others.items():
        console.print(f"{author} says {word.label}; the last word holds", soft_wrap=True)
    if done.label is not None:
        console.print(label_in_words(done.label), soft_wrap=True)
    click.echo(f"in the journal; take back with: xrollout review undo {episode_id}", err=True)


def decided_json(done: Done) -> dict[str, Any]:
    """For programs."""
    why = done.decision.why
    return {
        "episode_id": done.entries[0].episode_id,
        "outcome": done.decision.outcome.value,
        "judgement": why.model_dump(mode="json") if why else None,
        "entry": done.name,
        "others": {author: word.label for author, word in done.others.items()},
        "label": None if done.label is None else _label_json(done.label),
    }


def _label_json(label: Label) -> dict[str, Any]:
    """What a success classifier had said, told once a person has decided."""
    outcome = None if label.outcome is None else label.outcome.value
    return {"outcome": outcome, "probability": label.probability, "classifier": label.classifier}


def undone_json(reviews: Reviews, episode_id: str) -> dict[str, Any]:
    """What holds of an episode now; nothing is known of one whose bag is gone."""
    try:
        holds = reviews.case(episode_id).holds
    except XRolloutError:
        return {"episode_id": episode_id, "outcome": None, "failure_mode": None}
    return {"episode_id": episode_id, "outcome": holds.outcome.value, "failure_mode": holds.failure_mode or None}


def show_undone(console: Console, undone: dict[str, Any], reviewer: str) -> None:
    """For people."""
    mode = f", {undone['failure_mode']}" if undone["failure_mode"] else ""
    now = f"it holds: {undone['outcome']}{mode}" if undone["outcome"] else "its bag is gone"
    console.print(f"took back what {reviewer} said of {undone['episode_id']}; {now}", soft_wrap=True)
