"""Progress on standard error: a bar on a terminal, lines elsewhere, nothing where it is quick or JSON was asked for."""

from __future__ import annotations

import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from xrollout_ros.core.episode import RUN, EpisodeKind, Outcome
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.ui import progress
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.console import expect_json
from xrollout_ros.ui.progress import Bar, aside

from .attempt_bags import write_bag


class Screen(io.StringIO):
    """Standard error that may be a terminal."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if time went a hundred times as fast."""
    for name in ("_BEGIN_S", "_DRAW_S", "_LINE_S", "_SELDOM_S"):
        monkeypatch.setattr(progress, name, getattr(progress, name) / 100)
    yield
    assert Bar._outermost is None, "whoever began has ended"


def shown(monkeypatch: pytest.MonkeyPatch, work: Callable[[Screen], None], *, terminal: bool) -> str:
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    work(screen)
    return screen.getvalue()


def until(screen: Screen, words: str) -> None:
    deadline_s = time.monotonic() + 10
    while words not in screen.getvalue():
        assert time.monotonic() < deadline_s, screen.getvalue()
        time.sleep(0.001)


def work(screen: Screen) -> None:
    with Bar("reading bags") as bar:
        bar.show(3, 12, "all well")
        until(screen, "3/12")
        bar.part("writing", 1, 2)
        until(screen, "writing")


def test_a_terminal_has_one_line_that_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(monkeypatch, work, terminal=True)
    assert re.search(r"\r\x1b\[Kreading bags \[######\.{18}\] 3/12 · all well · 0\.\d s", told)
    assert told.endswith("\n") and told.count("\n") == 1, "the last state stays"
    assert "writing [############............] 1/2" in told.rpartition("\r")[2]


def test_elsewhere_there_are_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told = shown(monkeypatch, work, terminal=False)
    assert "\r" not in told and "\x1b" not in told
    assert re.fullmatch(r"(reading bags( 3/12 · all well)? · \d\.\d s\n)+(writing 1/2 · \d\.\d s\n)+", told)


def test_what_is_quick_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_BEGIN_S", 30.0)
    monkeypatch.setattr(progress, "_LINE_S", 30.0)

    def soon(screen: Screen) -> None:
        with Bar("reading bags") as bar:
            bar.show(12, 12)

    for terminal in (True, False):
        begin_s = time.monotonic()
        assert shown(monkeypatch, soon, terminal=terminal) == ""
        assert time.monotonic() - begin_s < 10, "and nobody waits for it"


def test_a_part_of_what_is_shown_shows_nothing_and_its_lines_go_above(monkeypatch: pytest.MonkeyPatch) -> None:
    def nested(screen: Screen) -> None:
        with Bar("comparing") as outer, Bar("attempt") as inner:
            until(screen, "comparing")
            inner.show(1, 2)
            with aside():
                click.echo("policy: slow", err=True)
            outer.show(5, 6)
            until(screen, "5/6")

    told = shown(monkeypatch, nested, terminal=True)
    assert "\r\x1b[Kpolicy: slow\n\r\x1b[Kcomparing" in told
    assert "attempt" not in told


def test_without_a_bar_nothing_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(screen: Screen) -> None:
        with aside():
            click.echo("done", err=True)

    assert shown(monkeypatch, alone, terminal=True) == "done\n"


def test_who_tells_by_lines_of_its_own_has_a_bar_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(screen: Screen) -> None:
        with Bar("attempt", lines=False) as bar:
            bar.show(1, 2)
            with aside():
                click.echo("attempt 1", err=True)
            time.sleep(0.1)

    assert shown(monkeypatch, own, terminal=False) == "attempt 1\n"


def test_how_long_it_takes_is_told_by_what_was_made_since(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    bar = Bar("epoch")
    bar.show(40, 100)
    now_s[0] += 10.0
    bar.show(50, 100)
    assert bar._words() == " 50/100 · 10 s, 50 s left", "the first 40 were made before"
    bar.show(100, 100)
    assert bar._words() == " 100/100 · 10 s"
    bar.show(7, 0)
    assert bar._words() == " 7 · 10 s"


@pytest.mark.parametrize("silent", [False, True])
def test_a_command_that_prints_json_says_nothing_beside_it(silent: bool) -> None:
    @click.command()
    @click.pass_context
    def command(context: click.Context) -> None:
        if silent:
            expect_json(context)
        with Bar("working"):
            time.sleep(0.1)

    told = CliRunner().invoke(command)
    assert told.exit_code == 0
    assert (told.stderr == "") is silent
    assert told.stdout == ""


def test_a_person_at_a_terminal_sees_it_while_json_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def as_json(screen: Screen) -> None:
        with click.Context(click.Command("train")) as context:
            expect_json(context)
            work(screen)

    assert "reading bags" in shown(monkeypatch, as_json, terminal=True)


def test_work_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(screen: Screen) -> None:
        with pytest.raises(ValueError, match="no"), Bar("working"):
            until(screen, "working")
            raise ValueError("no")

    assert shown(monkeypatch, fail, terminal=True).endswith("\n")


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a demonstration, a success and a failure."""
    folder = tmp_path_factory.mktemp("rollouts")
    parameters = {"parameters": {RUN: new_id()}}
    write_bag(folder, 0, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION, **parameters)
    write_bag(folder, 1, Outcome.SUCCESS, **parameters)
    write_bag(folder, 2, Outcome.FAILURE, **parameters)
    return folder


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("episodes list --data {data}", ["reading bags"]),
        ("index --data {data}", ["reading bags"]),
        ("query --data {data}", ["reading bags"]),
        ("mine --data {data}", ["reading bags", "reading bags"]),
        ("label --data {data}", ["reading bags", "reading bags"]),
        ("label train --task pick_and_place --data {data}", ["reading bags", "reading bags"]),
        ("episodes judge --all --data {data}", ["looking at bags", "judging"]),
        ("episodes repair --all --data {data}", ["repairing torn bags"]),
        ("episodes show {id} --data {data}", ["looking for the episode", "reading the bag"]),
        ("trace {id} --data {data}", ["reading the bag", "looking for the episode"]),
        ("lineage {id} --data {data}", ["reading checkpoints", "reading bags", "reading checkpoints"]),
        ("upload {data} {out}", ["uploading"]),
        ("pyramid build --raw-data {data} --output {out}", ["reading bags", "looking at bags"]),
        (
            "report --data {data} --output {out}",
            ["looking at bags", "reading bags for the report", "drawing the report"],
        ),
        ("train --data {data} --output {out}/c.pt --epochs 1", ["reading episodes"]),
    ],
)
def test_a_command_that_may_take_long_tells_how_far_it_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: list[str]
) -> None:
    if command.startswith("train"):
        pytest.importorskip("torch")
    begun: list[str] = []
    enter = Bar.__enter__

    def begin(bar: Bar) -> Bar:
        begun.append(bar._what)
        return enter(bar)

    monkeypatch.setattr(Bar, "__enter__", begin)
    failed = next(entry.meta for entry in find_episodes(data)[::-1] if entry.meta is not None)
    words = command.format(data=data, out=tmp_path, id=failed.episode_id)
    result = CliRunner().invoke(cli, words.split())
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit), result.output
    assert begun == told, result.output
