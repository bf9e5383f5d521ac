"""Runs the flywheel from the command line: graphs for a simulated robot, steps for people with a real one."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import INTERRUPTED, GraphError, SpecError
from xrollout_ros.core.resources import full_path, load_task
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.hand import HandShop
from xrollout_ros.cycle.machine import Flywheel
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.recipe import load_recipe
from xrollout_ros.cycle.record import CycleRecord, State
from xrollout_ros.cycle.robots import named_robot
from xrollout_ros.graph import starter
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.ui import flywheel_output as shown
from xrollout_ros.ui.cycle_page import write_reports
from xrollout_ros.ui.progress import Bar, aside
from xrollout_ros.ui.running import require_ros

_LOG_LINE = re.compile(r"^\[(DEBUG|INFO|WARN|ERROR|FATAL)\] \[[0-9.]+\] \[([^]]*)\]: ")
_STEP = re.compile(r"(?P<step>cycle \d+ [A-Z]+[^:]*): (?P<what>.*?)( (?P<done>\d+)/(?P<total>\d+))?$")
"""How the manager tells what it does, and how far it is."""
_DEATHS, _WITHIN_S = 3, 60.0
"""Times within so long that the graph is started again after its manager has died."""


@dataclass(frozen=True)
class Asked:
    """What was asked for."""

    folder: Path
    data: Path
    cycles: int = 1
    model: Path | None = None
    task: str = ""
    robot: str = ""
    recipe: str = ""
    operator: str = "scripted"
    faults: str = ""
    wait: bool = False


def run_cycles(asked: Asked, console: Console) -> bool:
    """Run cycles to their end; whether all are through.

    Raises:
        XRolloutError: an argument is wrong, the graph cannot be started, or its manager dies again and again.
        KeyboardInterrupt: Ctrl-C; the same command goes on.
    """
    place = Place(asked.folder, SystemClock())
    newest = place.newest()
    done = newest is not None and newest.state is State.DONE
    last = 0 if newest is None else newest.number if done else newest.number - 1
    until = max(0, last) + asked.cycles
    begun = {record.number for record in place.records() if record.state is State.DONE}
    simulated = _robot_is_simulated(asked, place)
    try:
        if simulated:
            _in_graphs(asked, place, until, console)
        else:
            _by_hand(asked, place, until, console)
    finally:
        if place.records():
            write_reports(place)
    newest = place.newest()
    for record in place.records():
        if record.number not in begun and record.state is State.DONE:
            shown.show_ended(console, place, record)
    if newest is not None and newest.stop is not None:
        shown.show_stop(console, newest)
        return False
    return newest is not None and newest.state is State.DONE and newest.number >= until


def _robot_is_simulated(asked: Asked, place: Place) -> bool:
    deployed = place.deployed()
    model = Path(deployed.policy.checkpoint) if deployed is not None else asked.model
    robot = named_robot(asked.robot, model, asked.task)
    if robot is None:
        raise SpecError(
            "neither a model nor a task was given",
            "Give --model checkpoint.pt, or --task pick_and_place to make the first policy, too.",
        )
    return robot.sim is not None


# --- simulated ------------------------------------------------------------------------------------------------------


def _arguments(asked: Asked, place: Place, until: int) -> dict[str, str]:
    model = "" if asked.model is None or place.deployed() is not None else str(asked.model)
    return {
        "model": model, "task": asked.task, "robot": asked.robot, "folder": str(asked.folder), "recipe": asked.recipe,
        "until_cycle": str(until), "wait": str(asked.wait).lower(), "operator": asked.operator, "faults": asked.faults,
        "data": str(asked.data),
    }  # fmt: skip


def _in_graphs(asked: Asked, place: Place, until: int, console: Console) -> None:
    require_ros()
    deaths: list[float] = []
    while True:
        description = describe("flywheel", _arguments(asked, place, until))
        with Bar("starting the nodes", lines=False) as bar:
            teller = _Teller(console, bar)
            status = starter.run(description, teller.line)
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        newest = place.newest()
        if newest is not None and newest.stop is not None:
            return
        if status == 0 and newest is not None and newest.state is State.DONE:
            if newest.number >= until:
                return
            continue  # the first policy was made: now with a node for it
        if status > 0:
            raise _failed(description, status, teller)
        deaths = [at for at in deaths if time.monotonic() - at < _WITHIN_S] + [time.monotonic()]
        if len(deaths) > _DEATHS:
            raise _failed(description, status, teller)
        console.print("the manager has died: starting again where the cycle was", style="yellow")


def _failed(description: GraphDescription, status: int, teller: _Teller) -> GraphError:
    last = f"; the last it said: {teller.complaints[-1]}" if teller.complaints else ""
    return GraphError(
        f"the graph ended with status {status}{last}",
        f"The output of each node is in {description.data / 'log'}; the same command goes on where the cycle was.",
    )


class _Teller:
    """Shows what the manager says of the cycle, and what any node complains of.

    On a terminal how far a step is moves a bar, and only what is new stays as a line.
    """

    def __init__(self, console: Console, bar: Bar) -> None:
        self._console, self._bar, self._step = console, bar, ""
        self.complaints: list[str] = []

    def line(self, name: str, line: str) -> None:
        """One line of a process."""
        found = _LOG_LINE.match(line)
        level = found.group(1) if found else ""
        said = line[found.end() :] if found else line
        if level in ("WARN", "ERROR", "FATAL") or name == "starter":
            self.complaints = [*self.complaints[-20:], f"{name}: {said}"]
            self._print(f"{name}: {said}", "yellow" if level in ("", "WARN") else "red")
        elif name == "manager" and said.startswith("cycle "):
            told = _STEP.match(said)
            if told is not None:
                self._bar.part(told["step"], int(told["done"] or 0), int(told["total"] or 0), told["what"])
            if told is None or told["step"] != self._step or not self._console.is_terminal:
                self._print(said)
            self._step = told["step"] if told is not None else ""

    def _print(self, line: str, style: str = "") -> None:
        with aside():
            self._console.print(Text(line, style=style))


# --- by hand --------------------------------------------------------------------------------------------------------


def _by_hand(asked: Asked, place: Place, until: int, console: Console) -> None:
    last = [("", "")]

    def told(record: CycleRecord, what: str, done: int, total: int) -> None:
        if (now := (record.state.value, what.split(" ", maxsplit=1)[0])) != last[0]:
            last[0] = now
            console.print(f"cycle {record.number} {record.state.value}: {what}")

    flywheel = Flywheel(place, HandShop(place, told), SystemClock(), wait=True)
    recipe = load_recipe(asked.recipe)
    with place.held():
        place.forget_stop()
        if asked.model is not None and place.deployed() is None:
            place.deploy(PolicyRef.of(asked.model), "it was given")
        while True:
            deployed, unfinished = place.deployed(), place.unfinished()
            task, robot = asked.task, asked.robot
            if unfinished is not None:
                task, robot = task or unfinished.task, robot or unfinished.robot
            if deployed is not None and not (task and robot):
                from xrollout_ros.learning.metadata import read_meta

                meta = read_meta(Path(deployed.policy.checkpoint))
                task, robot = task or meta.task, robot or meta.robot
            task, robot = full_path(task), full_path(robot or load_task(task).robot)
            record = flywheel.begin(
                recipe, task=task, robot=robot, data=str(asked.data), operator=asked.operator, faults=asked.faults
            )
            record = flywheel.run(record)
            if record.stop is not None or record.number >= until:
                return
