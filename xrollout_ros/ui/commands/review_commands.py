"""`xrollout review list`, `say` and `undo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.review.queue import Waiting
from xrollout_ros.mining.success.label import Label
from xrollout_ros.mining.taxonomy import FailureMode
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.people import reviewer_option
from xrollout_ros.ui.review_options import criteria_of, criteria_options
from xrollout_ros.ui.review_screen import in_words, label_in_words


def _complete_mode(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [mode.value for mode in FailureMode if mode.value.startswith(incomplete)]


@click.command("list")
@reviewer_option
@criteria_options
@filter_options()
@click.option("--limit", type=click.IntRange(min=1), help="Not more than so many.  [default: 50 in a table, else all]")
@data_option
@json_option
def list_waiting(
    reviewer: str, data: Path, sample: float, double: float, salt: str, limit: int | None, as_json: bool, **filters: Any
) -> None:
    """List the episodes that wait for you, and why; ambiguous ones first."""
    conditions, criteria = conditions_of(filters), criteria_of(sample, double, salt)
    with caught_up(data) as catalog:
        found = Reviews(catalog, reviewer, criteria).queue(conditions)
    if as_json:
        print_json([_json(each) for each in found[:limit]])
        return
    console = output()
    if not found:
        console.print(f"nothing waits for {reviewer}")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("episode", "recorded", "task", "outcome", "mode", "why"):
        table.add_column(name, overflow="fold")
    for each in found[: limit or 50]:
        why = ", ".join(reason.value for reason in each.why) + (" (two reviewers)" if each.double else "")
        when = each.started_at[:19].replace("T", " ")
        table.add_row(
            *map(Text, (each.episode_id, when, each.task, each.outcome or "–", each.failure_mode or "–", why))
        )
    console.print(table)
    shown = min(len(found), limit or 50)
    more = f", the first {shown} shown" if shown < len(found) else ""
    console.print(f"\n{text.plural(len(found), 'episode')} for {reviewer}{more}", style="dim")


def _json(each: Waiting) -> dict[str, Any]:
    return {**each._asdict(), "why": [reason.value for reason in each.why]}


@click.command("say")
@click.argument("episode", metavar="ID")
@click.option(
    "--mode", metavar="MODE", shell_complete=_complete_mode, help="Why it failed; `review` in a terminal lists them."
)
@click.option("--outcome", type=click.Choice([outcome.value for outcome in Outcome]), help="How it ended.")
@click.option("--moment", type=float, metavar="S", help="When it went wrong, s since the start.")
@click.option("--stage", metavar="STAGE", help="Of the task, e.g. grasp.")
@click.option("--confirm", is_flag=True, help="All is as it was said.")
@click.option("--reason", default="", help="In your words, for whoever reads it later.")
@reviewer_option
@data_option
@json_option
def say(
    episode: str, mode: str | None, outcome: str | None, moment: float | None, stage: str | None, confirm: bool,
    reason: str, reviewer: str, data: Path, as_json: bool,
) -> None:  # fmt: skip
    """Decide about one episode; what you do not name is confirmed as it is.

    Whatever you decided about it before is replaced; `xrollout review undo` brings it back.
    """
    if confirm == (mode is not None or outcome is not None):
        raise click.UsageError("Give --mode or --outcome, or --confirm alone.")
    with caught_up(data) as catalog:
        done = Reviews(catalog, reviewer).decide(
            episode,
            mode=mode,
            outcome=Outcome(outcome) if outcome else None,
            moment_s=moment,
            stage=stage,
            reason=reason,
        )
    episode_id = done.entries[0].episode_id
    if as_json:
        why = done.decision.why
        print_json(
            {
                "episode_id": episode_id,
                "outcome": done.decision.outcome.value,
                "judgement": why.model_dump(mode="json") if why else None,
                "entry": done.name,
                "others": {author: word.label for author, word in done.others.items()},
                "label": None if done.label is None else label_json(done.label),
            }
        )
        return
    console = output()
    console.print(f"{episode_id}: {in_words(done.decision)}", soft_wrap=True)
    for author, word in done.others.items():
        console.print(f"{author} says {word.label}; the last word holds", soft_wrap=True)
    if done.label is not None:
        console.print(label_in_words(done.label), soft_wrap=True)
    click.echo(f"in the journal; take back with: xrollout review undo {episode_id}", err=True)


def label_json(label: Label) -> dict[str, Any]:
    """What a success classifier had said, told once a person has decided."""
    outcome = None if label.outcome is None else label.outcome.value
    return {"outcome": outcome, "probability": label.probability, "classifier": label.classifier}


@click.command("undo")
@click.argument("episode", metavar="[ID]", required=False)
@click.option("--reason", default="", help="Why, for whoever reads it later.")
@reviewer_option
@data_option
def undo(episode: str | None, reason: str, reviewer: str, data: Path) -> None:
    """Take back your last decision, or the last one about an episode; again and again.

    What it had replaced holds again, and the episode waits for you again.
    """
    with caught_up(data) as catalog:
        reviews = Reviews(catalog, reviewer)
        found = reviews.undo(episode, reason)
        try:
            holds = reviews.case(found).holds
        except XRolloutError:
            now = "its bag is gone"
        else:
            now = f"it holds: {holds.outcome.value}{f', {holds.failure_mode}' if holds.failure_mode else ''}"
    output().print(f"took back what {reviewer} said of {found}; {now}", soft_wrap=True)
