"""Any Gymnasium environment with real-valued observations and actions as a simulated robot."""

from __future__ import annotations

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

STATE_RANGE = "state"
"""Name in ``StartSpec.ranges`` that becomes the reset options ``low`` and ``high`` of the classic control tasks."""


class GymnasiumBackend:
    """The environment ``sim.env_id``, made with the arguments ``sim.make``.

    ``StartSpec.ranges`` go to the environment as reset options under their own names, each a pair; what an
    environment does with an option it does not know is its own affair (most ignore it).
    """

    def __init__(self, robot: RobotSpec, task: TaskSpec, cameras: Sequence[CameraSpec]) -> None:
        """Make the environment.

        Raises:
            SpecError: the package or the environment is missing, its spaces are not boxes of real numbers, or robot
                and environment disagree.
        """
        try:
            import gymnasium
        except ImportError as error:
            raise SpecError(
                f"robot {robot.id!r} is simulated by Gymnasium, whose Python package {error.name!r} is missing",
                "Install it: pip install gymnasium.",
            ) from error
        sim = robot.sim
        assert sim is not None and sim.env_id is not None
        what = f"the environment {sim.env_id!r}"
        if len(cameras) > 1:
            raise SpecError(f"{len(cameras)} cameras were asked for, but {what} gives one image", "Ask for one camera.")
        if cameras:
            from xrollout_ros.sim.rendering import choose_gl

            choose_gl()
        # The task limits an attempt's length, so the environment's own limit is taken off unless it is asked for.
        arguments: dict[str, Any] = {"max_episode_steps": -1, **({"render_mode": "rgb_array"} if cameras else {})}
        try:
            self._env: Any = gymnasium.make(sim.env_id, **{**arguments, **sim.make})
        except (gymnasium.error.Error, ImportError) as error:
            raise SpecError(
                f"{what} of robot {robot.id!r} cannot be made: {error}",
                "`python -c 'import gymnasium; gymnasium.pprint_registry()'` lists those installed; "
                "one of another package is written `module:id`.",
            ) from error
        except TypeError as error:
            raise SpecError(
                f"{what} does not take the arguments sim.make of robot {robot.id!r}: {error}",
                "Mend `sim.make` in the RobotSpec.",
            ) from error
        try:
            for name, space in (
                ("observation", self._env.observation_space),
                ("action", self._env.action_space),
            ):
                if not isinstance(space, gymnasium.spaces.Box):
                    raise SpecError(
                        f"the {name} space of {what} is {space}",
                        "Only Box spaces can be driven as a robot; choose or wrap another environment.",
                    )
            check_action_box(robot, self._env.action_space.low, self._env.action_space.high, what)
        except SpecError:
            self._env.close()
            raise
        self._what = what
        self._success_key = sim.success
        self._action_space = self._env.action_space
        self._cameras = {camera.name: camera for camera in cameras}

    @property
    def observation_size(self) -> int:
        return int(np.prod(self._env.observation_space.shape))

    def reset(self, seed: int, start: StartSpec) -> Frame:
        """See ``Backend``.

        Raises:
            SpecError: the start cannot be had in this environment.
        """
        if start.widen != 1.0:
            raise SpecError(
                f"the start asks to widen by {start.widen:g}, but {self._what} says nothing of its own range",
                "Give `ranges` instead; they become reset options.",
            )
        options: dict[str, Any] = {}
        for name, (low, high) in start.ranges.items():
            options.update({"low": low, "high": high} if name == STATE_RANGE else {name: (low, high)})
        draw: int | None = seed
        for _ in range(MAX_REDRAWS):
            try:
                observation, info = self._env.reset(seed=draw, options=options or None)
            except ValueError as error:
                raise SpecError(
                    f"{self._what} refuses the reset options {options}: {error}", "Mend the start's `ranges`."
                ) from error
            # Many environments report success only with a step, so a missing key is no fault here.
            key = self._success_key
            if key == "terminated" or key.split(".")[0] not in info or not success_of(info, False, key):
                return Frame(_flat(observation), success=False, ended=False)
            draw = None  # go on with the generator that the seed began
        raise SpecError(
            f"{MAX_REDRAWS} starts in a row (seed {seed}) of {self._what} satisfied success before any command",
            "Change the start's `ranges`.",
        )

    def step(self, action: Array) -> Frame:
        shaped = action.reshape(self._action_space.shape).astype(self._action_space.dtype)
        observation, _, terminated, truncated, info = self._env.step(shaped)
        success = success_of(info, bool(terminated), self._success_key)
        return Frame(_flat(observation), success, ended=bool(terminated or truncated))

    def shapes(self) -> tuple[Shape, ...]:
        """None: Gymnasium has no common way to tell what is where."""
        return ()

    def render(self, camera: str) -> npt.NDArray[np.uint8]:
        spec = self._cameras[camera]
        try:
            image = self._env.render()
        except Exception as error:  # each environment draws with a library of its own
            raise SpecError(
                f"{self._what} cannot draw camera {camera!r}: {error}",
                "Install what it names, or do without the camera.",
            ) from error
        if not isinstance(image, np.ndarray) or image.shape != (spec.height, spec.width, 3):
            raise SpecError(
                f"{self._what} draws {getattr(image, 'shape', None)}, not the ({spec.height}, {spec.width}, 3) of "
                f"camera {camera!r} in the RobotSpec",
                "Mend `width` and `height` there, or give them in `sim.make`.",
            )
        return image.astype(np.uint8)

    def close(self) -> None:
        self._env.close()


def _flat(observation: npt.ArrayLike) -> Array:
    return np.asarray(observation, dtype=np.float64).reshape(-1)
