"""Checkpoints for tests: random weights, for wherever what the policy does is of no matter."""

from __future__ import annotations

from pathlib import Path

import pytest


def make_checkpoint(
    path: Path,
    scale: float = 1.0,
    *,
    robot_id: str = "metaworld_sawyer",
    task_id: str = "pick_and_place",
    max_prefix: int = 0,
) -> Path:
    """A small flow policy of random weights times ``scale``, by default for pick_and_place on the simulated arm.

    Args:
        path: where to write it.
        scale: 0 makes every chunk a little noise.
        robot_id: RobotSpec id or YAML file.
        task_id: TaskSpec id.
        max_prefix: rows that it could have learned to go on from.
    """
    torch = pytest.importorskip("torch")

    from xrollout_ros.core.ids import new_id
    from xrollout_ros.core.resources import load_robot
    from xrollout_ros.learning.checkpoint import save_checkpoint
    from xrollout_ros.learning.metadata import CheckpointMeta, interface_of
    from xrollout_ros.learning.models import build_model
    from xrollout_ros.runtime.processors import Pipeline

    robot = load_robot(robot_id)
    torch.manual_seed(0)
    inputs = {name: entry.size for name, entry in Pipeline(robot.processors, robot).outputs.items()}
    config = {"state_dim": sum(inputs.values()), "action_dim": robot.action_dim, "horizon": 8, "width": 16, "depth": 1}
    config |= {"steps": 5, "max_prefix": max_prefix}
    model = build_model("flow", config, origin="test")
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.mul_(scale)
    interface = interface_of(robot)
    meta = CheckpointMeta(
        policy_id=new_id(),
        architecture="flow",
        config=config,
        robot=robot.id,
        interface_hash=robot.interface_hash(),
        processors=list(robot.processors),
        inputs=inputs if robot.processors else {},
        state=interface["state"],
        actions=interface["actions"],
        task=task_id,
        horizon=8,
        execute=4,
        dataset_version="0" * 64,
        episodes=[],
        software_version="test",
        seed=0,
        training={},
        losses={},
        train_s=0.0,
        created_at="2026-01-01T00:00:00+00:00",
    )
    save_checkpoint(path, model, meta)
    return path
