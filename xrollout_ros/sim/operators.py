"""Scripted operators: they see the state vector that the robot's topics give, and nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Expert
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.runtime.operators.scripted import WHEN_WANTED, ScriptedOperator, TakeoverRule
from xrollout_ros.runtime.operators.sources import HUMAN

_FRAME = 18
_FULL = 39
_AT_M, _AWAY_M, _LIFTED_M = 0.07, 0.09, 0.04
"""An object this near to the hand and this high is held; one that is further away is not."""
_BESIDE_M, _ABOVE_M = 0.1, 0.1
"""A hand within this of the object, and not this far above it, may push it over on its way."""
_OPEN, _CLOSED = 0.9, 0.7
"""Of the fingers' full opening: what is above is open, what is below closed."""


class MetaworldExpert:
    """Meta-World's scripted expert for the task's scene.

    The expert wants Meta-World's 39 values (this frame, the frame before, the goal). They are filled from the state
    vector by the slices of the RobotSpec; what the robot does not publish is zero. No expert reads the frame before,
    so an action is a function of the state alone.
    """

    name = "metaworld"

    def __init__(self, robot: RobotSpec, task: TaskSpec) -> None:
        """Find the expert.

        Raises:
            SpecError: the robot is not Meta-World's, the package is missing, or the scene has no expert.
        """
        if robot.sim is None or robot.sim.backend != "metaworld":
            raise SpecError(
                f"the scripted operator 'metaworld' cannot drive robot {robot.id!r}",
                "It drives robots whose `sim.backend` is metaworld.",
            )
        try:
            from metaworld.policies import ENV_POLICY_MAP
        except ImportError as error:
            raise SpecError(
                f"the scripted operator 'metaworld' needs the Python package {error.name!r}, which is missing",
                "Install it: pip install metaworld packaging.",
            ) from error
        if task.scene not in ENV_POLICY_MAP:
            raise SpecError(
                f"Meta-World has no scripted expert for the scene {task.scene!r} of task {task.id!r}",
                f"It has one for {', '.join(sorted(ENV_POLICY_MAP))}.",
            )
        # The experts ask for more than the limits and say so at every step; the action is clipped below.
        warnings.filterwarnings("ignore", message="Constant\\(s\\) may be too high", category=UserWarning)
        self._make: Any = ENV_POLICY_MAP[task.scene]
        self._expert: Any = self._make()
        self._robot = robot
        self._lower, self._upper = robot.lower, robot.upper
        spans = robot.sim.observation
        self._spans = [(where, slice(*spans[name])) for name, where in robot.state_slices().items()]
        for name, (begin, end) in spans.items():
            if not (0 <= begin < end <= _FRAME or _FULL - 3 <= begin < end <= _FULL):
                raise SpecError(
                    f"sim.observation[{name!r}] of robot {robot.id!r} is [{begin}, {end}]",
                    f"The scripted operator 'metaworld' knows the present frame [0, {_FRAME}] and the goal "
                    f"[{_FULL - 3}, {_FULL}].",
                )

    def reset(self, seed: int) -> None:
        """Begin an attempt; the expert is deterministic, so ``seed`` changes nothing."""
        self._expert = self._make()

    def act(self, state: Array) -> Array:
        """See ``Expert``; clipped to the robot's limits."""
        observation = self._observation(state)
        action = np.asarray(self._expert.get_action(observation), dtype=np.float64)
        return np.clip(action, self._lower, self._upper)

    def _observation(self, state: Array) -> Array:
        observation = np.zeros(_FULL)
        for where, span in self._spans:
            observation[span] = state[where]
        return observation

    def strayed(self, state: Array) -> bool:
        """See ``Withdraws``: the fingers are closed, and the object is not between them."""
        observation = self._observation(state)
        apart = np.linalg.norm(observation[0:3] - observation[4:7])
        return bool(apart > _AWAY_M and observation[3] < _CLOSED)

    def withdraw(self, state: Array) -> Array | None:
        """See ``Withdraws``: up from the object with the fingers open, unless the fingers hold it in the air.

        The experts begin with open fingers and some of them never open them.
        """
        observation = self._observation(state)
        hand, opening, thing = observation[0:3], observation[3], observation[4:7]
        if np.linalg.norm(hand - thing) < _AT_M and thing[2] > _LIFTED_M:
            return None
        over = bool(np.linalg.norm(hand[:2] - thing[:2]) < _BESIDE_M and hand[2] - thing[2] < _ABOVE_M)
        if opening > _OPEN and not over:
            return None
        return np.clip(np.array([0.0, 0.0, 1.0 if over else 0.0, -1.0]), self._lower, self._upper)


class EnergyExpert:
    """Pushes along the present velocity, which swings an underpowered car or pendulum up.

    Needs a robot with one action and an observation called ``velocity``.
    """

    name = "energy"

    def __init__(self, robot: RobotSpec, task: TaskSpec) -> None:
        """Find the velocity in the state vector.

        Raises:
            SpecError: the robot has no such observation, or more than one action.
        """
        where = robot.state_slices().get("velocity")
        if where is None or robot.action_dim != 1:
            raise SpecError(
                f"the scripted operator 'energy' cannot drive robot {robot.id!r}",
                "It drives robots with one action and an observation called `velocity`.",
            )
        self._velocity = where.start
        self._dim = robot.actions[0]

    def reset(self, seed: int) -> None:
        """Begin an attempt; nothing is random."""

    def act(self, state: Array) -> Array:
        """See ``Expert``."""
        return np.array([self._dim.upper if state[self._velocity] >= 0 else self._dim.lower])


_EXPERTS: dict[str, Callable[[RobotSpec, TaskSpec], Expert]] = {
    MetaworldExpert.name: MetaworldExpert,
    EnergyExpert.name: EnergyExpert,
}


def make_expert(name: str, robot: RobotSpec, task: TaskSpec) -> Expert:
    """A scripted expert by name; ``scripted`` means the one that the TaskSpec names.

    Raises:
        SpecError: it is unknown, the task names none, or it cannot do this task on this robot.
    """
    if name == "scripted":
        if task.operator is None:
            raise SpecError(
                f"task {task.id!r} has no scripted operator",
                "Name one in the TaskSpec (`operator`), or drive yourself.",
            )
        name = task.operator
    if name not in _EXPERTS:
        raise SpecError(
            f"unknown operator {name!r}",
            f"Scripted ones are {', '.join(sorted(_EXPERTS))}, or `scripted` for the task's own; a person's are "
            f"{', '.join(HUMAN)}, or the YAML file of one.",
        )
    return _EXPERTS[name](robot, task)


def make_operator(name: str, robot: RobotSpec, task: TaskSpec, rule: TakeoverRule = WHEN_WANTED) -> ScriptedOperator:
    """A scripted expert as an operator: it drives from the start, or takes over from a policy by ``rule``.

    Raises:
        SpecError: as ``make_expert``.
    """
    return ScriptedOperator(make_expert(name, robot, task), robot, rule)
