"""`xrollout flywheel` and `xrollout compare`: what they show, refuse and leave behind."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

pytest.importorskip("torch")
pytest.importorskip("scipy")

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import share_dir
from xrollout_ros.cycle.comparing.planning import plan_comparison
from xrollout_ros.cycle.comparing.run import compare
from xrollout_ros.cycle.comparing.trials import PolicyRef, planned
from xrollout_ros.cycle.comparing.verdict import Rules
from xrollout_ros.cycle.jobs import result_file
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import WorkFailedError
from xrollout_ros.cycle.record import Curated, StopName
from xrollout_ros.cycle.working import work
from xrollout_ros.episodes import journal, paths
from xrollout_ros.graph.description import describe
from xrollout_ros.runtime.start_list import StartList
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.comparing import ByHand
from xrollout_ros.ui.cycle_page import FACTS, PAGE, write_reports

from ..checkpoints import make_checkpoint
from .flywheels import World
from .pyramid_data import OPERATOR, record
from .test_cycle_machine import FIRST, deployed


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


# --- status, reports, taking back -----------------------------------------------------------------------------------


def test_the_status_and_the_reports_tell_what_came_of_each_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = deployed(tmp_path, monkeypatch)
    world.run()
    world.fails["train"] = WorkFailedError("", "the process that was to train ended by signal 9", "Look.")
    world.run()
    folder = world.place.root
    told = run("flywheel", "status", "--folder", folder)
    assert told.exit_code == 0, told.output
    assert "promoted" in told.output
    assert "30/40 against 10/40" in told.output
    assert "worker_killed; the process that was to train ended by signal 9" in told.output
    facts = json.loads(run("flywheel", "status", "--folder", folder, "--json").output)
    assert [cycle["ending"] for cycle in facts["cycles"]] == ["promoted", None]
    assert facts["cycles"][1]["stop"]["name"] == "worker_killed"
    assert facts["process"] is None
    assert run("flywheel", "report", "--folder", folder).output.count("wrote") == 2
    page = (world.place.folder(world.place.records()[0]) / PAGE).read_text()
    for words in ("For dropped", "promoted", "30/40 = 75%", "DEPLOY", "3 demonstrations", "as it was told"):
        assert words in page, words
    assert "http" not in page.replace("http://www.w3.org", ""), "it loads nothing from elsewhere"
    assert json.loads((world.place.folder(world.place.records()[0]) / FACTS).read_text())["ending"] == "promoted"


def test_the_course_over_cycles_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch, rates={"first": 0.3, "policy1": 0.8})
    world.run()
    world.run()
    *_, last = write_reports(world.place)
    assert "<svg" in last.read_text()
    facts = json.loads((last.parent / FACTS).read_text())
    assert [each["successes"] for each in facts["convergence"]["deployed"]] == [3, 8]
    assert facts["convergence"]["demonstrations"] == 6


def on_the_disk(place: Place, tmp_path: Path) -> tuple[PolicyRef, PolicyRef]:
    """Give a flywheel's two policies files: what was deployed first, and what its cycle has trained."""
    before, trained = (
        PolicyRef(checkpoint=str(path), checkpoint_hash=hashlib.sha256(name.encode()).hexdigest(), policy_id=name)
        for name in ("FIRST", "TRAINED")
        if (path := tmp_path / f"{name}.pt").write_text(name)
    )
    (record,) = place.records()
    assert record.trained is not None
    place.save(record.model_copy(update={"trained": record.trained.model_copy(update={"policy": trained})}))
    place.deploy(before, "it was given", back=True)
    return before, trained


def test_a_policy_is_promoted_by_hand_whatever_its_verdict_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch)
    world.run()
    _, trained = on_the_disk(world.place, tmp_path)

    def promote(*words: object) -> Any:
        return run("flywheel", "promote", *words, "--folder", world.place.root)

    done = promote(1, "--reason", "because people like it")
    assert done.exit_code == 0, done.output
    state = world.place.deployed()
    assert state is not None
    assert state.policy == trained
    assert state.why == "promoted because people like it from cycle 1"
    assert "is deployed already" in promote(1).output
    none = promote(7)
    assert none.exit_code == 5
    assert "has no cycle 7 (it has: 1)" in none.output
    assert run("flywheel", "rollback", "--folder", world.place.root).exit_code == 0
    (tmp_path / "TRAINED.pt").write_text("something else")
    other = promote(1)
    assert other.exit_code == 5
    assert "is not the file that it was" in other.output


def test_the_policy_before_is_taken_back_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch)
    world.run()
    before, trained = on_the_disk(world.place, tmp_path)
    world.place.deploy(trained, "it won")
    done = run("flywheel", "rollback", "--folder", world.place.root, "--reason", "it scratched the table")
    assert done.exit_code == 0, done.output
    state = world.place.deployed()
    assert state is not None
    assert state.policy == before
    assert "it scratched the table" in state.why
    again = run("flywheel", "rollback", "--folder", world.place.root)
    assert again.exit_code == 5
    assert "no policy before" in again.output


def test_stopping_and_abandoning_need_something_to_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = run("flywheel", "status", "--folder", tmp_path / "nothing")
    assert nothing.exit_code == 5
    assert "there is no flywheel" in nothing.output
    world = deployed(tmp_path, monkeypatch)
    world.run()
    assert "nobody runs the cycles" in run("flywheel", "stop", "--folder", world.place.root).output
    with world.place.held():
        assert run("flywheel", "stop", "--folder", world.place.root).exit_code == 0
    assert world.place.asked_to_stop
    assert "no cycle is under way" in run("flywheel", "abandon", "--folder", world.place.root).output


def test_the_recipe_is_printed_as_it_is_used() -> None:
    from xrollout_ros.cycle.recipe import FlywheelRecipe, recipe_from

    assert recipe_from(yaml.safe_load(run("flywheel", "recipe").output), "printed") == FlywheelRecipe()


# --- what it refuses ------------------------------------------------------------------------------------------------


def test_the_graph_of_the_flywheel_refuses_what_does_not_fit(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint.pt")
    given = {"data": str(tmp_path / "data"), "folder": str(tmp_path / "flywheel")}
    without = describe("flywheel", {**given, "task": "pick_and_place"})
    assert "policy" not in [process.name for process in without.processes]
    with_one = describe("flywheel", {**given, "model": str(checkpoint)})
    names = [process.name for process in with_one.processes]
    assert {"policy", "teleop", "tagger", "manager"} <= set(names)
    assert with_one.processes[-1].parameters["flywheel"] == str(tmp_path / "flywheel")
    place = Place(tmp_path / "flywheel", SystemClock())
    place.root.mkdir()
    place.deploy(FIRST.model_copy(update={"checkpoint": "/other.pt"}), "given")
    with pytest.raises(SpecError, match="policy first is deployed"):
        describe("flywheel", {**given, "model": str(checkpoint)})
    with pytest.raises(SpecError, match="no task was given"):
        describe("flywheel", {**given, "folder": str(tmp_path / "other")})
    with pytest.raises(SpecError, match=r"so100.*is a real one: its cycles wait for people"):
        describe("flywheel", {**given, "folder": str(tmp_path / "other"), "task": "so100_pick_and_place"})


def test_neither_model_nor_task_is_an_error_that_says_what_to_give(tmp_path: Path) -> None:
    told = run("flywheel", "run", "--folder", tmp_path / "f", "--data", tmp_path / "d")
    assert told.exit_code == 2
    assert "neither a model nor a task was given" in told.output


def test_a_real_robots_cycle_tells_step_by_step_what_is_to_be_done(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint.pt", robot_id="so100", task_id="so100_pick_and_place")
    flywheel = ("flywheel", "run", "--folder", tmp_path / "f", "--data", tmp_path / "d", "--model", checkpoint)
    told = run(*flywheel)
    assert told.exit_code == 22, told.output
    assert "cycle 1 in DEPLOY: waiting_for_attempts; 0 new attempts of the deployed policy are there" in told.output
    assert f"xrollout up deploy model:={checkpoint}" in told.output.replace("\n", "")
    folders = ("--folder", tmp_path / "g", "--data", tmp_path / "d")
    first = run("flywheel", "run", *folders, "--task", "so100_pick_and_place")
    assert first.exit_code == 22
    assert "xrollout record --task so100_pick_and_place" in first.output


# --- work in processes of its own -----------------------------------------------------------------------------------


def test_work_says_how_far_it_is_and_leaves_what_it_found(bags: Any, tmp_path: Path) -> None:
    from .test_cycle_machine import recipe_of

    for number in range(4):
        record(
            bags, [OPERATOR] * 12, (0.02 * number, 0.65), kind="demonstration", policy_id="", operator="metaworld",
            started_at=f"2026-01-31T12:00:{number:02d}+00:00",
        )  # fmt: skip
    world = World(tmp_path / "flywheel")
    from xrollout_ros.cycle.machine import Flywheel

    begun = Flywheel(world.place, world, SystemClock()).begin(
        recipe_of(), task="pick_and_place", robot="metaworld_sawyer", data=str(bags.data), operator="scripted"
    )
    folder, said = world.place.folder(begun), list[str]()
    work("curate", folder, lambda what, done, total: said.append(what), lambda: None)
    found = Curated.model_validate_json((folder / result_file("curate")).read_text())
    assert found.episodes == 4
    assert Path(found.dataset) == world.place.pyramid / "level4"


def test_work_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkFailedError, match="cannot be read") as caught:
        work("mine", tmp_path, lambda *_: None, lambda: None)
    assert caught.value.kind == "DataError"


def test_work_that_is_killed_is_begun_again_and_in_the_end_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    class Killed(subprocess.Popen[str]):
        def __init__(self, command: list[str], **options: Any) -> None:
            # A process that waits, and is killed as the kernel does it when memory is short.
            super().__init__([sys.executable, "-c", "input()"], **{**options, "stdin": subprocess.PIPE})
            begun.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)

    monkeypatch.setattr("xrollout_ros.cycle.working.subprocess.Popen", Killed)
    with pytest.raises(WorkFailedError, match="ended by signal 9, 3 times") as caught:
        work("train", tmp_path, lambda *_: None, lambda: None)
    assert caught.value.kind == ""
    assert len(begun) == 3


def test_a_process_ends_with_whoever_started_it(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import os, time\\n"
        "from xrollout_ros.core.parents import end_with_parent\\nend_with_parent()\\n"
        "print(os.getpid(), flush=True)\\ntime.sleep(60)'], stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline().strip(), flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline_s = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.05)


# --- comparing ------------------------------------------------------------------------------------------------------


def test_two_policies_are_compared_in_process_and_the_folder_is_gone_on_with(tmp_path: Path) -> None:
    a, b = (make_checkpoint(tmp_path / f"{name}.pt", scale) for name, scale in (("a", 1.0), ("b", 0.0)))
    compare = ("compare", a, b, "--start", "nominal", "--most", 4, "--output", tmp_path / "found", "--workers", 1)
    told = run(*compare)
    assert told.exit_code == 21, told.output
    assert "verdict: inconclusive" in told.output
    page = (tmp_path / "found" / "report.html").read_text()
    assert "inconclusive" in page
    assert "<svg" in page
    again = json.loads(run(*compare, "--json").output)
    assert again["verdict"] == "inconclusive"
    assert again["overall"]["a"]["trials"] == again["pairs"]
    other = run(*compare[:-2], "--alpha", "0.01")
    assert other.exit_code == 5
    assert "another comparison" in other.output


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--start", "nowhere"), 2, "no start 'nowhere'"),
        (("--start", "wide=-1"), 2, "a share is a number above 0"),
        (("--trials", "5", "--most", "9"), 2, "leave out --sequential and --most"),
        (("--alpha", "2"), 2, "alpha (value 2.0)"),
        (("--engine", "none"), 2, "none"),
        (("--faults", "earthquake"), 2, "unknown fault 'earthquake'"),
        (("--operator", "keyboard"), 2, "the robot is simulated"),
        (("--task", "push"), 3, "push"),
    ],
)
def test_what_is_wrong_in_a_comparison_is_named(
    tmp_path: Path, arguments: tuple[str, ...], code: int, named: str
) -> None:
    a, b = (make_checkpoint(tmp_path / f"{name}.pt", scale) for name, scale in (("a", 1.0), ("b", 0.0)))
    told = run("compare", a, b, "--output", tmp_path / "found", *arguments)
    assert told.exit_code == code, told.output
    assert named in told.output
    assert not (tmp_path / "found").exists()


def test_a_policy_is_not_compared_with_itself_nor_with_another_robots(tmp_path: Path) -> None:
    a = make_checkpoint(tmp_path / "a.pt")
    same = run("compare", a, a)
    assert same.exit_code == 3
    assert "are the same policy" in same.output
    other = make_checkpoint(tmp_path / "b.pt", robot_id="so100", task_id="so100_pick_and_place")
    foreign = run("compare", a, other)
    assert foreign.exit_code == 3, foreign.output


def test_what_is_no_comparison_is_not_emptied(tmp_path: Path) -> None:
    a, b = (make_checkpoint(tmp_path / f"{name}.pt", scale) for name, scale in (("a", 1.0), ("b", 0.0)))
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    told = run("compare", a, b, "--output", precious, "--anew")
    assert told.exit_code == 5
    assert (precious / "thesis.tex").exists()
    assert StopName.STOPPED


class Typed:
    """A keyboard on which somebody types what was written down."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def __enter__(self) -> Typed:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def key(self) -> str:
        return self.keys.pop(0) if self.keys else ""

    def forget(self) -> None:
        pass


class Robot:
    """Makes the attempt that a graph was described for, as a bag; nobody knows what came of it."""

    def __init__(self, bags: Any) -> None:
        self.bags, self.models = bags, list[str]()

    def __call__(self, described: Any) -> None:
        starts = StartList.model_validate_json(Path(described.processes[-1].parameters["starts"]).read_text())
        assert described.processes[-1].parameters["kind"] == "evaluation"
        for place, listed in enumerate(starts.starts):
            self.models.append(listed.model)
            meta = self.bags.meta(
                kind="evaluation", start=listed.start, seed=None, outcome="unknown", duration_s=1.0, policy_id="p",
                tags=list(starts.tags), parameters=starts.parameters_of(place),
                started_at=f"2026-01-31T12:00:{len(self.models):02d}+00:00",
            )  # fmt: skip
            rows = np.zeros((3, self.bags.robot.state_dim)), np.zeros((3, 4))
            self.bags.episode(*rows, paths.episode_dir(self.bags.data, meta), **meta.model_dump())


def test_on_a_real_robot_each_trial_is_asked_for_and_judged_blind(
    bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (make_checkpoint(tmp_path / f"{name}.pt", scale) for name, scale in (("a", 1.0), ("b", 0.0)))
    spec = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    del spec["sim"]
    real = tmp_path / "real.yaml"
    real.write_text(yaml.safe_dump(spec))
    plan = plan_comparison(
        a, b, robot=str(real), rules=Rules(trials=3, margin=0.9, design="unpaired"), clock=SystemClock(), where="graph",
        starts={"nominal": 1.0},
    )  # fmt: skip
    said, robot = io.StringIO(), Robot(bags)
    console = Console(file=said, width=200)
    typed = Typed(["enter", "enter", "f", "s", "enter", "q"])
    trials = ByHand(plan, bags.data, "", console, robot, lambda: typed)
    with pytest.raises(KeyboardInterrupt):
        compare(plan, tmp_path / "found", trials)
    assert len(robot.models) == 3, "the third was made; then the person went away"
    typed.keys = ["enter", "f", "s", "enter", "enter", "u", "s", "enter", "enter", "f", "s"]
    made = compare(plan, tmp_path / "found", trials)
    assert made.unknown == [3], "nobody could say"
    assert made.judge.pairs.count == 3
    assert len(robot.models) == 8, "no trial was made twice"
    first = {planned(plan, number).order[0] for number in range(1, 5)}
    assert {robot.models[2 * number] for number in range(4)} <= {str(a), str(b)}
    assert first <= {"A", "B"}
    shown = said.getvalue()
    assert "trial 3 of at most 6: put things to a start of 'nominal'" in shown
    assert "did it succeed?" in shown
    assert not any(word in shown for word in (plan.a.policy_id, plan.b.policy_id, "a.pt", "b.pt"))
    words = journal.read(bags.data / "journal.jsonl").entries
    assert {entry.layer for entry in words} == {"review"}
    assert sum(entry.what.kind == "outcome" for entry in words) == 8
