"""Ten sample episodes through the graph into a temporary folder: do they record, read and train here."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.ui import text
from xrollout_ros.ui.doctor.finding import Finding, Subject, error, ok, skipped, warning
from xrollout_ros.ui.doctor.running import OBSERVERS

EPISODES = 10
EPOCHS = 2
NAME = "sample episodes"


def preconditions(subject: Subject, asked: bool | None) -> Iterator[Finding]:
    """Why no episodes are to be recorded; nothing: they are.

    Args:
        subject: what was found out before.
        asked: whether somebody asked for them; None: where it can be done.
    """
    robot, task, survey = subject.robot, subject.task, subject.survey
    why = ""
    if asked is False:
        why = "left out (--no-record)"
    elif survey is None:
        why = "ROS is not there to record with"
    elif robot is not None and robot.sim is None:
        why = f"{robot.id} is a real robot: a person has to drive it"
    elif robot is None or task is None:
        why = "no task was named (--task)"
    elif not task.operator:
        why = f"task {task.id} has no scripted operator"
    elif any(name.startswith("/xrollout/") and name not in OBSERVERS for name in survey.nodes):
        why = f"a graph runs in domain {survey.domain}; end it first"
    if why:
        make = error(NAME, why, "recorded", "Mend that, or leave --record out.") if asked else skipped(NAME, why)
        yield _signed(make)


def rehearse(robot: str, task: str, console: Console) -> Iterator[Finding]:
    """Record, read and train; what was made is removed again.

    Args:
        robot: RobotSpec id or YAML file.
        task: TaskSpec id or YAML file, one with a scripted operator.
        console: shows how far it is.

    Raises:
        KeyboardInterrupt: Ctrl-C; the graph has ended in order.
    """
    with tempfile.TemporaryDirectory(prefix="xrollout-doctor-") as temporary:
        data = Path(temporary) / "raw_rollouts"
        steps: tuple[tuple[str, Callable[[], Finding]], ...] = (
            ("record", lambda: _record(robot, task, data, console)),
            ("read", lambda: _read(data)),
            ("train", lambda: _train(data, Path(temporary) / "checkpoint.pt")),
        )
        for name, step in steps:
            begin_s = time.monotonic()
            try:
                found = step()
            except XRolloutError as problem:
                yield _signed(error(f"{NAME}: {name}", problem.what, "no error", problem.remedy))
                yield from (_signed(skipped(f"{NAME}: {each}", f"{name} failed")) for each in _after(name))
                return
            said = f"{found.value} in {text.duration(time.monotonic() - begin_s)}"
            yield Finding(found.level, f"{NAME}: {name}", said, found.allowed, found.remedy, NAME)


def _after(name: str) -> tuple[str, ...]:
    order = ("record", "read", "train")
    return order[order.index(name) + 1 :]


def _signed(found: Finding) -> Finding:
    return Finding(found.level, found.thing, found.value, found.allowed, found.remedy, NAME)


def _record(robot: str, task: str, data: Path, console: Console) -> Finding:
    from xrollout_ros.graph.description import describe
    from xrollout_ros.ui.running import run_graph

    arguments = {"robot": robot, "task": task, "episodes": str(EPISODES), "data": str(data)}
    run_graph(describe("record", arguments), console)
    return ok("", f"{EPISODES} episodes recorded")


def _read(data: Path) -> Finding:
    entries = find_episodes(data)
    bad = [entry.problem for entry in entries if entry.meta is None]
    if bad:
        return error("", f"{len(bad)} of {len(entries)} bags cannot be read ({bad[0]})", "none", "See `log/` of a run.")
    lost = sum(topic.lost for entry in entries if entry.meta for topic in entry.meta.topics.values())
    rows = sum(len(read_episode(entry.path)) for entry in entries)
    if lost:
        remedy = "The machine is too busy: end what else runs here, record fewer cameras."
        return warning("", f"{text.plural(lost, 'message')} lost, {rows} rows read", "none lost", remedy)
    return ok("", f"{rows} rows read, nothing lost")


def _train(data: Path, output: Path) -> Finding:
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.learning.training.options import TrainOptions
    from xrollout_ros.learning.training.train import train

    result = train(TrainOptions.of(data=data, output=output, epochs=EPOCHS, held_out=0.0), lambda progress: None)
    load_policy(output)
    first, last = result.history[0].train_loss, result.history[-1].train_loss
    value = f"{EPOCHS} epochs on {text.plural(len(result.meta.episodes), 'episode')}, loss {first:.3f} to {last:.3f}"
    if result.left_out:
        reasons = "; ".join(f"{count}: {reason}" for reason, count in result.left_out.items())
        return warning("", f"{value}; left out {reasons}", "every episode trains", "See why the operator failed.")
    return ok("", value)
