"""Options that say which episodes are meant; the same for every command that asks the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from xrollout_ros.episodes.catalog.filters import Condition, equal, parse
from xrollout_ros.ui.candidates import recorded

F = TypeVar("F", bound=Callable[..., Any])
SHORTCUTS = ("task", "policy", "scene", "start", "robot", "kind", "outcome", "failure", "tag")
"""Columns with an option of their own."""


def filter_options(shortcuts: Sequence[str] = SHORTCUTS) -> Callable[[F], F]:
    """``--task``, …, ``--without-tag``, ``--since``, ``--until`` and ``--where``, for :func:`conditions_of`.

    Args:
        shortcuts: the columns that get an option of their own.
    """
    where = "Only those with NAME=VALUE; also != < <= > >= ~ !~."
    since = "Only those begun since; ISO 8601, UTC, e.g. 2026-01-31."
    options = [
        click.option(
            f"--{name}",
            multiple=True,
            metavar="VALUE",
            shell_complete=recorded(name),
            help=f"Only this {name}; commas: any.",
        )
        for name in shortcuts
    ]
    options += [
        click.option(
            "--without-tag", multiple=True, metavar="TAG", shell_complete=recorded("tag"), help="Only without this tag."
        ),
        click.option("--since", metavar="TIME", help=since),
        click.option("--until", metavar="TIME", help="Only those begun before."),
        click.option("-w", "--where", multiple=True, metavar="FILTER", help=where),
    ]

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def conditions_of(given: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions that these options say.

    Raises:
        DataError: one cannot be read.
    """
    found = [equal(name, value) for name in SHORTCUTS for value in given.get(name, ())]
    found += [parse(f"tag!={value}") for value in given["without_tag"]]
    found += [parse(f"started_at>={given['since']}")] if given["since"] else []
    found += [parse(f"started_at<{given['until']}")] if given["until"] else []
    return (*found, *map(parse, given["where"]))
