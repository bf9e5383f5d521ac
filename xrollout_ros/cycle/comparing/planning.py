"""Checks two checkpoints against each other, and plans their comparison."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import xrollout_ros
from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.errors import CheckpointError, SpecError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import full_path, load_robot, load_task
from xrollout_ros.cycle.comparing.trials import FIRST_SEED, ComparisonPlan, PolicyRef, Where
from xrollout_ros.cycle.comparing.verdict import Rules
from xrollout_ros.runtime.engines import DEFAULT_ENGINE, check_engine
from xrollout_ros.sim.faults import check_faults, faults_json, parse_faults


def plan_comparison(
    a: Path,
    b: Path,
    *,
    rules: Rules,
    clock: Clock,
    where: Where = "process",
    task: str = "",
    robot: str = "",
    starts: Mapping[str, float] | None = None,
    first_seed: int = FIRST_SEED,
    faults: str = "",
    engine: str = DEFAULT_ENGINE,
) -> ComparisonPlan:
    """Plan a comparison of the checkpoint ``b``, the new one, with ``a``, the one that is deployed.

    Args:
        a: checkpoint.
        b: checkpoint.
        rules: when B is better.
        clock: stamps the plan.
        where: the trials are made.
        task: TaskSpec id or file; empty: the checkpoints'.
        robot: RobotSpec id or file; empty: theirs.
        starts: share of each named start distribution; none: all of the task's alike.
        first_seed: of the first pair's start.
        faults: what happens in each trial, as ``sim.faults.parse_faults`` takes it.
        engine: inference engine.

    Raises:
        CheckpointError: one is missing or damaged, they are the same, or for different tasks or robots.
        SpecError: an argument is wrong or unknown.
    """
    from xrollout_ros.learning.compatibility import check_driver, check_robot, check_task
    from xrollout_ros.learning.metadata import read_meta

    metas, refs = [read_meta(path) for path in (a, b)], [PolicyRef.of(path) for path in (a, b)]
    if refs[0].checkpoint_hash == refs[1].checkpoint_hash:
        raise CheckpointError(
            f"{a} and {b} are the same policy (hash {refs[0].checkpoint_hash[:12]})", "Compare two different ones."
        )
    task_spec, robot_spec = load_task(task or metas[0].task), load_robot(robot or metas[0].robot)
    for path, meta in zip((a, b), metas, strict=True):
        check_task(meta, task_spec, path)
        check_robot(meta, robot_spec, path)
        check_driver(meta, path)
    check_engine(engine)
    shares = dict(starts) if starts else dict.fromkeys(task_spec.starts, 1.0)
    for name in shares:
        if name not in task_spec.starts:
            raise SpecError(
                f"task {task_spec.id!r} has no start {name!r}", f"It has {', '.join(sorted(task_spec.starts))}."
            )
    happening = parse_faults(faults)
    if happening and robot_spec.sim is None:
        raise SpecError(f"faults {faults!r}: robot {robot_spec.id!r} is a real one", "Leave them out.")
    if robot_spec.sim is not None:
        check_faults(happening, robot_spec, movable=robot_spec.sim.backend == "metaworld")
    elif where == "process":
        raise SpecError(f"robot {robot_spec.id!r} is a real one: its trials are made in the graph", "Use --in graph.")
    return ComparisonPlan(
        comparison_id=new_id(),
        a=refs[0],
        b=refs[1],
        task=full_path(task) or task_spec.id,
        robot=full_path(robot) or robot_spec.id,
        starts=shares,
        first_seed=first_seed,
        faults=faults_json(happening),
        engine=engine,
        where=where,
        rules=rules,
        created_at=utc_now(clock),
        software_version=xrollout_ros.__version__,
    )
