"""The in-process loop: the graph's own logic, stepped, without ROS. A seed gives the same attempt here and there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from xrollout_ros.core.chunk import ActionChunk, Array, Command, Observation, SafetyEvent
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Mode, Severity
from xrollout_ros.core.ports import KnowsDriver, Operator, Policy, SimRobot
from xrollout_ros.core.recoveries import LEARNED
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.engines import DEFAULT_ENGINE, make_engine
from xrollout_ros.runtime.engines.control import Control
from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.operators.session import TeleopSession
from xrollout_ros.runtime.processors import Pipeline, Processing
from xrollout_ros.runtime.supervisor import Supervisor

_EPISODE = "in-process"


@dataclass
class Attempt:
    """What one attempt was."""

    outcome: Outcome
    steps: int
    commands: list[Command] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    """The observation behind each command, ``(D,)``."""
    events: list[SafetyEvent] = field(default_factory=list)

    @property
    def actions(self) -> Array:
        """``(T, A) float64`` as sent."""
        return np.array([command.action for command in self.commands])


class _Driver:
    """A policy with all that its node in the graph has."""

    def __init__(self, policy: Policy, engine: Engine, robot: RobotSpec, episode_id: str, seed: int) -> None:
        self.processing = Processing(Pipeline(policy.info.processors, robot), robot)
        self.control = Control()
        self._engine = engine
        self._engine.begin(episode_id, seed)

    def answer(self, observation: Observation) -> ActionChunk:
        seen = self.processing(observation)
        assert seen is not None, "each step is a tick"
        return self._engine.answer(seen)

    def told(self, command: Command, *, given: bool) -> None:
        if self.control.told(command.episode_id, given=given):
            self._engine.control_given(command.stamp_ns)


def run_attempt(
    sim: SimRobot,
    robot: RobotSpec,
    seed: int,
    start: str,
    *,
    policy: Policy | None = None,
    operator: Operator | None = None,
    engine: str = DEFAULT_ENGINE,
    delay_steps: int = 0,
    recovery: Policy | None = None,
    policy_seed: int | None = None,
    on_step: Callable[[Observation, Command], None] | None = None,
    episode_id: str = _EPISODE,
) -> Attempt:
    """One attempt in the stepped drive.

    Args:
        sim: the simulated robot.
        robot: its spec.
        seed: seed of the start, and of the policy's randomness.
        start: named start distribution of the task.
        policy: who drives, if there is one.
        operator: who drives, or may take over from the policy.
        engine: inference engine, one of ``runtime.engines.ENGINES``.
        delay_steps: simulated inference delay in policy steps.
        recovery: who drives in a learned recovery; without it, one fails for want of actions.
        policy_seed: seed of the policy's randomness, where it is to be another than the start's.
        on_step: sees each observation with the command that answered it.
        episode_id: which attempt it is; says whether its alarms are only told (an audit).

    Raises:
        ValueError: neither a policy nor an operator was given.
        SpecError: there is no such engine, or a policy needs images.
    """
    if policy is None and operator is None:
        raise ValueError("give a policy, an operator, or both")
    for each in (policy, recovery):
        if each is not None and each.info.cameras:
            raise SpecError(
                f"policy {each.info.policy_id} needs images of {', '.join(each.info.cameras)}, "
                "which this loop does not give",
                "Give a policy that was trained from states alone.",
            )
    supervisor = Supervisor(robot, stepped=True)
    noise = seed if policy_seed is None else policy_seed

    def driving(by: Policy | None) -> _Driver | None:
        if by is None:
            return None
        return _Driver(by, make_engine(engine, by, robot, delay_steps=delay_steps), robot, episode_id, noise)

    main, second = driving(policy), driving(recovery if robot.safety.learned else None)
    session = TeleopSession(operator, stepped=True) if operator is not None else None
    if session is not None and operator is not None:
        session.begin(episode_id, operator.name, seed, policy=policy is not None)
    supervisor.begin(episode_id, has_policy=policy is not None, operator=operator.name if operator is not None else "")
    attempt = Attempt(Outcome.FAILURE, 0)
    now = sim.reset(seed, start)
    while not now.done:
        stamp_ns = now.step * robot.policy_period_ns
        observation = Observation(episode_id, now.step, stamp_ns, robot.state_vector(now.values))
        for name in robot.measured:
            supervisor.measured(name, now.values[name])
        if main is not None:
            supervisor.submit_chunk(main.answer(observation))
        if session is not None:
            action = session.answer(observation, stamp_ns)
            assert action is not None, "a stepped operator always answers"
            supervisor.submit_operator(action, stamp_ns)
        if second is not None:
            if second.control.given:
                supervisor.submit_recovery_chunk(second.answer(observation))
            else:
                second.processing(observation)
        tick = supervisor.tick(stamp_ns, now.step)
        attempt.events += tick.events
        assert tick.command is not None, "a stepped tick of a running attempt always commands"
        if session is not None:
            session.told(tick.command.mode, None)
            session.sent(tick.command.action, tick.command.help_wanted)
        if main is not None:
            main.told(tick.command, given=tick.command.mode is Mode.AUTONOMOUS)
        if second is not None:
            second.told(tick.command, given=tick.command.recovery == LEARNED)
        attempt.commands.append(tick.command)
        attempt.states.append(observation.state)
        if on_step is not None:
            on_step(observation, tick.command)
        if supervisor.mode is Mode.HOLD and any(event.severity >= Severity.ABORT for event in tick.events):
            attempt.outcome = Outcome.ABORT
            break
        if isinstance(sim, KnowsDriver):
            sim.driven_by(tick.command.source)
        now = sim.step(tick.command.action)
    else:
        attempt.outcome = Outcome.SUCCESS if now.success else Outcome.FAILURE
    attempt.steps = now.step
    return attempt
