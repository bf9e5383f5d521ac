"""`xrollout review`: the queue in the terminal, and the group of what can be said without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.ui.console import output
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.lazy import Entry, LazyGroup, command_follows
from xrollout_ros.ui.options import data_option
from xrollout_ros.ui.people import reviewer_option
from xrollout_ros.ui.review_options import criteria_of, criteria_options

_COMMANDS = "xrollout_ros.ui.commands.review_commands"
ENTRIES = {
    "list": Entry(f"{_COMMANDS}:list_waiting", "List the episodes that wait for you, and why."),
    "say": Entry(f"{_COMMANDS}:say", "Decide about one episode."),
    "undo": Entry(f"{_COMMANDS}:undo", "Take back your last decision, or the last one about an episode."),
    "status": Entry(
        "xrollout_ros.ui.commands.review_status:status",
        "Say how many episodes wait for you, who has decided how much, and how far auto-labels are relied on.",
    ),
    "agreement": Entry(
        "xrollout_ros.ui.commands.review_status:agreement",
        "Say how well two reviewers agree about the episodes that both have judged.",
    ),
}
REMEDY = (
    "Use `xrollout review list --json` and `xrollout review say ID …`, or from Python "
    "xrollout_ros.mining.review.api.Reviews."
)


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    invoke_without_command=True,
    epilog=epilog(
        "xrollout review # keys are shown",
        "xrollout review --task pick_and_place --reviewer ann",
        'xrollout review say 01M7X5 --mode dropped --reason "slipped out of the fingers"',
    ),
)
@reviewer_option
@criteria_options
@filter_options()
@data_option
def review(reviewer: str, data: Path, sample: float, double: float, salt: str, **filters: Any) -> None:
    """Look at ambiguous and sampled episodes, and decide; by keys in the terminal.

    Without a command the episodes that wait for you come one after another. Each decision goes to the journal, by your
    name, and can be undone.
    """
    if command_follows():
        return
    from xrollout_ros.mining.review.api import Reviews
    from xrollout_ros.ui.keys import Keys
    from xrollout_ros.ui.review_loop import Session
    from xrollout_ros.ui.review_viewer import Viewer

    conditions, criteria = conditions_of(filters), criteria_of(sample, double, salt)
    keys = Keys("review", REMEDY)
    with caught_up(data) as catalog, Viewer(data) as viewer, keys:
        made = Session(Reviews(catalog, reviewer, criteria), conditions, output(), keys, viewer).run()
    click.echo(f"{made} decided by {reviewer}; `xrollout review status` shows what is left")
