"""Options that say which episodes are to be reviewed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from xrollout_ros.mining.review.criteria import Criteria

F = TypeVar("F", bound=Callable[..., Any])


def criteria_options(command: F) -> F:
    """``--sample``, ``--double`` and ``--salt``; :func:`criteria_of` reads them."""
    usual = Criteria()
    for option in (
        click.option("--salt", default=usual.salt, show_default=True, help="Another one draws other episodes."),
        click.option(
            "--double", type=float, default=usual.double, show_default=True, help="Share that two reviewers see."
        ),
        click.option(
            "--sample", type=float, default=usual.sample, show_default=True, help="Share of what is not ambiguous."
        ),
    ):
        command = option(command)
    return command


def criteria_of(sample: float, double: float, salt: str) -> Criteria:
    """What the options ask for.

    Raises:
        DataError: a share is none.
    """
    return Criteria(sample=sample, double=double, salt=salt)
