"""The generation stage: how a policy's rollouts come about that are to be new candidates for training.

Which starts, how often from each, and how much noise. A new one is a class here and a line in ``GENERATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.mining.plan import CollectionPlan
from xrollout_ros.mining.starts import Axis, farthest_points, names_of_starts, scale_of
from xrollout_ros.runtime.start_list import ListedStart
from xrollout_ros.sim.robot import make_sim_robot

GENERATED = "generated"
"""Tag of a policy's attempts that were made for training."""
TRIES, TRY = "tries", "try"
"""Where an episode's parameters say how many tries there were from each start, and which of them it is."""
POOL = 128
"""Starts among which those are chosen that are far from one another."""
APART = 1_000_003
"""Between the seeds of a policy's randomness in two tries from one start."""


@dataclass(frozen=True)
class Ground:
    """What rollouts are made on."""

    robot: RobotSpec
    task: TaskSpec
    start: str
    """Named start distribution."""
    seed: int
    """Of the first start."""
    plan: CollectionPlan | None = None
    """Starts to generate from, in its order."""


class Generation(Protocol):
    """A way in which rollouts come about."""

    name: ClassVar[str]
    description: ClassVar[str]
    """For a person who chooses."""

    @property
    def temperature(self) -> float:
        """What the noise of the policy is multiplied by."""
        ...

    @property
    def tries(self) -> int:
        """Rollouts from each start, which differ by the policy's randomness."""
        ...

    def starts(self, ground: Ground, episodes: int) -> tuple[ListedStart, ...]:
        """What so many rollouts begin with. The first of more are the same, so that a run can be gone on with.

        Raises:
            SpecError: the plan has no seeds, or there are not as many starts.
        """
        ...


class _Way:
    """A generation whose temperature and number of tries may be set."""

    def __init__(self, temperature: float, tries: int) -> None:
        if not 0 < temperature < float("inf"):
            raise SpecError(f"the temperature is {temperature:g}", "Allowed is a number above 0; 1: as it was trained.")
        if tries < 1:
            raise SpecError(f"{tries} tries from each start", "Allowed is 1 or more.")
        self._temperature, self._tries = temperature, tries

    @property
    def temperature(self) -> float:
        """See ``Generation``."""
        return self._temperature

    @property
    def tries(self) -> int:
        """See ``Generation``."""
        return self._tries


class AsDeployed(_Way):
    """As the policy is deployed: its noise as it was trained, fresh starts whose seeds count up, one try each."""

    name: ClassVar[str] = "as_deployed"
    description: ClassVar[str] = "noise as trained, fresh starts, one try each"

    def __init__(self, temperature: float = 1.0, tries: int = 1) -> None:
        super().__init__(temperature, tries)

    def starts(self, ground: Ground, episodes: int) -> tuple[ListedStart, ...]:
        """See ``Generation``."""
        return _tried(lambda count: _given(ground, count) or _counted(ground, count), self._tries, episodes)


class Diverse(_Way):
    """More of what the policy might do: more noise, several tries from each start, starts far from one another.

    From the starts of a plan where there is one. Several samples of one start show where an outcome hangs by a thread:
    there a success beside a failure teaches most.
    """

    name: ClassVar[str] = "diverse"
    description: ClassVar[str] = "1.5 times the noise, 4 tries from each start, starts far apart or of a plan"

    def __init__(self, temperature: float = 1.5, tries: int = 4) -> None:
        super().__init__(temperature, tries)

    def starts(self, ground: Ground, episodes: int) -> tuple[ListedStart, ...]:
        """See ``Generation``."""
        return _tried(lambda count: _given(ground, count) or _far_apart(ground, count), self._tries, episodes)


GENERATIONS: dict[str, type[AsDeployed | Diverse]] = {each.name: each for each in (AsDeployed, Diverse)}


def make_generation(name: str, temperature: float | None = None, tries: int | None = None) -> Generation:
    """The generation of this name, with another temperature or number of tries where they are given.

    Raises:
        SpecError: it is unknown, or a number is not allowed.
    """
    if name not in GENERATIONS:
        raise SpecError(f"unknown generation {name!r}", f"Known are {', '.join(GENERATIONS)}.")
    usual = GENERATIONS[name]()
    return GENERATIONS[name](usual.temperature if temperature is None else temperature, tries or usual.tries)


def _tried(choose: Callable[[int], tuple[ListedStart, ...]], tries: int, episodes: int) -> tuple[ListedStart, ...]:
    """Each start so many times, until there are as many as episodes."""
    found = []
    for start in choose(-(-episodes // tries)):
        for number in range(tries):
            assert start.seed is not None, "simulated starts have seeds"
            noise = (start.seed + number * APART) % 2**63
            found.append(start.model_copy(update={"policy_seed": noise, "parameters": {TRY: number + 1}}))
    return tuple(found[:episodes])


def _counted(ground: Ground, count: int) -> tuple[ListedStart, ...]:
    return tuple(ListedStart(start=ground.start, seed=ground.seed + number) for number in range(count))


def _given(ground: Ground, count: int) -> tuple[ListedStart, ...]:
    """The plan's; none without a plan."""
    if ground.plan is None:
        return ()
    known = [each for each in ground.plan.starts if each.seed is not None]
    if len(known) < count:
        raise SpecError(
            f"{count} starts are needed, and the plan {ground.plan.plan_id} has {len(known)} with a seed",
            "Ask for fewer episodes, for more tries from each start, or leave out the plan.",
        )
    return tuple(ListedStart(start=each.start, seed=each.seed) for each in known[:count])


def _far_apart(ground: Ground, count: int) -> tuple[ListedStart, ...]:
    """Of a pool of starts those that are farthest from one another, in what describes a start."""
    if count > POOL:
        raise SpecError(
            f"{count} starts far from one another", f"Allowed are up to {POOL}: ask for more tries from each."
        )
    names = names_of_starts(ground.task, ground.robot) or tuple(entry.name for entry in ground.robot.observations)
    pool = _counted(ground, POOL)
    sim = make_sim_robot(ground.robot, ground.task, shapes=False)
    try:
        seen = [sim.reset(each.seed or 0, each.start).values for each in pool]
    finally:
        sim.close()
    values = np.array([np.concatenate([np.ravel(each[name]) for name in names]) for each in seen])
    units = {entry.name: entry.unit for entry in ground.robot.observations}
    axes = [Axis(name, name, units[name]) for name in names for _ in range(np.size(seen[0][name]))]
    chosen = farthest_points(values / scale_of(values, axes).spans, count)
    # Where starts are the same again there is nothing to choose.
    others = [place for place in range(POOL) if place not in chosen]
    return tuple(pool[place] for place in [*chosen, *others][:count])
