"""`xrollout review`: keys in a terminal, and everything without one."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import FailureJudgement
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.journal import Judged, Said
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.review.criteria import Criteria
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.keys import GONE
from xrollout_ros.ui.review_loop import Session
from xrollout_ros.ui.review_viewer import Viewer

ROOT = Path(__file__).parents[2]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def data(bags: Any) -> Path:
    """Three failures of low confidence, the newest first: ids end in the order of their seeds."""
    for seed in range(3):
        meta = bags.meta(outcome="failure", outcome_source="time_limit", seed=seed, duration_s=2.0, policy_id="p1",
                         started_at=f"2026-01-31T12:00:0{seed}+00:00")  # fmt: skip
        folder = paths.episode_dir(bags.data, meta)
        bags.open(folder, meta).close(meta)
        why = FailureJudgement(
            episode_id=meta.episode_id, mode="dropped", stage="transport", moment_s=1.25, severity=0.6, confidence=0.6,
            evidence="lost [on] the way", author="rule:dropped",
        )  # fmt: skip
        journal.append(bags.data / paths.JOURNAL, why.author, meta.episode_id, Judged(judgement=why), SystemClock())
    folder: Path = bags.data
    return folder


def queue_of(data: Path, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("review", "list", "--data", data, "--json", *more).stdout)
    return found


def modes_of(data: Path) -> dict[int, str]:
    found = json.loads(run("query", "--data", data, "--episodes", "--json").stdout)
    return {row["seed"]: f"{row['outcome']} {row['failure_mode']} {row['failure_author']}".strip() for row in found}


class Screen:
    """The command in a terminal of its own."""

    def __init__(self, data: Path, *more: str) -> None:
        self.keys, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self._said = bytearray()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xrollout_ros.ui.cli", "review", "--data", str(data), *more],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True, cwd=data.parent,
            env={**os.environ, "TERM": "dumb", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )  # fmt: skip

    def _read(self) -> None:
        try:
            while found := os.read(self.keys, 4096):
                self._said.extend(found)
        except OSError:
            return

    @property
    def text(self) -> str:
        return self._said.decode(errors="replace")

    def wait(self, what: Callable[[str], bool]) -> None:
        deadline_s = time.monotonic() + 60
        while not what(self.text):
            assert time.monotonic() < deadline_s, self.text
            assert self.process.poll() is None or what(self.text), self.text
            time.sleep(0.02)

    def type(self, keys: str, then: str) -> None:
        """Type, and wait until the terminal has shown a text once more than before."""
        count = self.text.count(then)
        os.write(self.keys, keys.encode())
        self.wait(lambda text: text.count(then) > count)

    def decide(self, keys: str, then: str) -> None:
        """Type, and wait until the next episode is shown with its keys."""
        shown = self.text.count(" quit ")
        self.type(keys, then)
        self.wait(lambda text: text.count(" quit ") > shown)

    def ends(self) -> int:
        code = self.process.wait(30)
        assert termios.tcgetattr(self.slave) == self.before
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.slave)
        self._thread.join(5)
        os.close(self.keys)


@pytest.fixture
def start() -> Iterator[Callable[..., Screen]]:
    made: list[Screen] = []

    def begin(*arguments: Any) -> Screen:
        made.append(Screen(*arguments))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def test_one_episode_after_another_is_decided_by_single_keys(data: Path, start: Callable[..., Screen]) -> None:
    screen = start(data, "--reviewer", "ann", "--double", "0")
    screen.wait(lambda text: "2 episodes left" in text and " quit " in text)
    assert "lost [on] the way" in screen.text
    assert "low confidence" in screen.text
    screen.decide("c", "1 episode left")
    screen.type("r", "reason: ")
    screen.type("slid away\n", "reason of the next decision: slid away")
    screen.type("t", "0 to 2.00): ")
    screen.type("99\n", "is no moment of it")
    screen.type("t", "0 to 2.00): ")
    screen.type("0.5\n", "0.50")
    screen.type("m", "key of the mode")
    screen.decide("4", "0 episodes left")
    assert "failure, pose_error at 0.50 s" in screen.text
    screen.decide("u", "took back")
    assert screen.text.count("1 episode left") == 2
    screen.decide("s", "0 episodes left")
    screen.type("n", "nothing waits for human:ann (1 episode passed over)")
    assert screen.ends() == 0
    assert modes_of(data) == {2: "failure dropped human:ann", 1: "success", 0: "failure dropped rule:dropped"}
    said = journal.read(data / paths.JOURNAL).entries
    assert {entry.author for entry in said} == {"human:ann", "rule:dropped"}
    assert {entry.in_layer for entry in said if entry.author == "human:ann"} == {"review"}
    assert "slid away" in (data / paths.JOURNAL).read_text()
    assert [each["why"] for each in queue_of(data, "--reviewer", "ann", "--double", "0")] == [["low confidence"]]


@pytest.mark.parametrize("how", ["q", "\x1b", "SIGINT", "SIGTERM", "SIGHUP"])
def test_the_terminal_is_left_as_it_was_however_it_ends(data: Path, start: Callable[..., Screen], how: str) -> None:
    screen = start(data)
    screen.wait(lambda text: " quit " in text)
    if how.startswith("SIG"):
        screen.process.send_signal(signal.Signals[how])
    else:
        os.write(screen.keys, how.encode())
    code = screen.ends()
    assert code == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}.get(how, 0)
    assert len(queue_of(data)) == 3


def test_what_is_typed_ahead_decides_nothing_unseen(data: Path, start: Callable[..., Screen]) -> None:
    screen = start(data, "--double", "0")
    screen.wait(lambda text: "2 episodes left" in text and " quit " in text)
    screen.decide("cc\n", "1 episode left")
    os.write(screen.keys, b"q")
    assert screen.ends() == 0
    assert "1 decided" in screen.text
    assert len(queue_of(data, "--double", "0")) == 2


def test_a_prompt_that_is_interrupted_again_and_again_leaves_the_terminal_as_it_was(
    data: Path, start: Callable[..., Screen]
) -> None:
    screen = start(data)
    screen.wait(lambda text: " quit " in text)
    screen.type("r", "reason: ")
    for _ in range(5):
        screen.process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        screen.process.wait(1)
    os.write(screen.keys, b"\nq")  # where the signals were taken as one, the prompt alone was left
    assert screen.ends() in (0, 130)
    assert len(queue_of(data)) == 3


def test_what_another_has_decided_meanwhile_is_passed_by(data: Path, start: Callable[..., Screen]) -> None:
    screen = start(data, "--reviewer", "ann", "--double", "0")
    screen.wait(lambda text: "2 episodes left" in text and " quit " in text)
    first, second, _ = queue_of(data)
    for each in (first, second):
        told = run("review", "say", each["episode_id"], "--data", data, "--mode", "pose_error", "--reviewer", "bob")
        assert told.exit_code == 0, told.output
    screen.decide("c", "0 episodes left")
    assert "human:bob has said pose_error" in screen.text
    assert second["episode_id"] not in screen.text
    screen.type("c", "nothing waits for human:ann")
    assert screen.ends() == 0
    assert "pose_error" in (data / paths.JOURNAL).read_text()


def test_without_a_terminal_it_says_what_to_use(data: Path) -> None:
    result = run("review", "--data", data)
    assert result.exit_code != 0
    assert "needs a terminal" in result.stderr
    assert "review list --json" in result.stderr


def test_what_was_said_of_a_bag_that_is_gone_is_taken_back(data: Path) -> None:
    name = queue_of(data)[0]["episode_id"]
    said = ("--data", data, "--reviewer", "ann")
    assert run("review", "say", name, *said, "--confirm").exit_code == 0
    for bag in data.glob("2*/*"):
        shutil.rmtree(bag)
    undone = run("review", "undo", *said)
    assert undone.exit_code == 0, undone.output
    assert f"took back what ann said of {name}; its bag is gone" in undone.stdout


def test_all_of_it_works_from_the_command_line(data: Path) -> None:
    table = run("review", "list", "--data", data, "--reviewer", "ann")
    assert "3 episodes for ann" in table.stdout
    names = [each["episode_id"] for each in queue_of(data)]
    said = run("review", "say", names[0], "--data", data, "--mode", "pose_error", "--moment", "0.5",
               "--outcome", "failure", "--reason", "beside it", "--reviewer", "ann", "--json")  # fmt: skip
    assert json.loads(said.stdout)["judgement"]["evidence"] == "beside it"
    for name in names[:2]:
        assert run("review", "say", name, "--data", data, "--confirm", "--reviewer", "bob").exit_code == 0
    assert run("review", "say", names[1], "--data", data, "--outcome", "success", "--reviewer", "ann").exit_code == 0
    told = run("review", "agreement", "--data", data).stdout
    assert "2 episodes judged by both" in told
    assert "too few to rely on" in told
    assert names[0] in told
    (found,) = json.loads(run("review", "agreement", "--data", data, "--json").stdout)
    assert (found["episodes"], found["enough"], found["mode"]["agreed"]) == (2, False, 0)
    status = json.loads(run("review", "status", "--data", data, "--reviewer", "eve", "--json").stdout)
    assert status["decided"] == {"by": {"human:ann": 2, "human:bob": 2}, "episodes": 2, "twice": 2}
    assert status["waiting"]["total"] == 1
    undone = run("review", "undo", "--data", data, "--reviewer", "ann")
    assert f"took back what ann said of {names[1]}" in undone.stdout
    assert run("review", "undo", names[0][-8:], "--data", data, "--reviewer", "ann").exit_code == 0
    assert "no episode has been judged by two" in run("review", "agreement", "--data", data).stdout
    assert run("review", "list", "--data", data, "--task", "nix").stdout == f"nothing waits for {_login()}\n"


def _login() -> str:
    from xrollout_ros.ui.people import login

    return login()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("say", "{id}"), "Give --mode or --outcome, or --confirm alone"),
        (("say", "{id}", "--confirm", "--mode", "dropped"), "Give --mode or --outcome, or --confirm alone"),
        (("say", "{id}", "--mode", "../x"), "failure mode '../x' is not allowed"),
        (("say", "{id}", "--mode", "dropped", "--moment", "9"), "It lasted 2.00 s"),
        (("say", "{id}", "--mode", "near_miss", "--outcome", "failure"), "one of successes"),
        (("say", "{id}", "--outcome", "great"), "is not one of"),
        (("say", "{id}", "--confirm", "--reason", "a\nb"), "control characters"),
        (("say", "{id}", "--confirm", "--reviewer", "a b"), "the reviewer 'a b' is not allowed"),
        (("say", "01ZZZZZZ", "--confirm"), "no episode has an id like"),
        (("say", "{id}", "--mode", "dropped", "--stage", "a\x1b[2J"), "the stage"),
        (("undo", "--reason", "a\x07b"), "control characters"),
        (("undo",), "has decided nothing"),
        (("undo", "{id}"), "has decided nothing about"),
        (("list", "--sample", "7"), "Give a share from 0 to 1"),
        (("--sample", "1", "list"), "stands before 'list'"),
        (("list", "--where", "sead=1"), "did you mean seed"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_said(data: Path, arguments: tuple[str, ...], words: str) -> None:
    name = queue_of(data)[0]["episode_id"]
    before = (data / paths.JOURNAL).read_bytes()
    more = () if arguments[0].startswith("--") else ("--data", data)
    result = run("review", *(word.format(id=name) for word in arguments), *more)
    assert result.exit_code != 0
    assert words in result.stderr.replace("\n", " ")
    assert (data / paths.JOURNAL).read_bytes() == before


def test_the_reviewer_comes_from_the_environment_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XROLLOUT_REVIEWER", "eve")
    assert run("review", "say", queue_of(data)[0]["episode_id"], "--data", data, "--confirm").exit_code == 0
    assert "eve" in run("review", "list", "--data", data).stdout
    assert "human:eve" in (data / paths.JOURNAL).read_text()


def test_an_agreement_that_cannot_be_told_is_said_so(data: Path) -> None:
    for each in queue_of(data):
        for name in ("ann", "bob"):
            run("review", "say", each["episode_id"], "--data", data, "--confirm", "--reviewer", name)
    assert "both said one and the same of all" in run("review", "agreement", "--data", data).stdout
    journal.append_all(data / paths.JOURNAL, [Said("human:ann", each, _success(), "review") for each in _ids(data)[:1]],
                       SystemClock())  # fmt: skip
    assert "kappa" in run("review", "agreement", "--data", data).stdout


def _ids(data: Path) -> list[str]:
    return [row["episode_id"] for row in json.loads(run("query", "--data", data, "--episodes", "--json").stdout)]


def _success() -> Any:
    from xrollout_ros.core.episode import Outcome, OutcomeSource
    from xrollout_ros.episodes.journal_entry import Reviewed

    return Reviewed(outcome=Outcome.SUCCESS, source=OutcomeSource.HUMAN)


def test_a_viewer_that_does_not_start_says_why(data: Path) -> None:
    with Viewer(data) as viewer:
        assert "no episode" in viewer.open("01ZZZZZZ")


def test_a_viewer_serves_the_episode_and_ends_with_the_review(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("foxglove")
    monkeypatch.setenv("BROWSER", "true")
    path = bags.data / "2026-01-31" / "bag"
    bags.episode(np.zeros((40, 14)), np.zeros((40, 4)), path, outcome="failure", policy_id="p1")
    (name,) = _ids(bags.data)
    with Viewer(bags.data) as viewer:
        told = viewer.open(name, 0.25)
        assert "moment: 0.25 s" in told
        assert "ends when another is opened" in told
        process = viewer._process
        assert process is not None
        assert process.poll() is None
    assert process.poll() is not None


class Typed:
    """Keys that are typed one after another; before each something may happen."""

    def __init__(self, keys: str, before: Callable[[], None]) -> None:
        self.keys, self.before = list(keys), before

    def key(self) -> str:
        self.before()
        return self.keys.pop(0) if self.keys else GONE

    def line(self, prompt: str) -> str | None:
        return None

    def forget(self) -> None:
        return


def test_a_bag_that_is_deleted_meanwhile_can_still_be_judged_by_what_the_catalog_knows(data: Path) -> None:
    shown = io.StringIO()
    with Catalog(data) as catalog, Viewer(data) as viewer:
        catalog.update()
        reviews = Reviews(catalog, "ann", Criteria(double=0.0))

        def delete() -> None:
            for bag in data.glob("2*/*"):
                shutil.rmtree(bag)

        console = Console(file=shown, width=200, markup=False)
        assert Session(reviews, (), console, Typed("ccc", delete), viewer).run() == 3
        assert reviews.queue() == []
        catalog.update()
        reviews.undo()  # what was said stays in the journal, whatever becomes of the bag
    assert shown.getvalue().count("cannot be read; what is shown is from the catalog") == 2
    assert "nothing waits" in shown.getvalue()
