"""Generating: a policy's rollouts in simulation as new candidates for training, and what they are made of."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import CONTROL, GENERATION, TEMPERATURE, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.resume import made_of
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.mining.collection import PLAN, TARGETED
from xrollout_ros.mining.plan import CollectionPlan
from xrollout_ros.mining.statistics import success_rate_of
from xrollout_ros.runtime.action_control import VALUE
from xrollout_ros.runtime.start_list import StartList
from xrollout_ros.sim.generation import GENERATED, TRIES, Generation, Ground
from xrollout_ros.ui import text
from xrollout_ros.ui.progress import Bar

_ByStart = dict[tuple[str, int | None], set[Outcome]]


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    model: Path
    episodes: int
    data: Path
    start: str = ""
    seed: int = 5000
    task: str = ""
    robot: str = ""
    control: str = ""
    engine: str = ""
    camera: bool = False
    plan: CollectionPlan | None = None


@dataclass(frozen=True)
class Rollouts:
    """What is to be generated."""

    options: Options
    generation: Generation
    starts: StartList

    def made(self) -> dict[int, EpisodeMeta]:
        """What of it is there, by number."""
        data = self.options.data
        with Bar("looking for what is there") as bar:
            found = find_episodes(data, bar.show) if data.is_dir() else []
        return made_of(self.starts, (each.meta for each in found if each.meta is not None))

    def arguments(self, starts: Path) -> dict[str, str]:
        """Of the graph that makes the starts in this file."""
        options = self.options
        return {
            "model": str(options.model),
            "task": options.task,
            "robot": options.robot,
            "data": str(options.data),
            "engine": options.engine,
            "camera": str(options.camera).lower(),
            CONTROL: options.control,
            TEMPERATURE: repr(self.generation.temperature),
            "starts": str(starts),
        }


def rollouts(generation: Generation, options: Options) -> Rollouts:
    """What a generation makes of a policy.

    Raises:
        SpecError: the robot is a real one, the plan is for another task, or its starts do not suffice.
        CheckpointError: the model is missing or damaged.
    """
    from xrollout_ros.learning.metadata import read_bytes, read_meta, sha256

    meta = read_meta(options.model)
    robot, task = load_robot(options.robot or meta.robot), load_task(options.task or meta.task)
    if robot.sim is None:
        raise SpecError(
            f"robot {robot.id!r} is a real one: rollouts are generated in simulation",
            "Deploy it under supervision instead: xrollout up deploy model:=checkpoint.pt operator:=keyboard.",
        )
    if options.plan is not None and (options.plan.task, options.plan.robot) != (task.id, robot.id):
        raise SpecError(
            f"the plan {options.plan.plan_id} is for {options.plan.task!r} on {options.plan.robot!r}, and the policy "
            f"does {task.id!r} on {robot.id!r}",
            "Give the plan of this task and robot.",
        )
    start = options.start or task.default_start
    if start not in task.starts:
        raise SpecError(f"task {task.id!r} has no start {start!r}", f"It has {', '.join(sorted(task.starts))}.")
    chosen = generation.starts(Ground(robot, task, start, options.seed, options.plan), options.episodes)
    plan = "" if options.plan is None else options.plan.plan_id
    made_of_these = [
        sha256(read_bytes(options.model)), task.id, robot.id, generation.name, generation.temperature, generation.tries,
        start, options.seed, plan, options.control, options.engine,
    ]  # fmt: skip
    starts = StartList(
        # How many of them is no part of it: more of the same goes on from where it was.
        list_id=hashlib.sha256(json.dumps(made_of_these).encode()).hexdigest()[:16],
        tags=(GENERATED, TARGETED) if plan else (GENERATED,),
        parameters={GENERATION: generation.name, TRIES: generation.tries, **({PLAN: plan} if plan else {})},
        starts=chosen,
    )
    starts.check(task, robot, "the plan" if plan else "the generation")
    return Rollouts(options, generation, starts)


def described(wanted: Rollouts, left: StartList, folder: Path) -> GraphDescription:
    """The graph that makes what is left; its list of starts is written into the folder."""
    file = folder / "starts.json"
    file.write_text(left.model_dump_json(), encoding="utf-8")
    return describe("deploy", wanted.arguments(file))


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for as long as a graph runs."""
    return tempfile.TemporaryDirectory(prefix="xrollout-")


def summary(wanted: Rollouts, metas: Sequence[EpisodeMeta]) -> dict[str, Any]:
    """What came of it.

    Args:
        wanted: what was asked for.
        metas: all rollouts of it that are there.
    """
    rate, by_start = success_rate_of(meta.result() for meta in metas), _by_start(metas)
    generation = wanted.generation
    return {
        "data": str(wanted.options.data),
        "generation": {"name": generation.name, "temperature": generation.temperature, "tries": generation.tries},
        "control": _control(metas[0]) if metas else None,
        "wanted": len(wanted.starts),
        "rollouts": len(metas),
        "starts": len(by_start),
        "both_ways": _both_ways(by_start),
        "stopped": _stopped(metas),
        "successes": rate.successes,
        "rate": rate.rate,
        "low": rate.low,
        "high": rate.high,
        "episodes": [meta.episode_id for meta in metas],
    }


def show(console: Console, wanted: Rollouts, metas: Sequence[EpisodeMeta]) -> None:
    """What came of it, by what the stages were.

    Args:
        console: where.
        wanted: what was asked for.
        metas: all rollouts of it that are there.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=False)
    rate, by_start = success_rate_of(meta.result() for meta in metas), _by_start(metas)
    generation, [first, *_] = wanted.generation, metas
    for name, value in (
        ("generation", f"{generation.name}: temperature {generation.temperature:g}, tries {generation.tries}"),
        ("control", _control(first)),
        ("rollouts", f"{len(metas)} from {text.plural(len(by_start), 'start')}: {rate}"),
        ("both ways", f"{_both_ways(by_start)} of {len(by_start)} starts, where a success lies beside a failure"),
        ("stopped", f"{_stopped(metas)} by the supervisor"),
    ):
        table.add_row(name, Text(value))
    console.print(table)


def _by_start(metas: Sequence[EpisodeMeta]) -> _ByStart:
    found: _ByStart = {}
    for meta in metas:
        found.setdefault((meta.start, meta.seed), set()).add(meta.outcome)
    return found


def _both_ways(by_start: _ByStart) -> int:
    return sum({Outcome.SUCCESS, Outcome.FAILURE} <= outcomes for outcomes in by_start.values())


def _stopped(metas: Sequence[EpisodeMeta]) -> int:
    return sum(meta.outcome_source is OutcomeSource.SAFETY for meta in metas)


def _control(meta: EpisodeMeta) -> str:
    known = meta.parameters
    return " ".join([str(known[CONTROL]), *(f"{known[name]:g}" for name in (VALUE,) if name in known)])
