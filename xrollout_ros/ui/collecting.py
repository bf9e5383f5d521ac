"""Collecting: what a session is to make, what of it is there, and the graph that makes the rest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from xrollout_ros.core.episode import CONTROL, PERTURBATION, EpisodeMeta
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.records import Record, read_records
from xrollout_ros.episodes.resume import made_of
from xrollout_ros.episodes.store import bags_below
from xrollout_ros.mining.collection import can_be_made, check_plan, collected, listed, wanted
from xrollout_ros.mining.plan import CollectionPlan
from xrollout_ros.runtime.action_control import Assisted
from xrollout_ros.runtime.operators.sources import HUMAN
from xrollout_ros.runtime.operators.specs import load_operators
from xrollout_ros.runtime.start_list import ListedStart, StartList
from xrollout_ros.sim.faults import faults_json, parse_faults, sparing
from xrollout_ros.ui.progress import Bar

BY_HAND = "by_hand"
"""The operator disturbs a real robot."""
ID_LENGTH = 26
PAUSE_S = 3
"""Between two attempts that people make in simulation: time to take one back."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    data: Path
    operator: str = "scripted"
    robot: str = ""
    """RobotSpec id or file; empty: the plan's or the checkpoint's."""
    task: str = ""
    camera: bool = False
    model: Path | None = None
    """Who drives until it is about to fail; none: the operator demonstrates from the start."""
    perturb: str = ""
    """Faults, or ``by_hand``; empty: nothing is disturbed."""
    take_over_at: str = ""
    """Policy steps (``40``) or seconds (``0.5s``) after which the robot asks for the operator."""


@dataclass(frozen=True)
class Counted:
    """Where a session without a plan begins."""

    start: str
    seed: int
    episodes: int


@dataclass(frozen=True)
class Session:
    """What is to be made."""

    options: Options
    robot: RobotSpec
    task: TaskSpec
    starts: StartList
    """All of it, whatever is there already."""
    plan: CollectionPlan | None = None
    left_out: tuple[int, ...] = field(default=())
    """Numbers of what cannot be made: in simulation a start without a seed."""

    @property
    def by_hand(self) -> bool:
        """Whether people put things to each start."""
        return self.robot.sim is None

    @cached_property
    def people(self) -> bool:
        """Whether a person operates."""
        return any(spec.source in HUMAN for spec in load_operators(self.options.operator))

    def there(self) -> dict[int, EpisodeMeta]:
        """What of it the data folder holds, by number.

        Of a plan it is what succeeded and shows how; of a session that only counts, what was made.
        """
        records = self._records()
        if self.plan is not None:
            return collected(self.plan, ((each.meta, each.effective.outcome) for each in records))
        return made_of(self.starts, (each.meta for each in records))

    def _records(self) -> tuple[Record, ...]:
        with Bar("looking for what is there") as bar:
            return read_records(self.options.data, bar.show).records if self.options.data.is_dir() else ()

    def lacking(self) -> tuple[int, ...]:
        """Numbers of what is not there."""
        there = self.there()
        return tuple(number for number in self.starts.numbers if number not in there)

    def graph(self, starts: Path) -> tuple[str, dict[str, str]]:
        """The graph that makes the starts in this file, and its arguments."""
        options = self.options
        arguments = {
            "robot": options.robot or self.robot.id,
            "task": options.task or self.task.id,
            "operator": options.operator,
            "data": str(options.data),
            "camera": str(options.camera).lower(),
            "starts": str(starts),
            "reset_seconds": str(PAUSE_S if self.people and not self.by_hand else 0),
        }
        if options.model is None:
            return "record", arguments
        disturbed = options.perturb == BY_HAND
        # Whoever shows the way out of a failure is not disturbed.
        faults = "" if disturbed else faults_json(sparing(parse_faults(options.perturb)))
        return "deploy", arguments | {
            "model": str(options.model),
            "strategy": "dagger",
            CONTROL: self._control,
            "faults": faults,
            "tags": PERTURBATION if disturbed else "",
        }

    @property
    def _control(self) -> str:
        at_s = _moment_s(self.options.take_over_at, self.robot)
        return Assisted.name if at_s is None else f"{Assisted.name}:{at_s!r}"


def planned(plan: CollectionPlan, options: Options) -> Session:
    """A session that collects for a plan.

    Raises:
        SpecError: the plan is for another task or robot, or a start is not what it was; or options contradict it.
        DataError: it was mined from another data folder, or none of its starts can be made.
    """
    robot, task = load_robot(options.robot or plan.robot), load_task(options.task or plan.task)
    # The names of bags end in their ids: no bag is opened for this.
    bags = {bag.name[-ID_LENGTH:]: bag for bag in bags_below(options.data)} if options.data.is_dir() else {}
    check_plan(plan, task, robot, bags, options.data)
    every = wanted(plan)
    out = tuple(each.number for each in every if not can_be_made(plan, each))
    if len(out) == len(every):
        raise DataError(
            f"no start of the plan {plan.plan_id} has a seed, so none of them can be made again in simulation",
            "Mine attempts that were made in a graph with a simulated robot.",
        )
    starts = listed(plan, [each for each in every if each.number not in out])
    return _checked(Session(options, robot, task, starts, plan, out))


def counted(which: Counted, options: Options) -> Session:
    """A session without a plan: a policy from starts whose seeds count up.

    Raises:
        SpecError: there is no such start, or options contradict each other.
        CheckpointError: the model is missing or damaged.
    """
    from xrollout_ros.learning.metadata import read_bytes, read_meta, sha256

    assert options.model is not None, "without a plan a policy drives"
    meta = read_meta(options.model)
    robot, task = load_robot(options.robot or meta.robot), load_task(options.task or meta.task)
    start = which.start or task.default_start
    seeds = range(which.seed, which.seed + which.episodes)
    made_of = [sha256(read_bytes(options.model)), task.id, robot.id, start, which.seed, options.perturb]
    starts = StartList(
        # More of the same is the same session.
        list_id=hashlib.sha256(json.dumps([*made_of, options.take_over_at]).encode()).hexdigest()[:16],
        starts=tuple(ListedStart(start=start, seed=None if robot.sim is None else seed) for seed in seeds),
    )
    return _checked(Session(options, robot, task, starts))


def _checked(session: Session) -> Session:
    options, robot = session.options, session.robot
    for name, value in (("--perturb", options.perturb), ("--take-over-at", options.take_over_at)):
        if value and options.model is None:
            raise SpecError(
                f"{name} {value}: nobody takes over, since the operator drives from the start",
                "Add --model checkpoint.pt: the policy that drives first.",
            )
    if options.perturb == BY_HAND and robot.sim is not None:
        raise SpecError(
            f"--perturb {BY_HAND}: robot {robot.id!r} is simulated, and nobody can touch it",
            "Name faults, e.g. object_bump,gripper_slip; docs/failures.md lists them.",
        )
    _moment_s(options.take_over_at, robot)
    session.starts.check(session.task, robot, "the plan" if session.plan is not None else "the session")
    return session


def _moment_s(given: str, robot: RobotSpec) -> float | None:
    """Seconds since the start of an attempt that ``40`` (policy steps) or ``0.5s`` means."""
    if not given:
        return None
    number, in_steps = (given[:-1], False) if given.endswith("s") else (given, True)
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (in_steps and value != int(value)):
        raise SpecError(f"--take-over-at {given!r} is no moment", "Give policy steps, e.g. 40, or seconds, e.g. 0.5s.")
    return value / robot.policy_rate_hz if in_steps else value
