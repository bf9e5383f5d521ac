"""A simulated robot: a simulator seen through a RobotSpec and a TaskSpec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import SpecError, XRolloutError
from xrollout_ros.core.ports import SimObservation
from xrollout_ros.core.robot import RobotSpec, SimSpec
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.sim.backend import Backend, Frame


class BackedRobot:
    """``core.ports.SimRobot`` over a backend: names, success that lasts, step limit, cameras at their own rate.

    Actions are not clipped here: limits are the supervisor's business, and the simulator keeps its own.
    ``success`` of an observation says that it has lasted for the task's ``hold_steps``.
    """

    def __init__(
        self, robot: RobotSpec, task: TaskSpec, backend: Backend, cameras: Sequence[CameraSpec], shapes: bool
    ) -> None:
        self._robot = robot
        self._task = task
        self._backend = backend
        self._cameras = {camera: max(1, round(robot.policy_rate_hz / camera.rate_hz)) for camera in cameras}
        self._draws_shapes = shapes
        self._repeat = _sim(robot).repeat
        self._shares = np.array([self._repeat if dim.kind is ActionKind.DELTA else 1 for dim in robot.actions])
        self._slices = {entry.name: slice(*_sim(robot).observation[entry.name]) for entry in robot.observations}
        self._shapes = {entry.name: entry.shape for entry in robot.observations}
        for name, span in self._slices.items():
            if not 0 <= span.start < span.stop <= backend.observation_size:
                raise SpecError(
                    f"sim.observation[{name!r}] of robot {robot.id!r} is [{span.start}, {span.stop}], outside the "
                    f"simulator's {backend.observation_size} values",
                    "Mend the slice in the RobotSpec.",
                )
        self.step_limit = round(task.time_limit_s * robot.policy_rate_hz)
        if self.step_limit < 1:
            raise SpecError(
                f"time_limit_s {task.time_limit_s} of task {task.id!r} is shorter than one policy step",
                f"Allowed is at least {1 / robot.policy_rate_hz:g} s.",
            )
        self._step = 0
        self._successes = 0
        self._over = "no attempt was begun"

    @property
    def backend(self) -> Backend:
        """The simulator itself."""
        return self._backend

    def reset(self, seed: int, start: str) -> SimObservation:
        """See ``SimRobot``.

        Raises:
            SpecError: unknown start, or a seed below 0.
        """
        if start not in self._task.starts:
            raise SpecError(
                f"task {self._task.id!r} has no start {start!r}", f"It has {', '.join(sorted(self._task.starts))}."
            )
        if seed < 0:
            raise SpecError(f"seed {seed} is negative", "Give 0 or more.")
        self._over = "the last reset failed"
        frame = self._backend.reset(seed, self._task.starts[start])
        self._step = 0
        self._successes = 0
        return self._observe(frame)

    def step(self, action: npt.ArrayLike) -> SimObservation:
        """See ``SimRobot``.

        Raises:
            SpecError: the action has another shape, is not finite, or the attempt is over.
        """
        if self._over:
            raise SpecError(f"the simulated robot cannot step: {self._over}", "Reset it first.")
        part = self._checked(action) / self._shares
        for _ in range(self._repeat):
            frame = self._backend.step(part)
            if frame.ended:
                break
        self._step += 1
        return self._observe(frame)

    def close(self) -> None:
        """See ``SimRobot``."""
        self._over = "it was closed"
        self._backend.close()

    def _checked(self, action: npt.ArrayLike) -> Array:
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (self._robot.action_dim,):
            raise SpecError(
                f"action of shape {values.shape} for robot {self._robot.id!r}", f"It takes ({self._robot.action_dim},)."
            )
        if not np.isfinite(values).all():
            bad = next(i for i, value in enumerate(values) if not np.isfinite(value))
            raise SpecError(
                f"action {self._robot.actions[bad].name!r} of robot {self._robot.id!r} is {values[bad]}",
                "Every value of an action must be finite.",
            )
        return values

    def _observe(self, frame: Frame) -> SimObservation:
        if not np.isfinite(frame.observation).all():
            self._over = "the simulation became unstable"
            raise XRolloutError(
                f"the simulation of {self._robot.id!r} became unstable at step {self._step}: "
                f"its observation holds {frame.observation[~np.isfinite(frame.observation)][0]}",
                "Reset it with another seed; if it comes back, narrow the start or the action limits.",
            )
        self._successes = self._successes + 1 if frame.success else 0
        success = self._successes >= self._task.success.hold_steps
        done = success or frame.ended or self._step >= self.step_limit
        self._over = f"the attempt was over at step {self._step}" if done else ""
        return SimObservation(
            step=self._step,
            values={name: frame.observation[span].reshape(self._shapes[name]) for name, span in self._slices.items()},
            success=success,
            done=done,
            shapes=self._backend.shapes() if self._draws_shapes else (),
            images={
                camera.name: self._backend.render(camera.name)
                for camera, every in self._cameras.items()
                if self._step % every == 0
            },
        )


def make_sim_robot(
    robot: RobotSpec, task: TaskSpec, *, cameras: Sequence[str] = (), shapes: bool = True
) -> BackedRobot:
    """The simulated robot that the RobotSpec's ``sim`` section describes, set up for a task.

    Args:
        robot: what it senses and how it is commanded.
        task: its scene, starts, success and time limit.
        cameras: names of the RobotSpec's cameras to render; rendering is slow, so none by default.
        shapes: whether observations carry the scene's shapes; without, a step is a little cheaper. The same
            commands give the same observations either way.

    Raises:
        SpecError: the robot is not simulated, a name is unknown, a package is missing, or the specs and the
            simulator disagree.
    """
    sim = _sim(robot)
    known = {camera.name: camera for camera in robot.cameras}
    for name in cameras:
        if name not in known:
            raise SpecError(
                f"robot {robot.id!r} has no camera {name!r}", f"It has {', '.join(sorted(known)) or 'none'}."
            )
    chosen = [known[name] for name in dict.fromkeys(cameras)]
    backend: Backend
    if sim.backend == "metaworld":
        from xrollout_ros.sim.metaworld_robot import MetaworldBackend

        backend = MetaworldBackend(robot, task, chosen)
    else:
        from xrollout_ros.sim.gymnasium_robot import GymnasiumBackend

        backend = GymnasiumBackend(robot, task, chosen)
    try:
        return BackedRobot(robot, task, backend, chosen, shapes)
    except SpecError:
        backend.close()
        raise


def _sim(robot: RobotSpec) -> SimSpec:
    if robot.sim is None:
        raise SpecError(
            f"robot {robot.id!r} has no `sim` section: it is a real robot",
            "Start its own driver, or name a simulated robot.",
        )
    return robot.sim
