"""What holds for every command: an example that parses, JSON where it reports, exit codes that are in the table."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import xrollout_ros
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.graph.arguments import ARGUMENTS
from xrollout_ros.ui import exit_codes
from xrollout_ros.ui.arguments import parse_arguments
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.epilog import HEADING
from xrollout_ros.ui.lazy import LazyGroup

from .commands import ALL, RUN

PACKAGE = Path(xrollout_ros.__file__).resolve().parent
PAGE = PACKAGE.parent / "docs" / "command_line.md"
WITHOUT_JSON = {
    ("teleop",): "a person drives by it; nothing is reported at its end",
    ("review",): "asks a person by single keys; its commands list, say, undo and status have --json",
    ("episodes", "open"): "serves a viewer until Ctrl-C",
    ("completion",): "prints a script for a shell",
}
"""Why these have none."""


def name_of(path: tuple[str, ...]) -> str:
    return " ".join(path) or "xrollout"


# --- JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RUN, ids=name_of)
def test_every_command_prints_json_or_says_why_it_does_not(path: tuple[str, ...]) -> None:
    options = {option for parameter in RUN[path].params for option in parameter.opts}
    assert ("--json" in options) != (path in WITHOUT_JSON), WITHOUT_JSON.get(path)


def test_the_exceptions_are_commands_that_the_page_names() -> None:
    assert WITHOUT_JSON.keys() <= RUN.keys()
    named = PAGE.read_text().partition("Without `--json`")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z ]+)`", named)) >= {" ".join(path) for path in WITHOUT_JSON}


# --- examples -----------------------------------------------------------------------------------------------------


def examples_of(path: tuple[str, ...]) -> list[str]:
    """As `--help` shows them."""
    shown = CliRunner().invoke(cli, [*path, "--help"], prog_name="xrollout", terminal_width=240)
    assert shown.exit_code == 0, shown.output
    _, _, below = shown.stdout.partition(f"{HEADING}\n")
    return [line.strip() for line in below.splitlines() if line.strip()]


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_every_help_ends_with_examples_that_parse(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("raw_rollouts", "comparison"):  # which must be there
        Path(folder).mkdir()
    called: list[tuple[str, click.Context]] = []
    monkeypatch.setattr(click.Command, "invoke", lambda self, ctx: called.append((ctx.command_path, ctx)))
    lines = examples_of(path)
    assert any(line.startswith(" ".join(("xrollout", *path))) for line in lines), lines
    for line in lines:
        assert len(line) <= 120, line
        for words in commands_in(line):
            called.clear()
            result = CliRunner().invoke(cli, words[1:], prog_name="xrollout")
            assert result.exit_code == 0, f"{line}: {result.output}"
            command, context = called[-1]
            assert not isinstance(context.command, click.Group) or context.command.invoke_without_command, line
            if command == "xrollout up":
                known = {argument.name for argument in ARGUMENTS[context.params["graph"]]}
                assert parse_arguments(context.params["arguments"]).keys() <= known, line


def commands_in(line: str) -> list[list[str]]:
    """The calls of `xrollout` in a line of a shell, without where their output goes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if word in ("&&", "|", ";", ">", "<"):
            found.append([])
        else:
            found[-1].append(word)
    calls = [words for words in found if words[:1] == ["xrollout"]]
    assert calls, line
    return calls


def test_a_line_of_a_shell_is_taken_apart() -> None:
    line = "xrollout query --where 'duration_s>10' --json | jq . > x.json && xrollout mine  # both"
    assert commands_in(line) == [["xrollout", "query", "--where", "duration_s>10", "--json"], ["xrollout", "mine"]]


# --- names and words ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path, each in ALL.items() if isinstance(each, LazyGroup)], ids=name_of)
def test_every_entry_says_in_the_list_what_its_own_help_says(path: tuple[str, ...]) -> None:
    group = ALL[path]
    assert isinstance(group, LazyGroup)
    for name, entry in group.entries.items():
        command = ALL[(*path, name)]
        assert command.name == name
        assert command.get_short_help_str(200) == entry.summary


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    for parameter in ALL[path].params:
        assert not isinstance(parameter, click.Option) or parameter.help, parameter.opts


# --- exit codes ---------------------------------------------------------------------------------------------------


def test_the_page_has_the_exit_codes_of_the_code() -> None:
    _, _, below = PAGE.read_text().partition("## Exit codes\n")
    rows = [line.strip("| ").split(" | ") for line in below.splitlines() if re.match(r"\| \d", line)]
    shown = [(each.code, f"`{each.command}`" if each.command else "any", each.meaning) for each in exit_codes.MEANINGS]
    assert [(int(code), whose, meaning) for code, whose, meaning in rows] == shown


def test_every_error_has_a_code_of_the_table() -> None:
    for path in PACKAGE.rglob("*.py"):  # so that they are all there, whatever was imported before
        if re.search(r"^class \w+\(\w*Error\):", path.read_text(), re.MULTILINE):
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            __import__(module)
    known = {each.code for each in exit_codes.MEANINGS if not each.command}
    kinds = [XRolloutError]
    for kind in kinds:
        assert kind.exit_code in known, kind
        kinds += kind.__subclasses__()
    assert len(kinds) > 10


def test_no_command_ends_with_a_code_of_its_own_invention() -> None:
    """A number is 0 or stands in ``exit_codes``; anything else is that of an error or of a process."""
    for path in sorted((PACKAGE / "ui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and re.search(r"(\.exit|\bExit|SystemExit)$", ast.unparse(node.func)):
                numbers = re.findall(r"(?<![\w[.])\d+", ast.unparse(node))
                assert {"0", "128"}.issuperset(numbers), f"{path}:{node.lineno}: {ast.unparse(node)}"
