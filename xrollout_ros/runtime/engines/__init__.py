"""Inference engines: when the policy is asked, what its chunk goes on from, and in which thread."""

from __future__ import annotations

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ports import Policy
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.engines.real_time_chunking import RealTimeChunking
from xrollout_ros.runtime.engines.temporal_ensembling import TemporalEnsembling

ENGINES: dict[str, type[Engine]] = {engine.name: engine for engine in (Engine, RealTimeChunking, TemporalEnsembling)}
DEFAULT_ENGINE = RealTimeChunking.name


def check_engine(name: str) -> None:
    """Refuse an engine that is not there.

    Raises:
        SpecError: naming those that are.
    """
    if name not in ENGINES:
        raise SpecError(f"engine is {name!r}", f"Allowed are {', '.join(ENGINES)}.")


def make_engine(
    name: str, policy: Policy, robot: RobotSpec, *, delay_steps: int = 0, clock: Clock | None = None
) -> Engine:
    """The engine of this name.

    Args:
        name: one of ``ENGINES``.
        policy: the policy.
        robot: its spec.
        delay_steps: stepped drive: simulated inference delay in policy steps.
        clock: real time: tells how long an inference took; None: the drive is stepped.

    Raises:
        SpecError: there is no such engine.
    """
    check_engine(name)
    return ENGINES[name](policy, robot, delay_steps, clock)
