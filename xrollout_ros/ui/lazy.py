"""A click group that imports a subcommand only when it is called, and tells errors in two lines."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from xrollout_ros.core.errors import XRolloutError

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


class Entry(NamedTuple):
    """Where a subcommand is found, and its one line in the help, which is shown without importing it."""

    target: str
    """``module:attribute``."""
    summary: str


def tell(error: XRolloutError, debug: bool) -> None:
    """Print an error as what is wrong and what to do about it."""
    if debug:
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    click.echo(click.style("error: ", fg="red", bold=True) + error.what, err=True)
    if error.remedy:
        click.echo(f"  → {error.remedy}", err=True)


class LazyGroup(click.Group):
    """A group whose subcommands are named by :class:`Entry`."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.entries = dict(entries or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is a {type(command).__name__}, not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            ctx.fail(f"no such command {args[0]!r}; there are {', '.join(self.entries)}")
        return super().resolve_command(ctx, args)


class RootGroup(LazyGroup):
    """The outermost group: here errors become messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        debug = bool(ctx.params.get("debug")) or os.environ.get("XROLLOUT_DEBUG", "") not in ("", "0")
        try:
            return super().invoke(ctx)
        except XRolloutError as error:
            tell(error, debug)
            ctx.exit(error.exit_code)
        except (KeyboardInterrupt, click.Abort):
            click.echo("\ninterrupted", err=True)
            ctx.exit(INTERRUPTED)
