"""What the documentation makes of the code: complete, and as the code is."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from docs.making import diagrams
from docs.making.commands import commands, walk
from docs.making.concepts import levels, modes
from docs.making.errors import AREAS, entries, errors, for_search
from docs.making.interfaces import interfaces, services, topics
from docs.making.lines import SERVICES
from docs.making.markdown import code, prose
from docs.making.pages import MAKERS, made
from docs.making.parameters import NODES, arguments, declared, nodes
from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.graph.arguments import ARGUMENTS
from xrollout_ros.graph.topics import OWN
from xrollout_ros.learning.metadata import read_bytes

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def test_every_command_and_option_stands_on_its_page() -> None:
    text = commands()
    assert code("-h, --help") not in text, "of every command is no news"
    for ctx in walk():
        assert f" {ctx.command_path}\n" in text
        for option in ctx.command.params:
            if isinstance(option, click.Option) and option.name != "help" and not option.hidden:
                assert code(option.get_help_record(ctx)[0]) in text  # type: ignore[index]
    assert len(list(walk())) > 50


def test_every_argument_and_parameter_has_a_meaning() -> None:
    text = arguments()
    assert all(code(each.name) in text for graph in ARGUMENTS.values() for each in graph)
    found = {path.stem for path in (ROOT / "xrollout_ros/graph/nodes").glob("*.py")} - {"__init__"}
    assert found == set(NODES)
    nodes()  # refuses a parameter that nothing describes
    assert declared("policy")["engine"] == "rtc"
    assert declared("recorder")["ring_seconds"] == 30.0
    assert declared("manager")["until_cycle"] == -1


def test_every_definition_and_topic_stands_on_its_page() -> None:
    text = interfaces()
    for path in (path for kind in ("msg", "srv", "action") for path in (ROOT / kind).iterdir()):
        assert f"### {path.stem}\n" in text
    assert "simulated time in the stepped drive" in text
    assert all(f"/xrollout/{topic.name}" in topics() for topic in OWN)
    offered = services()
    for name in (*SERVICES, "open_episode", "close_episode", "sim/reset", "run_cycle"):
        assert f"`/xrollout/{name}`" in offered
    assert "[`xrollout/srv/LoadPolicy`](#interface-loadpolicy)" in offered


def test_an_error_that_is_told_is_found_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_bytes(tmp_path / "no.pt")
    found = [
        entry
        for entry in entries()
        if re.fullmatch(re.escape(entry.what).replace("…", ".*"), caught.value.what) and len(entry.what) > 10
    ]
    assert [(entry.area, entry.exit_code) for entry in found] == [("learning", 3)]
    assert found[0].remedy == caught.value.remedy
    assert found[0].anchor in errors("learning")
    assert found[0].anchor in for_search()


def test_errors_are_those_of_every_part() -> None:
    count = {area: sum(entry.area == area for entry in entries()) for area in AREAS}
    assert all(count.values()), count
    assert sum(count.values()) > 500
    stated = [entry for entry in entries() if entry.what.startswith("too_few")]
    assert stated, "the name of a state belongs to the text"
    without = [entry.what for entry in entries() if not entry.remedy and entry.area != "setup"]
    assert len(without) < 0.05 * len(entries()), without


def test_diagrams_are_drawn_from_the_code_as_it_is() -> None:
    for name, drawn in (("concept_modes", diagrams.modes()), ("concept_flywheel", diagrams.cycle())):
        assert (DOCS / "pictures" / f"{name}.svg").read_text() == drawn, "draw it anew: python -m docs.making.diagrams"
    assert "never\\_reached" not in modes()
    assert "`never_reached`" in modes()
    assert "| L4 | production | 70% |" in levels()


def test_marks_are_replaced_and_links_get_titles() -> None:
    text = made(
        "# A\n\n<!-- made: levels -->\n\nSee [specs.md](specs.md#safety), [the bag](../recording.md), [x.md](y.md).\n"
    )
    assert "| L4 |" in text
    assert "[](specs.md#safety), [the bag](../recording.md), [x.md](y.md)" in text
    marks = [re.findall(r"<!-- made: (\w+)", page.read_text()) for page in DOCS.rglob("*.md")]
    assert {name for names in marks for name in names} == set(MAKERS)


def test_text_of_the_code_is_no_markup() -> None:
    assert prose("*all* of `a_b` and a_b, see docs/specs.md") == r"\*all\* of `a_b` and a\_b, see [](/specs.md)"
    assert prose("with --up-weight, `a --b` and a--b") == "with `--up-weight`, `a --b` and a--b"
    assert code("a `b` c") == "``a `b` c``"
    assert code("`b`") == "`` `b` ``"
