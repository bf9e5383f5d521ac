"""`xrollout review list`, `say` and `undo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.ui.candidates import OneOf, any_of, episodes, modes, outcomes
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.people import reviewer_option
from xrollout_ros.ui.review_options import criteria_of, criteria_options

_SHOWN = 50


@click.command(
    "list", epilog=epilog("xrollout review list --task pick_and_place", "xrollout review list --json --limit 10")
)
@reviewer_option
@criteria_options
@filter_options()
@click.option(
    "--limit", type=click.IntRange(min=1), help=f"Not more than so many.  [default: {_SHOWN} in a table, else all]"
)
@data_option
@json_option
def list_waiting(
    reviewer: str, data: Path, sample: float, double: float, salt: str, limit: int | None, as_json: bool, **filters: Any
) -> None:
    """List the episodes that wait for you, and why.

    Ambiguous ones come first.
    """
    from xrollout_ros.mining.review.api import Reviews
    from xrollout_ros.ui import review_output as shown

    conditions, criteria = conditions_of(filters), criteria_of(sample, double, salt)
    with caught_up(data) as catalog:
        found = Reviews(catalog, reviewer, criteria).queue(conditions)
    if as_json:
        print_json(shown.waiting_json(found[:limit]))
    else:
        shown.show_waiting(output(), found, reviewer, limit or _SHOWN)


@click.command(
    "say",
    epilog=epilog(
        'xrollout review say 01M7X5 --mode dropped --moment 2.4 --reason "slipped out of the fingers"',
        "xrollout review say 01M7X5 --outcome success",
        "xrollout review say 01M7X5 --confirm",
    ),
)
@click.argument("episode", metavar="ID", shell_complete=episodes)
@click.option(
    "--mode", metavar="MODE", shell_complete=any_of(modes), help="Why it failed; `review` in a terminal lists them."
)
@click.option("--outcome", type=OneOf(outcomes), help="How it ended.")
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
    """Decide about one episode.

    What you do not name is confirmed as it is. Whatever you decided about it before is replaced; `xrollout review undo`
    brings it back.
    """
    if confirm == (mode is not None or outcome is not None):
        raise click.UsageError("Give --mode or --outcome, or --confirm alone.")
    from xrollout_ros.core.episode import Outcome
    from xrollout_ros.mining.review.api import Reviews
    from xrollout_ros.ui import review_output as shown

    with caught_up(data) as catalog:
        done = Reviews(catalog, reviewer).decide(
            episode,
            mode=mode,
            outcome=Outcome(outcome) if outcome else None,
            moment_s=moment,
            stage=stage,
            reason=reason,
        )
    if as_json:
        print_json(shown.decided_json(done))
    else:
        shown.show_decided(output(), done)


@click.command("undo", epilog=epilog("xrollout review undo # your last decision", "xrollout review undo 01M7X5"))
@click.argument("episode", metavar="[ID]", required=False, shell_complete=episodes)
@click.option("--reason", default="", help="Why, for whoever reads it later.")
@reviewer_option
@data_option
@json_option
def undo(episode: str | None, reason: str, reviewer: str, data: Path, as_json: bool) -> None:
    """Take back your last decision, or the last one about an episode.

    Again and again, if you like. What it had replaced holds again, and the episode waits for you again.
    """
    from xrollout_ros.mining.review.api import Reviews
    from xrollout_ros.ui import review_output as shown

    with caught_up(data) as catalog:
        reviews = Reviews(catalog, reviewer)
        undone = shown.undone_json(reviews, reviews.undo(episode, reason))
    if as_json:
        print_json(undone)
    else:
        shown.show_undone(output(), undone, reviewer)
