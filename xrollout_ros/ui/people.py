"""Who is at the keyboard."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
REVIEWER = "XROLLOUT_REVIEWER"


def login() -> str:
    """Name of the user who is logged in."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def default_reviewer() -> str:
    """Who reviews where nobody says so."""
    return os.environ.get(REVIEWER) or login()


def _reviewer(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str:
    if ctx.resilient_parsing:
        return ""
    from xrollout_ros.mining.review.decisions import check_reviewer

    return check_reviewer(value or default_reviewer())


def reviewer_option(command: F) -> F:
    """``--reviewer NAME``."""
    return click.option(
        "--reviewer", metavar="NAME", callback=_reviewer, help=f"Who says so.  [default: ${REVIEWER}, else the login]"
    )(command)
