"""The frame of the `xrollout` command: lazy imports, errors, exit codes, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import xrollout_ros
from xrollout_ros.core import errors
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.lazy import Entry, RootGroup

HEAVY = ("torch", "matplotlib", "rclpy", "metaworld", "mujoco", "gymnasium", "scipy", "jinja2")
ROOT = Path(__file__).parents[2]


def imported_by(*arguments: str) -> set[str]:
    """Top-level modules that a run of the command imports, in a fresh interpreter."""
    program = (
        "import sys, json\n"
        "from xrollout_ros.ui.cli import cli\n"
        "try:\n    cli.main(sys.argv[1:], prog_name='xrollout')\n"
        "except SystemExit:\n    pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), ("train", "--help"), ("demo", "--help"), ("up", "--help"), ("record", "--help"),
     ("collect", "--help"), ("generate", "--help"),
     ("monitor", "--help"), ("episodes", "list", "--help"), ("episodes", "show", "--help"), ("replay", "--help")],
)  # fmt: skip
def test_looking_costs_no_heavy_import(arguments: tuple[str, ...]) -> None:
    assert not imported_by(*arguments) & set(HEAVY)


def test_help_imports_no_library_of_data() -> None:
    assert not imported_by("--help") & {"numpy", "mcap", "yaml", "rich"}


def test_listing_imports_neither_torch_nor_ros(tmp_path: Path) -> None:
    assert not imported_by("episodes", "list", "--data", str(tmp_path)) & set(HEAVY)


def test_a_question_imports_only_what_it_uses(bags: Any) -> None:
    """In a catalog that is up to date; whatever reads bags takes several times as long to import."""
    meta = bags.meta(policy_id="p")
    bags.open(paths.episode_dir(bags.data, meta), meta).close(meta)
    with Catalog(bags.data) as catalog:
        catalog.update(every=True)
    os.utime(bags.data, (1, 1))  # settled
    os.utime(next(bags.data.glob("20*")), (1, 1))
    with Catalog(bags.data) as catalog:
        catalog.update()
    ask = ["query", "--data", str(bags.data), "--task", meta.task]
    unused = {*HEAVY, "pydantic", "yaml", "mcap", "numpy", "pandas", "pyarrow", "ulid"}
    assert not imported_by(*ask, "--success-rate-lt", "0.5", "--min-attempts", "10") & {*unused, "duckdb"}
    assert not imported_by(*ask, "--episodes") & {*unused, "duckdb"}
    if not version("duckdb").startswith("1."):  # which Python 3.10 gets, and which looks for NumPy and pandas itself
        assert not imported_by(*ask, "--by", "failure") & unused


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.output) == (0, f"xrollout {xrollout_ros.__version__}\n")


def test_an_unknown_command_names_those_there_are() -> None:
    result = CliRunner().invoke(cli, ["epsiodes"])
    assert result.exit_code == 2
    there_are = ", ".join(cli.list_commands(click.Context(cli)))
    assert f"no such command 'epsiodes' (did you mean 'episodes'?); there are {there_are}" in result.stderr


def failing(error: BaseException) -> click.Group:
    """The real outermost group with one command that raises."""

    @click.group(cls=RootGroup)
    @click.option("--debug", is_flag=True)
    def group(debug: bool) -> None:
        pass

    @click.command("fail")
    def fail() -> None:
        raise error

    class Failing(type(group)):  # type: ignore[misc]
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return fail

    group.__class__ = Failing
    group.entries["fail"] = Entry("", "")
    return group


@pytest.mark.parametrize(
    "kind",
    [errors.XRolloutError, errors.SpecError, errors.CheckpointError, errors.BagError, errors.DataError,
     errors.GraphError],
)  # fmt: skip
def test_errors_become_two_lines_and_their_exit_code(kind: type[errors.XRolloutError]) -> None:
    result = CliRunner().invoke(failing(kind("the thing [x] is wrong", "Do this.")), ["fail"])
    assert result.exit_code == kind.exit_code
    assert result.stderr == "error: the thing [x] is wrong\n  → Do this.\n"
    assert result.stdout == ""


def test_an_error_without_remedy_has_one_line() -> None:
    result = CliRunner().invoke(failing(errors.GraphError("it broke")), ["fail"])
    assert result.stderr == "error: it broke\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "shown"),
    [
        (["fail"], {"XROLLOUT_DEBUG": "0"}, False),
        (["fail"], {}, False),
        (["--debug", "fail"], {}, True),
        (["fail"], {"XROLLOUT_DEBUG": "1"}, True),
    ],
)
def test_the_traceback_only_on_request(arguments: list[str], environment: dict[str, str], shown: bool) -> None:
    runner = CliRunner(env={"XROLLOUT_DEBUG": None, **environment})
    result = runner.invoke(failing(errors.DataError("no", "yes")), arguments)
    assert ("Traceback" in result.stderr) is shown
    assert "error: no\n  → yes\n" in result.stderr
    assert result.exit_code == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_is_130(error: BaseException) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert result.exit_code == 130
    assert "Traceback" not in result.output


def test_a_defect_is_not_dressed_up_as_a_users_error() -> None:
    result = CliRunner().invoke(failing(ZeroDivisionError()), ["fail"])
    assert isinstance(result.exception, ZeroDivisionError)
