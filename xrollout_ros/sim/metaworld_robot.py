"""Meta-World's Sawyer scenes (Yu et al., 2019; Farama ``metaworld`` 3) as a simulated robot."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Shape
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.core.task import StartSpec, TaskSpec
from xrollout_ros.sim.backend import MAX_REDRAWS, Frame, check_action_box, success_of
from xrollout_ros.sim.metaworld_touch import Touch
from xrollout_ros.sim.start_box import StartBox
from xrollout_ros.sim.truth import Truth

MAX_DRAWS = 10_000
"""Draws in one reset before a box from which the scene rejects everything is refused."""


class MetaworldBackend:
    """One Meta-World scene, its goal observable.

    Meta-World gives the same start for ever unless it is told otherwise, so the start is drawn here, from a generator
    of the attempt's own. Its reset draws twice and wipes the simulator's state in between; only the second draw
    counts, and nothing of earlier attempts is left.
    """

    def __init__(self, robot: RobotSpec, task: TaskSpec, cameras: Sequence[CameraSpec]) -> None:
        """Build the scene.

        Raises:
            SpecError: a package is missing, the scene is unknown, or robot and scene disagree.
        """
        if cameras:
            from xrollout_ros.sim.rendering import choose_gl

            choose_gl()
        try:
            import mujoco
            from gymnasium.spaces import Box
            from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        except ImportError as error:
            raise SpecError(
                f"robot {robot.id!r} is simulated by Meta-World, whose Python package {error.name!r} is missing",
                "Install it: pip install metaworld packaging.",
            ) from error
        if task.scene not in ALL_V3_ENVIRONMENTS:
            raise SpecError(
                f"task {task.id!r} names the scene {task.scene!r}, which Meta-World does not have",
                f"It has {', '.join(sorted(ALL_V3_ENVIRONMENTS))}.",
            )
        self._mujoco: Any = mujoco
        self._success_key = robot.sim.success if robot.sim else "success"
        env: Any = ALL_V3_ENVIRONMENTS[task.scene]()
        self._env = env
        repeat = robot.sim.repeat if robot.sim else 1
        lasts = env.dt * repeat
        if abs(lasts - 1 / robot.policy_rate_hz) > 1e-9:
            raise SpecError(
                f"policy_rate_hz {robot.policy_rate_hz:g} of robot {robot.id!r} does not fit Meta-World",
                f"Its step lasts {env.dt:g} s, with sim.repeat {repeat} a row lasts {lasts:g} s: set {1 / lasts:g}.",
            )
        check_action_box(robot, env.action_space.low, env.action_space.high, f"the scene {task.scene!r}")
        env._partially_observable = False
        env._set_task_called = True
        # Observed goals are clipped to this space, which would falsify those of a wider start.
        env.goal_space = Box(-np.inf, np.inf, (3,), np.float64)
        env.__dict__.pop("sawyer_observation_space", None)
        # The attempt's length is limited by the task, not by the scene.
        env.max_path_length = sys.maxsize
        env._get_state_rand_vec = self._draw
        self._nominal = StartBox(
            env._random_reset_space.low.astype(np.float64), env._random_reset_space.high.astype(np.float64)
        )
        self._box = self._nominal
        self._random = np.random.default_rng(0)
        self._draws = 0
        self._start_outside = False
        self._touch = Touch(env)
        self._renderer: Any = None
        self._scene: Any = None
        if cameras:
            from xrollout_ros.sim.rendering import SceneRenderer

            self._renderer = SceneRenderer(env.model, env.data, cameras)

    @property
    def observation_size(self) -> int:
        return int(self._env.sawyer_observation_space.shape[0])

    def reset(self, seed: int, start: StartSpec) -> Frame:
        """See ``Backend``.

        Raises:
            SpecError: the start names an unknown quantity, or nothing it draws is a start that is not yet a success.
        """
        env = self._env
        self._box = self._nominal.shaped(start, env.mocap_low, env.mocap_high)
        self._random = np.random.default_rng(seed)
        for _ in range(MAX_REDRAWS):
            observation = self._reset_once()
            _, info = env.evaluate_state(observation, np.zeros(4, dtype=np.float32))
            if not success_of(info, False, self._success_key):
                return Frame(observation, success=False, ended=False)
        raise SpecError(
            f"{MAX_REDRAWS} starts in a row (seed {seed}) satisfied success before any command",
            "Move the start's `ranges` of object and goal apart.",
        )

    def step(self, action: Array) -> Frame:
        observation, _, _, truncated, info = self._env.step(action)
        success = success_of(info, False, self._success_key)
        return Frame(np.asarray(observation, dtype=np.float64), success, ended=bool(truncated))

    def truth(self) -> Truth:
        """See ``faulty_robot.Tamperable``."""
        return self._touch.truth(self._start_outside)

    def push_object(self, x: float, y: float) -> None:
        """See ``faulty_robot.Tamperable``."""
        self._touch.push_object(x, y)

    def set_grip(self, share: float) -> None:
        """See ``faulty_robot.Tamperable``."""
        self._touch.set_grip(share)

    def shapes(self) -> tuple[Shape, ...]:
        if self._scene is None:
            from xrollout_ros.sim.metaworld_shapes import SceneShapes

            self._scene = SceneShapes(self._env)
        shapes: tuple[Shape, ...] = self._scene.now()
        return shapes

    def render(self, camera: str) -> npt.NDArray[np.uint8]:
        image: npt.NDArray[np.uint8] = self._renderer.render(camera)
        return image

    def close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self._env.close()

    def _reset_once(self) -> Array:
        self._draws = 0
        observation, _ = self._env.reset()
        # Meta-World moves bodies of the model after its last pass; without this the scene would lag by one step.
        self._mujoco.mj_forward(self._env.model, self._env.data)
        return np.asarray(observation, dtype=np.float64)

    def _draw(self) -> Array:
        """Stand in for Meta-World's own draw, which a scene repeats until it likes the result."""
        self._draws += 1
        if self._draws > MAX_DRAWS:
            raise SpecError(
                f"the scene rejected {MAX_DRAWS} starts drawn from {self._box}",
                "It wants object and goal apart: move the start's `ranges` of the two apart.",
            )
        start = self._box.draw(self._random)
        low, high = self._nominal.low[:3], self._nominal.high[:3]
        self._start_outside = bool((start[:3] < low).any() or (start[:3] > high).any())
        return start
