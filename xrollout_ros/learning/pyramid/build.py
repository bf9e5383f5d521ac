"""Builds a pyramid: bags into shards, episodes into levels, levels into datasets; what is there already is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xrollout_ros
from xrollout_ros.core.clock import Clock, SystemClock, utc_now
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.mirror import MirrorSpec
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.learning.pyramid.bags import Bags, bags_of
from xrollout_ros.learning.pyramid.balance import Cost
from xrollout_ros.learning.pyramid.cases import Case, cases_of
from xrollout_ros.learning.pyramid.levels import Level, level_of
from xrollout_ros.learning.pyramid.place import Pyramid
from xrollout_ros.learning.pyramid.promotion import Judged, judge
from xrollout_ros.learning.pyramid.recipe import LEVELS, Recipe
from xrollout_ros.learning.pyramid.scores import with_information
from xrollout_ros.learning.pyramid.starts import places_of
from xrollout_ros.learning.shards.facts import version_of
from xrollout_ros.learning.shards.filling import KILLED, Filled, Size, TaskToday, fill
from xrollout_ros.learning.shards.merging import merge_small
from xrollout_ros.learning.shards.store import NO_IMAGES, Kept, Store, bag_key
from xrollout_ros.mining.attempts import UNJUDGED_SEVERITY
from xrollout_ros.mining.tagging import task_today

Progress = Callable[[str, int, int], None]
"""Told what is done, and how much of how much."""


@dataclass(frozen=True)
class BuildOptions:
    """What to build."""

    data: Path
    output: Path
    levels: int = 4
    """The lowest so many."""
    task: str | None = None
    recipe: Recipe | None = None
    """None: the shipped one."""
    workers: int = 1
    """Processes that read bags; 0: none beside this one."""
    cameras: Size | None = None
    """Height and width at which images are kept; None: none are."""


@dataclass(frozen=True)
class Built:
    """What was built."""

    task: str
    robot: RobotSpec
    recipe: Recipe
    judged: tuple[Judged, ...]
    levels: tuple[Level, ...]
    read: int
    """Bags that were read now."""
    known: int
    """Episodes whose bags needed no reading."""
    shards: frozenset[str]
    """Shards that hold an episode of the data folder as it is now."""
    left_out: Mapping[str, Mapping[str, str]]
    """What is in no level: by reason, episodes or bags with particulars."""
    damaged: Mapping[str, str]
    """Shards that were found damaged and were read again."""
    journal_problems: tuple[str, ...]
    """Lines of the journal that cannot be read."""
    stages: Mapping[str, Mapping[str, int]]
    """Episodes by name of the stage that made or filtered them."""


def build(
    catalog: Catalog, options: BuildOptions, progress: Progress | None = None, clock: Clock | None = None
) -> Built:
    """Build or bring up to date the pyramid at ``options.output``.

    Args:
        catalog: of the data folder; brought up to date by the caller.
        options: what to build.
        progress: told how far it is.
        clock: stamps the manifests.

    Raises:
        DataError: there is nothing to build of, several tasks or robots, the place holds something else or another
            task's pyramid, or the disk refuses; the pyramid is as it was.
        SpecError: the recipe or the TaskSpec does not fit.
    """
    recipe = options.recipe or _shipped()
    bags = bags_of(catalog, options.task)
    with Pyramid(options.output).opened(bags.task) as place:
        store = Store(place.shards)
        store.clean()
        store.look()
        kept, filled = _fill(store, bags, options, progress)
        left_out = {reason: dict(found) for reason, found in bags.left_out.items()}
        for path, problem in filled.problems.items():
            left_out.setdefault(problem.reason, {})[path] = problem.words
        robot, task = _one_robot(kept, left_out, options), _task(bags.task, kept)
        place.check_robot(robot)
        said = journal.read(catalog.data / JOURNAL)
        cameras = _cameras(robot, options)
        cases = cases_of(store, kept, said.entries, recipe.pre_intervention_s, sorted(cameras))
        places = places_of(cases, robot, task)
        if recipe.mutual_information:
            places = with_information(store, cases, places)
        usable, unfit = _usable(cases)
        left_out |= unfit
        judged = judge(usable, places, recipe)
        costs = costs_of(usable)
        counts = {reason: len(found) for reason, found in left_out.items()}
        common = _Frame(bags.task, robot, cameras, _mirror(recipe, task), options, clock).manifest
        levels = tuple(level_of(number, judged, recipe, costs, counts, common) for number in LEVELS[: options.levels])
        built = Built(
            bags.task,
            robot,
            recipe,
            judged,
            levels,
            filled.read,
            len(kept) - filled.read,
            frozenset(each.shard for each in kept),
            left_out,
            dict(store.damaged),
            said.problems,
            stages_of(usable, levels, recipe),
        )
        place.write(store, built, progress)
    return built


def _shipped() -> Recipe:
    from xrollout_ros.learning.pyramid.recipe import default_recipe

    return default_recipe()


@dataclass(frozen=True)
class _Frame:
    """What the manifests of all levels have in common."""

    task: str
    robot: RobotSpec
    cameras: dict[str, tuple[int, int]]
    mirror: MirrorSpec | None
    options: BuildOptions
    clock: Clock | None

    def manifest(self) -> dict[str, Any]:
        """Fields of a manifest."""
        return {
            "task": self.task,
            "robot": self.robot,
            "cameras": self.cameras,
            "task_says": {} if self.mirror is None else {"mirror": self.mirror.model_dump(mode="json")},
            "source": str(self.options.data.resolve()),
            "software_version": xrollout_ros.__version__,
            "created_at": utc_now(self.clock or SystemClock()),
        }


def _mirror(recipe: Recipe, task: TaskSpec | None) -> MirrorSpec | None:
    """How the task looks in a mirror, where the recipe asks for that.

    Raises:
        SpecError: it cannot be mirrored.
    """
    if not recipe.augment.mirror:
        return None
    if task is None or task.mirror is None:
        raise SpecError(
            "the recipe's augment.mirror: the TaskSpec does not say how the task looks in a mirror",
            "Leave it out, or give the TaskSpec a section `mirror` if the task can be mirrored (docs/specs.md).",
        )
    return task.mirror


# --- shards -----------------------------------------------------------------------------------------------------------


def _fill(store: Store, bags: Bags, options: BuildOptions, progress: Progress | None) -> tuple[list[Kept], Filled]:
    """Every episode of the task that can be read, in shards; bags are read that are new or changed."""
    known = _known(store, options.cameras)
    bad = store.problems()
    wanted, told = [], Filled()
    for episode_id, bag in bags.bags:
        if (episode_id, bag.bytes, bag.mtime_ns) in known:
            continue
        key = bag_key(bag.path, bag.bytes, bag.mtime_ns, options.cameras)
        if key in bad:
            told.problems[bag.path] = bad[key]
        else:
            wanted.append(bag)
    if wanted:

        def report(done: int, total: int) -> None:
            if progress is not None:
                progress("reading bags", done, total)

        filled = fill(
            store.folder, options.data, wanted, cameras=options.cameras, workers=options.workers, progress=report
        )
        told.read, told.killed = filled.read, filled.killed
        told.problems |= filled.problems
        store.look()
        known = _known(store, options.cameras)
    keys = {bag.path: bag_key(bag.path, bag.bytes, bag.mtime_ns, options.cameras) for _, bag in bags.bags}
    # What ended its process may have been killed for another reason: it is tried again the next time.
    lasting = {keys[path]: why for path, why in told.problems.items() if why.words != KILLED}
    if lasting != bad:
        store.keep_problems(lasting)
    named = [(episode_id, bag.bytes, bag.mtime_ns) for episode_id, bag in bags.bags]
    if merge_small(store, [known[each] for each in named if each in known]):
        store.look()
        known = _known(store, options.cameras)
    kept = [known[each] for each in named if each in known]
    return kept, told


def _known(store: Store, cameras: Size | None) -> dict[tuple[str, int, int], Kept]:
    """Episodes that are as they are wanted, by id, size and time of the bag.

    Of several one with images, then that of the largest shard.
    """
    found, today = {}, TaskToday()
    for each in sorted(store.episodes(), key=lambda kept: (len(kept.cameras), kept.together, kept.shard)):
        origin = each.held.origin
        if origin.facts != version_of(today(each.task)):
            continue
        if cameras is not None and any(size != cameras for size in each.cameras.values()):
            continue
        if cameras is not None and {camera.name for camera in each.robot.cameras} != set(each.cameras):
            continue
        found[each.meta.episode_id, origin.bytes, origin.mtime_ns] = each
    return found


def _one_robot(kept: Sequence[Kept], left_out: Mapping[str, Mapping[str, str]], options: BuildOptions) -> RobotSpec:
    if not kept:
        reasons = "; ".join(f"{len(found)} {why}, e.g. {next(iter(found.values()))}" for why, found in left_out.items())
        raise DataError(
            f"none of the bags in {options.data} can be made a pyramid of ({reasons})",
            "Bring whole bags back, or record new ones"
            + (", or leave --cameras out." if NO_IMAGES in left_out else "."),
        )
    robots = Counter(f"{each.robot.id} ({each.robot.interface_hash()})" for each in kept)
    if len(robots) > 1:
        told = ", ".join(f"{name}: {count} episode{'s' * (count != 1)}" for name, count in sorted(robots.items()))
        raise DataError(
            f"{options.data} mixes robots of different interfaces: {told}",
            "A pyramid is of one: keep the bags of each robot, and each version of its RobotSpec, in a folder of "
            "their own.",
        )
    return max(kept, key=lambda each: (each.meta.started_at, each.meta.episode_id)).robot


def _task(name: str, kept: Sequence[Kept]) -> TaskSpec | None:
    """The newest episode's, with what the installed one says of judging."""
    newest = max(kept, key=lambda each: (each.meta.started_at, each.meta.episode_id))
    if newest.task is not None:
        return task_today(newest.task)
    try:
        return load_task(name)
    except SpecError:
        return None


def _cameras(robot: RobotSpec, options: BuildOptions) -> dict[str, tuple[int, int]]:
    if options.cameras is None:
        return {}
    if not robot.cameras:
        raise DataError(f"robot {robot.id!r} has no camera", "Leave --cameras out.")
    return {camera.name: options.cameras for camera in robot.cameras}


# --- cases ------------------------------------------------------------------------------------------------------------


def _usable(cases: Sequence[Case]) -> tuple[tuple[Case, ...], dict[str, dict[str, str]]]:
    """Those that may be in a level at all."""
    usable: list[Case] = []
    unfit: dict[str, dict[str, str]] = {}
    for case in cases:
        if case.facts.not_finite:
            rows = f"{case.facts.not_finite} of {case.kept.held.rows} rows"
            unfit.setdefault("values that are not finite", {})[case.id] = rows
        elif case.reviewer is not None and case.reviewer.level == 0:
            unfit.setdefault("a reviewer left it out", {})[case.id] = f"{case.reviewer.author}: {case.reviewer.reason}"
        else:
            usable.append(case)
    return tuple(usable), unfit


def costs_of(cases: Sequence[Case]) -> dict[str, Cost]:
    """What each failure mode costs among the attempts of policies."""
    attempts = [case for case in cases if case.by_policy and case.outcome.value != "unknown"]
    severities: dict[str, list[float]] = {}
    for case in attempts:
        if case.holds.judgements and case.outcome.value in ("failure", "abort"):
            severities.setdefault(case.holds.failure_mode, []).append(case.holds.judgements[0].severity)
    return {
        mode: Cost(len(found), len(attempts), sum(found) / len(found) if found else UNJUDGED_SEVERITY)
        for mode, found in sorted(severities.items())
    }


def stages_of(cases: Sequence[Case], levels: Sequence[Level], recipe: Recipe) -> dict[str, dict[str, int]]:
    """Episodes by how they came about (generation), what held the policy (control), and what took them (filtering)."""
    found: dict[str, dict[str, int]] = {
        "generation": dict(sorted(Counter(case.generation for case in cases).items())),
        "control": dict(sorted(Counter(case.control for case in cases if case.by_policy).items())),
        "filtering": {},
    }
    for level in levels:
        name = recipe.levels[level.number].filter
        found["filtering"][f"level {level.number}: {name}"] = len(level.manifest.episodes)
    return found
