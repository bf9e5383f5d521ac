"""Whether a checkpoint fits a robot and a task; needs no torch."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.learning.metadata import CheckpointMeta, interface_of
from xrollout_ros.runtime.processors import Pipeline


def check_robot(meta: CheckpointMeta, robot: RobotSpec, path: Path) -> None:
    """Refuse a robot that senses or acts otherwise than the policy's own.

    Raises:
        CheckpointError: naming what differs.
    """
    if meta.interface_hash == robot.interface_hash():
        try:
            Pipeline(meta.processors, robot)
        except ValueError as error:
            raise CheckpointError(
                f"the processors of checkpoint {path} do not fit robot {robot.id!r}: {error}",
                "Give the robot the cameras that it was trained with, or train another checkpoint.",
            ) from error
        return
    asked = interface_of(robot)
    differences = []
    if meta.state != asked["state"] or list(meta.state) != list(asked["state"]):
        state_dim = sum(asked["state"].values())
        differences.append(f"state {meta.state_dim} {_list(meta.state)} against {state_dim} {_list(asked['state'])}")
    if meta.actions != asked["actions"]:
        differences.append(
            f"action {meta.action_dim} ({', '.join(meta.actions)}) against "
            f"{len(asked['actions'])} ({', '.join(asked['actions'])})"
        )
    if not differences:
        differences.append("the policy rate, or a unit, a shape or an action's kind")
    raise CheckpointError(
        f"checkpoint {path} was trained for robot {meta.robot!r} and does not fit robot {robot.id!r}: "
        f"they differ in {'; '.join(differences)}",
        f"Deploy it on {meta.robot!r}, or train a checkpoint from episodes of {robot.id!r}.",
    )


def _list(state: dict[str, int]) -> str:
    return "(" + ", ".join(f"{name}[{size}]" for name, size in state.items()) + ")"


def check_driver(meta: CheckpointMeta, path: Path) -> None:
    """Refuse a policy that sees images: neither the graph nor the in-process loop gives it any yet.

    Raises:
        CheckpointError: naming its cameras.
    """
    if meta.cameras:
        raise CheckpointError(
            f"checkpoint {path} needs images of {', '.join(meta.cameras)}, and policies that see images "
            "cannot be deployed yet",
            "Deploy a checkpoint that was trained from states alone (without --camera).",
        )


def check_task(meta: CheckpointMeta, task: TaskSpec, path: Path) -> None:
    """Refuse another task than the policy's own.

    Raises:
        CheckpointError: it was trained for another task.
    """
    if meta.task != task.id:
        raise CheckpointError(
            f"checkpoint {path} was trained for task {meta.task!r}, asked for is {task.id!r}",
            f"Deploy it with task {meta.task!r}, or train a checkpoint from episodes of {task.id!r}.",
        )
