"""Mining as a whole: ranked failures, coverage of the starts, and a plan of what to collect next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xrollout_ros.core.clock import Clock, SystemClock
from xrollout_ros.core.errors import DataError, XRolloutError
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_reader import Bag, open_bag
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import Condition, parse
from xrollout_ros.mining.attempts import MOST, Population, Row, population
from xrollout_ros.mining.coverage import Coverage, coverage
from xrollout_ros.mining.failures import FailureGroup, places, ranked
from xrollout_ros.mining.looking import Look, Progress, look_into
from xrollout_ros.mining.novel import novelty_of
from xrollout_ros.mining.plan import CollectionPlan
from xrollout_ros.mining.planning import DEMONSTRATIONS, Ground, choose, chosen_starts, make_plan, other_members
from xrollout_ros.mining.starts import NOT_NAMED, axes_of_starts, names_of_starts
from xrollout_ros.mining.tagging import task_today
from xrollout_ros.mining.trend import Course, Trend, trend
from xrollout_ros.runtime.novelty import Kind


@dataclass(frozen=True)
class Mined:
    """What was found."""

    population: Population
    attempts: int
    """That could be read."""
    successes: int
    groups: tuple[FailureGroup, ...]
    """The costliest first."""
    unreadable: Mapping[str, str]
    """Episodes whose bags could not be read, and why; they count in nothing."""
    coverage: Coverage | None
    why_no_coverage: str
    """Empty: there is one."""
    trends: Mapping[str, Trend]
    """By mode."""
    plan: CollectionPlan | None
    why_no_plan: str
    """Empty: there is one."""
    places: Mapping[str, tuple[float, float]]
    """Where the failures lie among each other, by episode: see ``failures.places``."""

    @property
    def modes(self) -> tuple[str, ...]:
        """Those that occur, the costliest group's first."""
        return tuple(dict.fromkeys(group.mode for group in self.groups))


def mine(
    catalog: Catalog,
    where: Iterable[Condition | str] = (),
    *,
    mode: str | None = None,
    demonstrations: int | None = None,
    task: TaskSpec | None = None,
    novelty: Kind | None = "density",
    most: int = MOST,
    pass_over_plateaued: bool = False,
    fill_up: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Mined:
    """Rank the failures of one policy at one task, look at its starts, and plan what to collect next.

    Args:
        catalog: of the data folder; brought up to date by the caller.
        where: conditions on the attempts, e.g. ``"task=pick_and_place"``; without one on the policy it is the newest.
        mode: the failure mode to plan for; none: that of the costliest group.
        demonstrations: plan at most so many; none: ``DEMONSTRATIONS``.
        task: TaskSpec to describe attempts by; none: the installed one, else the bags' own.
        novelty: how the chosen failures' unlikeness to the demonstrations is measured; none: it is not.
        most: read at most so many attempts, the newest.
        pass_over_plateaued: do not plan for a mode for which demonstrations were added in vain, unless it is asked for.
        fill_up: where the target has fewer starts than are wanted, add some that the policy failed from otherwise.
        workers: processes that read bags; 0: as many as fit.
        progress: told how many of how many bags are read.
        clock: stamps the plan.

    Raises:
        DataError: there is no attempt, none that can be read, several tasks or robots, a filter on how attempts ended,
            or no failure of this mode.
        SpecError: the TaskSpec does not fit its robot, or scikit-learn is missing.
    """
    conditions = [parse(each) if isinstance(each, str) else each for each in where]
    if task is not None:
        conditions.append(parse(f"task={task.id}"))
    if demonstrations is not None and demonstrations < 1:
        raise DataError(f"{demonstrations} demonstrations", "Plan at least 1.")
    found = population(catalog, conditions, most=most)
    bag, spec = _specs(catalog.data, found, task)
    names = names_of_starts(spec, bag.robot) if spec is not None else ()
    unique = list({row.episode_id: row for row in (*found.attempts, *found.learned)}.values())
    looks = look_into(catalog.data, unique, names, spec, workers=workers, progress=progress)
    axes = axes_of_starts(names, bag.robot) if names else ()
    unreadable = {name: problem for name, look in looks.items() if (problem := _problem(look, len(axes)))}
    attempts = [row for row in found.attempts if row.episode_id not in unreadable]
    shown = [row for row in found.learned if row.episode_id not in unreadable]
    failures = [row for row in attempts if row.failed]
    groups = ranked(failures, looks, len(attempts)) if failures else ()
    covered = coverage(attempts, shown, looks, axes) if names else None
    modes = dict.fromkeys(group.mode for group in groups)
    trends = {
        each: trend(each, found.history, found.demonstrations, found.trained_from, found.policies[-1]) for each in modes
    }
    if mode is not None and groups and mode not in modes:
        raise DataError(f"no attempt failed by {mode!r}", f"These occur: {', '.join(modes)}.")
    plateaued = [each for each in modes if trends[each].course is Course.PLATEAUED] if pass_over_plateaued else []
    target = choose(groups, mode, plateaued)
    plan = None
    successes = sum(row.success for row in attempts)
    if target is not None:
        count = demonstrations or DEMONSTRATIONS
        chosen = chosen_starts(target.members, looks, covered, count)
        others = other_members(groups, target, plateaued) if fill_up else ()
        if others and len(chosen) < count:
            chosen += chosen_starts(others, looks, covered, count - len(chosen))
        members = [row for row in failures if row.episode_id in chosen]
        ground = Ground(
            data=str(catalog.data.resolve()),
            population=found,
            robot=bag.robot,
            scene=bag.meta.scene,
            attempts=len(attempts),
            successes=successes,
            looks=looks,
            coverage=covered,
            evidence=_evidence(catalog, members),
            novelty={} if novelty is None else novelty_of(catalog.data, members, shown, novelty),
            unreadable=len(unreadable),
            confidence=0.95,
        )
        plan = make_plan(target, chosen, ground, trends[target.mode], demonstrations, clock or SystemClock())
    why_not = "" if plan else _why_no_plan(groups)
    return Mined(
        found, len(attempts), successes, groups, unreadable, covered, "" if names else NOT_NAMED, trends, plan, why_not,
        places(failures, looks),
    )  # fmt: skip


def _problem(look: Look, width: int) -> str:
    """Why an attempt cannot be mined beside the others; empty: it can."""
    if look.problem or look.start is None or not width or len(look.start) == width:
        return look.problem
    return f"its robot observes {len(look.start)} values of a start, that of the newest attempt {width}"


def _why_no_plan(groups: Sequence[FailureGroup]) -> str:
    if not groups:
        return "no attempt failed, so there is nothing to collect for"
    modes = ", ".join(dict.fromkeys(group.mode for group in groups))
    return f"no demonstration mends {modes}; --mode plans for one of them all the same"


def _specs(data: Path, found: Population, task: TaskSpec | None) -> tuple[Bag, TaskSpec | None]:
    """The newest bag that can be opened, and the TaskSpec to go by."""
    problem: XRolloutError | None = None
    for row in reversed(found.attempts):
        try:
            bag = open_bag(data / row.path)
        except XRolloutError as error:
            problem = error
            continue
        return bag, task or task_today(bag.task)
    raise DataError(
        f"none of the {len(found.attempts)} attempts at {found.task} can be read, the first because {problem}",
        "Bring the bags back, or let `xrollout index` look at what is there.",
    )


def _evidence(catalog: Catalog, rows: Sequence[Row]) -> dict[str, str]:
    """What was said of why these failed."""
    if not rows:
        return {}
    quoted = [row.episode_id.replace("'", "''") for row in rows]
    ids = ", ".join(f"'{each}'" for each in quoted)
    said = catalog.sql(
        f"SELECT episode_id, name, author, reason FROM annotations "
        f"WHERE kind = 'failure' AND NOT retracted AND episode_id IN ({ids})"
    ).to_pylist()
    known = {(each["episode_id"], each["name"], each["author"]): str(each["reason"]) for each in said}
    return {row.episode_id: known.get((row.episode_id, row.failure_mode, row.failure_author), "") for row in rows}
