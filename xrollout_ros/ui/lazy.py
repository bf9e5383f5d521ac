"""A click group that imports a subcommand only when it is called, and tells errors in two lines."""

from __future__ import annotations

import difflib
import importlib
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from xrollout_ros.core.errors import INTERRUPTED, XRolloutError
from xrollout_ros.ui.console import JSON, expect_json, json_printed, json_wanted, print_json

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMPLETE = "_XROLLOUT_COMPLETE"
"""By which a shell asks for completion, as click has it."""

_VALUES = {
    "integer": "N", "integer range": "N", "float": "NUMBER", "float range": "NUMBER", "directory": "DIR",
}  # fmt: skip
"""What an option's value is called in the help, where the option itself does not say; else by click's name for it."""


class Entry(NamedTuple):
    """Where a subcommand is found, and its one line in the help, which is shown without importing it."""

    target: str
    """``module:attribute``."""
    summary: str


def command_follows() -> bool:
    """Whether a command of the group is called, and not the group alone.

    Raises:
        click.UsageError: an option stands between the two, where it would be passed over without a word.
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        return False
    for option in ctx.command.params:
        if option.name and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            name, command = option.opts[0], ctx.invoked_subcommand
            _, _, group = ctx.command_path.partition(" ")
            raise click.UsageError(f"{name} stands before {command!r}: write `xrollout {group} {command} {name} …`")
    return True


def tell(error: XRolloutError, debug: bool) -> None:
    """Print an error as what is wrong and what to do about it; to a program too."""
    if debug:
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    click.echo(click.style("error: ", fg="red", bold=True) + error.what, err=True)
    if error.remedy:
        click.echo(f"  → {error.remedy}", err=True)
    _tell_program(type(error).__name__, error.what, error.remedy, error.exit_code, error.facts)


def _tell_program(kind: str, what: str, remedy: str, exit_code: int, facts: Mapping[str, Any] | None = None) -> None:
    """The same as JSON, where that is read and no document was printed before."""
    if json_wanted() and not json_printed():
        print_json({"error": {"kind": kind, "what": what, "remedy": remedy, "exit_code": exit_code, **(facts or {})}})


@contextmanager
def _telling(ctx: click.Context) -> Iterator[None]:
    """Errors become messages and exit codes."""
    try:
        yield
    except XRolloutError as error:
        tell(error, bool(ctx.params.get("debug")) or os.environ.get("XROLLOUT_DEBUG", "") not in ("", "0"))
        ctx.exit(error.exit_code)
    except click.ClickException as error:  # click itself tells it to people
        of = error.ctx if isinstance(error, click.UsageError) and error.ctx is not None else ctx
        remedy = f"`{of.command_path} --help` tells what is allowed."
        _tell_program("UsageError", error.format_message(), remedy, error.exit_code)
        raise
    except (KeyboardInterrupt, click.Abort):
        click.echo("\ninterrupted", err=True)
        _tell_program("Interrupted", "interrupted", "", INTERRUPTED)
        ctx.exit(INTERRUPTED)


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
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                parameter.metavar = parameter.metavar or _VALUES.get(parameter.type.name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        # Of a group click imports every command to ask whether it is hidden.
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.entries.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = not args or args[0] in self.entries or args[0].startswith("-")
        if not known and not ctx.resilient_parsing:
            alike = difflib.get_close_matches(args[0], self.entries, n=1)
            meant = f" (did you mean {alike[0]!r}?)" if alike else ""
            ctx.fail(f"no such command {args[0]!r}{meant}; there are {', '.join(self.entries)}")
        return super().resolve_command(ctx, args)


class RootGroup(LazyGroup):
    """The outermost group: here errors become messages and exit codes."""

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]] | None = None, **kwargs: Any) -> None:
        self.sections = sections or {}
        entries = {name: entry for section in self.sections.values() for name, entry in section.items()}
        super().__init__(*args, entries=entries, **kwargs)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        longest = max(map(len, self.entries), default=0)
        for title, entries in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{longest}}", entry.summary) for name, entry in entries.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if COMPLETE in os.environ:
            from xrollout_ros.ui import shells

            shells.register()
        return super().main(*args, **kwargs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if JSON in args:  # and not only once the command has understood its line, which may be the error
            expect_json(ctx)
        with _telling(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _telling(ctx):
            return super().invoke(ctx)
