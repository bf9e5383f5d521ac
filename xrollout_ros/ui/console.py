"""The terminal as the commands write to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 240
"""Columns when the output goes to a file or a pipe, where nothing may be cut off to fit a screen."""
JSON = "--json"
_WANTED, _PRINTED = f"{__name__}.wanted", f"{__name__}.printed"


def expect_json(context: click.Context) -> None:
    """From here on standard output is for JSON alone."""
    context.meta[_WANTED] = True


def json_wanted() -> bool:
    """Whether whoever called reads JSON."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_WANTED))


def json_printed() -> bool:
    """Whether the JSON document has been printed, so that no other may follow."""
    return bool(click.get_current_context().meta.get(_PRINTED))


def output() -> Console:
    """Where a command says what it does: standard output, or standard error where that is for JSON.

    Markup is off, since paths and messages hold brackets.
    """
    from rich.console import Console  # which help and completion do without

    console = Console(markup=False, highlight=False, stderr=json_wanted())
    if not console.is_terminal:
        console = Console(markup=False, highlight=False, stderr=json_wanted(), width=PIPE_WIDTH)
    return console


def json_text(value: Any) -> str:
    """A JSON document; paths and times become text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def print_json(value: Any) -> None:
    """The one JSON document that a command prints, on standard output."""
    click.get_current_context().meta[_PRINTED] = True
    click.echo(json_text(value))


def print_json_line(value: Any) -> None:
    """One of many JSON documents, a line each, of a command that goes on."""
    click.get_current_context().meta[_PRINTED] = True
    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def heading(console: Console, title: str) -> None:
    """Begin a stage."""
    console.print()
    console.rule(title, align="left", style="bold")
