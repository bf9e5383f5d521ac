"""Command lines as pages show them: what of each is ours, checked against the command line itself; nothing is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click

from docs.making.commands import NAME
from docs.making.source import ROOT
from xrollout_ros.graph.arguments import ARGUMENTS, Graph, argument_names
from xrollout_ros.graph.topics import OWN, resolve
from xrollout_ros.ui.arguments import SEPARATOR
from xrollout_ros.ui.cli import cli

_BETWEEN = {"|", "||", "&&", ";", "&", "(", ")", ">", ">>", "<", "<<", "2>"}
SERVICES = (
    "start_attempt", "end_attempt", "emergency_stop", "reset_emergency_stop", "save_highlight", "load_policy",
)  # fmt: skip
"""What people may call; the others are the nodes' own."""


class WrongLineError(Exception):
    """A line that the command line would refuse."""


def check(line: str, *, whole: bool = True) -> None:
    """Refuse what is ours in a line and would not be understood.

    Args:
        line: a command line of a shell.
        whole: False: it may be the beginning of one, as prose names commands.

    Raises:
        WrongLineError: an option, argument, command, topic or target is unknown, or a value is not allowed.
    """
    for words in _calls(line):
        name, rest = words[0], words[1:]
        if name == NAME:
            _check_click(cli, rest, click.Context(cli, info_name=NAME), whole)
        elif name == "ros2" and (whole or len(rest) > 2):
            _check_ros2(rest)
        elif name == "make":
            _check_make(rest)


def _calls(line: str) -> Iterator[list[str]]:
    """The words of each program that a line calls, without what its shell makes of them."""
    lexer = shlex.shlex(re.sub(r"\$\(", " ( ", line), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    words: list[str] = []
    try:
        found = [*lexer, ";"]
    except ValueError:  # the middle of a here-document
        return
    redirected = False
    for word in found:
        if word in _BETWEEN or set(word) <= set("();<>|&"):
            redirected = set(word) <= set("<>")
            if not redirected:
                if words:
                    yield words
                words = []
        elif redirected:
            redirected = False
        elif words or not re.fullmatch(r"\w+=.*", word):
            words.append(word)


def _check_click(command: click.Command, words: list[str], ctx: click.Context, whole: bool) -> None:
    try:
        parsed, rest, _ = command.make_parser(ctx).parse_args(list(words))
    except click.UsageError as error:
        if not whole and isinstance(error, click.BadOptionUsage):  # prose names an option without its value
            return
        raise WrongLineError(f"{ctx.command_path}: {error.format_message()}") from error
    # Newer versions of click put a mark of their own where nothing was given.
    values = {name: value for name, value in parsed.items() if type(value).__name__ != "Sentinel"}
    if values.get("help"):
        return
    if isinstance(command, click.Group):
        if not rest or rest[0] == "…":
            if whole and not command.invoke_without_command and not values.get("version"):
                raise WrongLineError(f"{ctx.command_path}: a command is missing")
            return
        found = command.get_command(ctx, rest[0])
        if found is None:
            raise WrongLineError(f"{ctx.command_path} has no command {rest[0]!r}")
        _check_click(found, rest[1:], click.Context(found, info_name=rest[0], parent=ctx), whole)
        return
    for parameter in command.get_params(ctx):
        if parameter.name is not None:
            _check_value(parameter, values.get(parameter.name), ctx, whole)
    if ctx.command_path == f"{NAME} up" and values.get("graph") in ARGUMENTS:
        _check_arguments(values["graph"], values.get("arguments") or ())


def _check_value(parameter: click.Parameter, value: object, ctx: click.Context, whole: bool) -> None:
    if value in (None, ()):
        if whole and parameter.required:
            raise WrongLineError(f"{ctx.command_path}: {parameter.human_readable_name} is missing")
        return
    numeric = isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType | click.Choice)
    for each in value if isinstance(value, list | tuple) else [value]:
        # What stands for a value that everybody has another of: N, SECONDS, …
        if numeric and isinstance(each, str) and not re.fullmatch(r"…|[A-Z]+", each):
            try:
                parameter.type.convert(each, parameter, ctx)
            except click.UsageError as error:
                raise WrongLineError(f"{ctx.command_path}: {error.format_message()}") from error


def _check_arguments(graph: Graph, words: tuple[str, ...]) -> None:
    for word in words:
        name, separator, _ = word.partition(SEPARATOR)
        if word != "…" and (not separator or name not in argument_names(graph)):
            raise WrongLineError(f"graph {graph} has no argument {word!r}")


def _check_ros2(words: list[str]) -> None:
    verb = " ".join(words[:2])
    if verb.startswith("launch"):
        if words[1] == "xrollout":
            graph = words[2].removesuffix(".launch.py")
            if not (ROOT / "launch" / words[2]).is_file() or graph not in ARGUMENTS:
                raise WrongLineError(f"there is no launch file {words[2]}")
            _check_arguments(graph, tuple(words[3:]))
    elif verb in ("topic echo", "topic hz"):
        known = [resolve(each.name) for each in OWN]
        if words[2].startswith("/xrollout/") and words[2] not in known:
            raise WrongLineError(f"there is no topic {words[2]}")
    elif verb == "service call":
        _known(words[2].removeprefix("/xrollout/"), SERVICES, "service")
        _check_type(words[3])
    elif verb == "action send_goal":
        given = [word for word in words[2:] if not word.startswith("-")]
        _known(given[0], ("/xrollout/run_cycle",), "action")
        _check_type(given[1])


def _check_type(kind: str) -> None:
    package, part, name = kind.split("/")
    if package == "xrollout" and not (ROOT / part / f"{name}.{part}").is_file():
        raise WrongLineError(f"there is no type {kind}")


def _check_make(words: list[str]) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in words:
        if not word.startswith("-") and "=" not in word:
            _known(word, targets, "target of make")


def _known(name: str, allowed: list[str] | tuple[str, ...], what: str) -> None:
    if name not in allowed:
        raise WrongLineError(f"there is no {what} {name!r}")
