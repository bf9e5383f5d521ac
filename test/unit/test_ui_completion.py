"""What the TAB key brings in bash, zsh and fish, and that it costs and changes nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from xrollout_ros.core.errors import SpecError
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.graph.arguments import ARGUMENTS
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.ui.candidates import Words
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.commands.completion import SHELLS
from xrollout_ros.ui.launch_words import WORDS
from xrollout_ros.ui.shells import script

from .commands import ALL

ROOT = Path(__file__).parents[2]


def asked(line: str, shell: str = "fish") -> list[str]:
    """What is offered at the end of a line, as the shell is told."""
    last = line.rpartition(" ")[2]
    words = {"fish": last, "bash": last.replace("=", ":").rpartition(":")[2], "zsh": str(len(line.split(" ")) - 1)}
    environment = {"_XROLLOUT_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": words[shell]}
    result = CliRunner(env=environment).invoke(cli, [], prog_name="xrollout")
    assert not result.stderr
    return result.stdout.strip("\n").splitlines()


def values(line: str) -> list[str]:
    """Words alone."""
    return [each.partition(",")[2].partition("\t")[0] for each in asked(line) if not each.startswith(("file", "dir"))]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("xrollout epi", ["episodes"]),
        ("xrollout episodes s", ["show"]),
        ("xrollout nonsense --", ["--debug", "--version", "--help"]),
        ("xrollout train --task pi", ["pick_and_place"]),
        ("xrollout train --task=pi", ["--task=pick_and_place"]),
        ("xrollout train --weights ", ["sirius", "iwr", "uniform"]),
        ("xrollout train --weig", ["--weights"]),
        ("xrollout doctor --robot so", ["so100"]),
        ("xrollout episodes list --outcome s", ["success"]),
        ("xrollout gate checkpoint.pt --level L", ["L0", "L1", "L2", "L3", "L4"]),
        ("xrollout teleop leader,p", ["leader,pedal", "leader,pose"]),
        ("xrollout up ", ["deploy", "record", "flywheel"]),
        ("xrollout up deploy mo", ["model:="]),
        ("xrollout up deploy task:=push ta", ["tags:="]),
        ("xrollout up deploy camera:=", ["camera:=true", "camera:=false"]),
        ("xrollout up record task:=pi", ["task:=pick_and_place"]),
        ("xrollout up deploy task:=pick_and_place start:=w", ["start:=wide"]),
        ("xrollout up flywheel drive", []),
        ("xrollout completion ", list(SHELLS)),
    ],
)
def test_words_are_completed(line: str, expected: list[str]) -> None:
    assert values(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("xrollout train --task=my", "file,--task="),
        ("xrollout compare chec", "file,"),
        ("xrollout up deploy model:=chec", "file,model:="),
        ("xrollout up deploy data:=", "dir,data:="),
        ("xrollout index --data ", "dir,"),
        ("xrollout lineage ./chec", "file,"),
    ],
)
def test_files_are_left_to_the_shell_with_what_stands_before_them(line: str, expected: str) -> None:
    assert asked(line) == [expected]


@pytest.mark.parametrize(
    ("line", "shell", "expected"),
    [
        ("xrollout up deploy task:=pu", "bash", ["plain,push"]),
        ("xrollout train --task=pu", "bash", ["plain,push"]),
        ("xrollout up deploy mo", "bash", ["more,model:="]),
        ("XROLLOUT_DEBUG=1 xrollout train --task pu", "bash", ["plain,push"]),
        ("xrollout up deploy mo", "zsh", ["more", "model:=", "_"]),
        ("xrollout up deploy task:=pu", "zsh", ["plain", "task:=push", "_"]),
        ("xrollout episodes sh", "zsh", ["plain", "show", "Show what one bag holds, and how to open it."]),
    ],
)
def test_each_shell_is_told_in_its_own_way(line: str, shell: str, expected: list[str]) -> None:
    assert asked(line, shell) == expected


# --- what was recorded --------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(bags: Any) -> list[str]:
    """Ids of three episodes, the newest first."""
    ids = []
    for day, outcome in (("01", "success"), ("02", "failure"), ("03", "success")):
        meta = bags.meta(
            policy_id=f"p{day}", outcome=outcome, tags=[f"day{day}"], started_at=f"2026-01-{day}T12:00:00Z"
        )
        bags.open(paths.episode_dir(bags.data, meta), meta).close(meta)
        ids.insert(0, meta.episode_id)
    with Catalog(bags.data) as catalog:
        catalog.update(every=True)
    return ids


def test_episodes_come_newest_first_with_what_they_were(recorded: list[str], bags: Any) -> None:
    line = f"xrollout episodes show --data {bags.data} "
    assert values(line) == recorded
    assert values(line + recorded[0].lower()[:-2]) == [recorded[0]]
    assert values(line + recorded[1][-8:]) == [recorded[1]]
    assert asked(line)[1] == f"plain,{recorded[1]}\t2026-01-02 12:00 pick_and_place failure"
    assert asked(f"{line}{bags.data}/") == ["dir,"]


def test_filters_know_what_was_recorded(recorded: list[str], bags: Any) -> None:
    assert values(f"xrollout query --data {bags.data} --policy ") == ["p01", "p02", "p03"]
    assert values(f"xrollout query --data {bags.data} --tag day02") == ["day02"]
    assert values(f"xrollout tag --data {bags.data} {recorded[0]} day") == ["day01", "day02", "day03"]


def test_where_nothing_was_recorded_nothing_is_made(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert values(f"xrollout episodes show --data {folder} ") == []
    assert list(tmp_path.iterdir()) == []


# --- tables against the code --------------------------------------------------------------------------------------


def test_every_argument_of_a_graph_is_known() -> None:
    known = {graph: {each.name: each for each in found} for graph, found in ARGUMENTS.items()}
    assert {graph: set(words) for graph, words in WORDS.items()} == {
        graph: set(found) for graph, found in known.items()
    }
    for graph, found in known.items():
        for name, argument in found.items():
            if argument.default in ("true", "false"):
                assert values(f"xrollout up {graph} {name}:=") == [f"{name}:=true", f"{name}:=false"]


@pytest.mark.parametrize("option", [each for each in ALL["train",].params if isinstance(each.type, Words)])
def test_the_words_of_train_are_those_it_takes(option: click.Parameter) -> None:
    assert isinstance(option.type, Words)
    with pytest.raises(SpecError) as refused:
        TrainOptions.of(data=Path("bags"), output=Path("checkpoint.pt"), **{str(option.name): "nonsense"})
    told = set(re.findall(r"\b[a-z]\w*", refused.value.what.partition("nonsense")[2]))
    assert told - {"known", "are", "should", "be", "or"} == set(option.type.words)


# --- scripts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_reads_its_script(shell: str, tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["completion", shell], prog_name="xrollout")
    assert shown.stdout == script(shell) + "\n"
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = tmp_path / "script"
    file.write_text(shown.stdout)
    subprocess.run([shell, "-n", file], check=True)


def test_bash_completes(tmp_path: Path) -> None:
    """The function itself, called as readline calls it; ``compopt`` works within a completion alone, so it is told."""
    program = f"""
    xrollout() {{ {sys.executable} -m xrollout_ros.ui.cli "$@"; }}
    compopt() {{ printf '%s\\n' "$*"; }}
    {script("bash")}
    ask() {{
        COMP_LINE=$1; COMP_POINT=${{#1}}
        _xrollout_completion xrollout "$2"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    }}
    ask 'xrollout up deploy mo' mo
    ask 'xrollout up deploy task:=p' p
    ask 'xrollout up deploy model:=ch' ch
    ask 'xrollout --' --
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60)
    assert not done.stderr
    names, tasks, files = ["-o nospace", "model:="], ["peg_insert", "pick_and_place", "push"], ["-o default", ""]
    assert done.stdout.splitlines() == [*names, *tasks, *files, "--debug", "--version", "--help"]


# --- cost ---------------------------------------------------------------------------------------------------------

_PROGRAM = """
import json, os, sys
from click.testing import CliRunner
from xrollout_ros.ui.cli import cli
for line in json.load(sys.stdin):
    env = {"_XROLLOUT_COMPLETE": "fish_complete", "COMP_WORDS": line, "COMP_CWORD": line.rpartition(" ")[2]}
    assert CliRunner(env=env).invoke(cli, [], prog_name="xrollout").stdout, line
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def modules_of(lines: list[str]) -> set[str]:
    """What is imported to answer all of these, in a fresh interpreter."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], input=json.dumps(lines), capture_output=True, text=True, env=env, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_completing_imports_no_library_of_data_or_ros(recorded: list[str], bags: Any) -> None:
    lines = [" ".join(("xrollout", *path, "--")) for path in ALL]
    lines += [
        "xrollout ",
        "xrollout up deploy m",
        "xrollout up deploy model:=c",
        "xrollout train --task ",
        "xrollout t",
    ]
    lines += [f"xrollout episodes show --data {bags.data} ", f"xrollout query --data {bags.data} --policy "]
    lines += ["xrollout doctor --robot ", "xrollout teleop "]
    libraries = {"torch", "rclpy", "numpy", "pydantic", "yaml", "rich", "duckdb", "mcap", "ulid", "matplotlib"}
    found = modules_of(lines) & libraries
    assert not found


def test_no_value_needs_torch_or_ros() -> None:
    lines = [f"xrollout up {graph} {name}:=" for graph, words in WORDS.items() for name in words]
    offered = [line for line in lines if asked(line)]
    assert len(offered) > 20
    assert not modules_of(offered) & {"torch", "rclpy"}


def test_options_that_take_a_file_or_name_complete() -> None:
    """Of the options whose value is a name that is known somewhere, none is forgotten."""
    known = {"task", "robot", "operator", "engine", "faults", "outcome", "data", "level"}
    for path, command in ALL.items():
        for option in command.params:
            if isinstance(option, click.Option) and option.name in known:
                context = click.Context(command, resilient_parsing=True)
                context.params = {"task": "pick_and_place"}
                own = option._custom_shell_complete is not None or type(option.type) is not click.types.StringParamType
                assert own, f"{' '.join(path)} {option.opts[0]}"
