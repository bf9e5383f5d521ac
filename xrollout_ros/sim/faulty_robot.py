"""A simulated robot to which things happen: faults between what is sent and moved, is there and sensed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Source
from xrollout_ros.core.ports import SimObservation
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.sim.faults import (
    ActionDelay,
    ActionNoise,
    Fault,
    GripperSlip,
    ObjectBump,
    SensorDropout,
    WrongGoal,
    check_faults,
    faults_json,
)
from xrollout_ros.sim.robot import BackedRobot
from xrollout_ros.sim.truth import PrivateLog, Truth

_NEAR_M = 0.1
_LIFTED_M = 0.03


@runtime_checkable
class Tamperable(Protocol):
    """A simulator whose world can be looked at and touched."""

    def truth(self) -> Truth:
        """The scene as it really is."""
        ...

    def push_object(self, x: float, y: float) -> None:
        """Move the object along the table, m."""
        ...

    def set_grip(self, share: float) -> None:
        """Leave so much of the friction between fingers and object: 1 all of it."""
        ...


@dataclass
class _Running:
    """One fault in one attempt."""

    fault: Fault
    random: np.random.Generator
    begin: int | None = None
    """Step; None: what must happen first has not."""
    end: float = np.inf
    active: bool = False
    last: Mapping[str, Array] = field(default_factory=dict)
    """What was sensed when a dropout began."""
    offset: Array = field(default_factory=lambda: np.zeros(3))
    noise: Array | None = None
    spared: bool = False
    """Whoever drives now is not to have it."""


class FaultyRobot:
    """``core.ports.SimRobot`` around another one. A seed and a fault give the same attempt wherever it is made.

    What the simulator alone knows is in ``log``. It goes into nothing that a robot would publish.
    """

    def __init__(self, inner: BackedRobot, robot: RobotSpec, faults: tuple[Fault, ...] = (), *, watch: bool = False):
        """
        Args:
            inner: the robot as it would be.
            robot: its spec.
            faults: see :meth:`inject`.
            watch: keep a private log even of attempts without a fault.

        Raises:
            SpecError: as :meth:`inject`.
        """
        self._inner, self._robot, self._watch = inner, robot, watch
        backend = inner.backend
        self._world: Tamperable | None = backend if isinstance(backend, Tamperable) else None
        self._half = (robot.upper - robot.lower) / 2
        self._half[[dim.kind is ActionKind.GRIPPER for dim in robot.actions]] = 0.0
        self.log: PrivateLog | None = None
        """Of the present attempt; None: nothing is being watched."""
        self._faults: tuple[Fault, ...] = ()
        self._running: list[_Running] = []
        self._sent: list[Array] = []
        self._step = 0
        self._over = False
        self.inject(faults)

    def inject(self, faults: tuple[Fault, ...]) -> None:
        """These happen in the attempts to come, and no others.

        Raises:
            SpecError: a fault cannot happen to this robot.
        """
        check_faults(faults, self._robot, movable=self._world is not None)
        self._faults = faults

    def reset(self, seed: int, start: str) -> SimObservation:
        """See ``SimRobot``."""
        if self._world is not None:
            self._world.set_grip(1.0)
        now = self._inner.reset(seed, start)
        self._step, self._sent, self._over = 0, [], False
        self._running = [self._drawn(fault, number, seed) for number, fault in enumerate(self._faults)]
        self._running = [each for each in self._running if each.random.random() < each.fault.probability]
        self.log = PrivateLog(faults_json(self._faults), seed) if self._watch or self._faults else None
        return self._seen(now)

    def driven_by(self, source: Source) -> None:
        """See ``KnowsDriver``: faults that are for the policy alone are over once somebody else drives."""
        if source not in (Source.OPERATOR, Source.RECOVERY):
            return
        for running in self._running:
            if running.fault.spares_operator and not running.spared:
                running.spared = True
                if self.log is not None and running.active:
                    self._switch(running, self.log, on=False)

    def step(self, action: npt.ArrayLike) -> SimObservation:
        """See ``SimRobot``."""
        if self.log is None:
            return self._inner.step(action)
        values = np.asarray(action, dtype=np.float64)
        if values.shape == (self._robot.action_dim,):  # anything else is refused below
            self._sent.append(values)
            values = self._moved(values)
        now = self._inner.step(values)
        self._step = now.step
        return self._seen(now)

    def close(self) -> None:
        """See ``SimRobot``."""
        self._inner.close()

    def _drawn(self, fault: Fault, number: int, seed: int) -> _Running:
        running = _Running(fault, np.random.default_rng([seed, number, zlib.crc32(fault.kind.encode())]))
        if isinstance(fault, (ObjectBump, WrongGoal)):
            angle = running.random.uniform(0, 2 * np.pi)
            running.offset = fault.distance_m * np.array([np.cos(angle), np.sin(angle), 0.0])
        return running

    # --- what is done ---------------------------------------------------------------------------------------------

    def _moved(self, action: Array) -> Array:
        """What the motors do of what was sent."""
        # What is late comes from before the other faults, whatever order they were named in.
        for running in sorted(self._running, key=lambda each: not isinstance(each.fault, ActionDelay)):
            fault = running.fault
            if not running.active:
                continue
            if isinstance(fault, ActionDelay):
                late = len(self._sent) - 1 - fault.steps
                action = self._sent[late] if late >= 0 else np.zeros_like(action)
            elif isinstance(fault, ActionNoise):
                action = np.clip(action + self._noise(running, fault), self._robot.lower, self._robot.upper)
            elif isinstance(fault, ObjectBump) and self._world is not None:
                x, y, _ = running.offset / max(1.0, running.end - (running.begin or 0))
                self._world.push_object(float(x), float(y))
        return action

    def _noise(self, running: _Running, fault: ActionNoise) -> Array:
        fresh = running.random.standard_normal(self._robot.action_dim)
        kept = fault.correlation
        before = running.noise
        running.noise = fresh if before is None else kept * before + np.sqrt(1 - kept**2) * fresh
        return fault.share * self._half * running.noise

    # --- what is sensed -------------------------------------------------------------------------------------------

    def _seen(self, now: SimObservation) -> SimObservation:
        log = self.log
        if log is None:
            return now
        if self._world is not None:
            log.see(now.step, self._world.truth())
        values = dict(now.values)
        for running in self._running:
            self._tick(running, log, values)
            fault = running.fault
            if not running.active:
                continue
            if isinstance(fault, WrongGoal):
                values[fault.observation] = values[fault.observation] + running.offset
            elif isinstance(fault, SensorDropout):
                values.update(running.last)
        if now.done:
            log.end(now.step, now.success)
        return replace(now, values=values)

    def _tick(self, running: _Running, log: PrivateLog, values: Mapping[str, Array]) -> None:
        """Begin or end a fault at this step."""
        fault, rate = running.fault, self._robot.policy_rate_hz
        if running.begin is None and self._happened(fault.after, log):
            running.begin = self._step + round(running.random.uniform(*fault.delay_s) * rate)
            if fault.lasts_s is not None:
                running.end = running.begin + max(1, round(fault.lasts_s * rate))
        wanted = not running.spared and running.begin is not None and running.begin <= self._step < running.end
        if wanted == running.active:
            return
        self._switch(running, log, on=wanted)
        if isinstance(fault, SensorDropout):
            running.last = {name: values[name] for name in fault.observations or tuple(values)}

    def _switch(self, running: _Running, log: PrivateLog, *, on: bool) -> None:
        fault, running.active = running.fault, on
        facts: dict[str, Any] = {"kind": fault.kind}
        log.add(self._step, "fault_begun" if on else "fault_ended", **facts)
        if isinstance(fault, GripperSlip) and self._world is not None:
            self._world.set_grip(1.0 - fault.loss if on else 1.0)

    def _happened(self, trigger: str, log: PrivateLog) -> bool:
        if trigger == "near":
            return log.distance_m <= _NEAR_M
        if trigger == "grasp":
            return log.held
        if trigger == "lift":
            return log.held and log.raised_m >= _LIFTED_M
        return True
