"""The command line as pages: every command with its arguments, options, examples and exit codes, from click itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from docs.making.markdown import block, code, prose
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.epilog import HEADING

NAME = "xrollout"


def walk(command: click.Command = cli, parent: click.Context | None = None) -> Iterator[click.Context]:
    """A context of each command, a group before its commands."""
    name = NAME if parent is None else command.name
    ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    yield ctx
    if isinstance(command, click.Group):
        for each in command.list_commands(ctx):
            found = command.get_command(ctx, each)
            assert found is not None, f"{each} is listed by {ctx.command_path} and not there"
            found.name = each
            yield from walk(found, ctx)


def commands() -> str:
    """All commands, as Markdown."""
    return "\n".join(_section(ctx) for ctx in walk())


def anchor(path: str) -> str:
    """Where a command stands on the page."""
    return path.replace(" ", "-")


def _section(ctx: click.Context) -> str:
    command = ctx.command
    level = 2 if ctx.parent is None else len(ctx.command_path.split())
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    out = [f"({anchor(ctx.command_path)})=", f"{'#' * level} {ctx.command_path}\n"]
    out += [prose(each) + "\n" for each in _paragraphs(command.help or "")]
    out.append(block(usage))
    terms = [_term(parameter, ctx) for parameter in command.get_params(ctx)]
    out += [term for term in terms if term]
    if isinstance(command, click.Group):
        out += [_entry(command, each, ctx) for each in command.list_commands(ctx)]
        out.append("")
    out.append(_epilog(command.epilog or ""))
    return "\n".join(out)


def _entry(group: click.Group, name: str, ctx: click.Context) -> str:
    found = group.get_command(ctx, name)
    summary = found.get_short_help_str(200) if found is not None else ""
    return f"- [{ctx.command_path} {name}](#{anchor(f'{ctx.command_path} {name}')}): {prose(summary)}"


def _paragraphs(text: str) -> list[str]:
    return [each.replace("\b", "") for each in re.split(r"\n\s*\n", inspect.cleandoc(text)) if each.strip()]


def _term(parameter: click.Parameter, ctx: click.Context) -> str:
    if isinstance(parameter, click.Option):
        record = parameter.get_help_record(ctx)
        if record is None or "--help" in parameter.opts:
            return ""
        return f"{code(record[0])}\n: {prose(record[1]) or '–'}\n"
    kind = parameter.type
    allowed = f"one of {', '.join(map(str, kind.choices))}" if isinstance(kind, click.Choice) else ""
    wanted = "" if parameter.required else "may be left out"
    told = ", ".join(filter(None, [allowed, wanted]))
    return f"{code(parameter.make_metavar(ctx))}\n: {told}\n" if told else ""


def _epilog(text: str) -> str:
    out = []
    for paragraph in re.split(r"\n\n", text.strip()):
        if not paragraph.startswith("\b"):
            out.append(prose(paragraph) + "\n")
            continue
        title, *lines = paragraph.removeprefix("\b\n").split("\n")
        dedented = inspect.cleandoc("\n".join(["", *lines]))
        out += [prose(title) + "\n", block(dedented, "bash" if title == HEADING else "text")]
    return "\n".join(out)
