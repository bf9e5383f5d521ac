"""`xrollout review status` and `agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.people import reviewer_option
from xrollout_ros.ui.review_options import criteria_of, criteria_options


@click.command("status", epilog=epilog("xrollout review status", "xrollout review status --task pick_and_place --json"))
@reviewer_option
@criteria_options
@filter_options()
@data_option
@json_option
def status(reviewer: str, data: Path, sample: float, double: float, salt: str, as_json: bool, **filters: Any) -> None:
    """Say how many episodes wait for you, who has decided how much, and how far auto-labels are relied on.

    Of each success classifier: what people say of a random sample of its labels, and the state that follows from it
    by the 5/10-point rule: gathering, widen, hold or retrain.
    """
    from xrollout_ros.mining.review.api import Reviews
    from xrollout_ros.ui import review_status_output as shown

    conditions, criteria = conditions_of(filters), criteria_of(sample, double, salt)
    with caught_up(data) as catalog:
        found = Reviews(catalog, reviewer, criteria).status(conditions)
    if as_json:
        print_json(shown.as_json(found, reviewer))
    else:
        shown.show(output(), found, reviewer)


@click.command(
    "agreement", epilog=epilog("xrollout review agreement", "xrollout review agreement --since 2026-01-01 --json")
)
@filter_options()
@data_option
@json_option
def agreement(data: Path, as_json: bool, **filters: Any) -> None:
    """Say how well two reviewers agree about the episodes that both have judged.

    Cohen's kappa: 1 is agreement about everything, 0 what chance would make of it. Each one's own last word counts.
    """
    from xrollout_ros.mining.review.api import Reviews
    from xrollout_ros.ui import agreement_output as shown

    conditions = conditions_of(filters)
    with caught_up(data) as catalog:
        found = Reviews(catalog, "nobody").agreement(conditions)
    if as_json:
        print_json(shown.as_json(found))
    else:
        shown.show(output(), found)
