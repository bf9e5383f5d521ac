"""The terminal as the commands write to it."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

PIPE_WIDTH = 240
"""Columns when the output goes to a file or a pipe, where nothing may be cut off to fit a screen."""


def output() -> Console:
    """Standard output; markup is off, since paths and messages hold brackets."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=PIPE_WIDTH)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def heading(console: Console, title: str) -> None:
    """Begin a stage."""
    console.print()
    console.rule(title, align="left", style="bold")
