"""From what somebody wants to what is sent: no leap, no way out of bounds, no faster and no farther than allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Severity, Source
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding
from xrollout_ros.runtime.fences import Fences
from xrollout_ros.runtime.handover import Blend
from xrollout_ros.runtime.limits import Limiter
from xrollout_ros.runtime.posture import Posture


@dataclass(frozen=True)
class Shaped:
    """One action, ready to be sent."""

    action: Array | None
    """(A,); None: nothing may be sent."""
    clipped: npt.NDArray[np.bool_]
    held: bool
    """The robot holds instead of doing what was wanted."""
    findings: list[Finding]


class Shaper:
    """Applies the handover, the fences and the limits, in this order: the limits have the last word."""

    CHECKS = ("jump", *Fences.COMMANDED, *Limiter.CHECKS)

    def __init__(self, robot: RobotSpec, posture: Posture, fences: Fences) -> None:
        self._severities = {"limit": robot.safety.limit, "rate": robot.safety.rate}
        self._limiter = Limiter(robot)
        self._posture = posture
        self._fences = fences
        self._positions = any(dim.kind is ActionKind.POSITION for dim in robot.actions)
        self._robot = robot
        self.blend: Blend | None = None
        """A handover that has not ended."""

    def begin(self) -> None:
        """An attempt begins."""
        self.blend = None
        self._limiter.reset()

    def rest(self) -> None:
        """Nothing was sent for a while: the robot has come to rest."""
        self._limiter.reset()

    def checks(self, *, driven: bool) -> tuple[str, ...]:
        """Names of the checks that are made on what somebody wants (``driven``), or on holding."""
        return self.CHECKS if driven else self.CHECKS[1:]

    def begin_blend(self, *, keeps_grip: bool, only_positions: bool = False) -> None:
        """Control passes to somebody else, or comes back after a pause.

        Args:
            keeps_grip: the gripper stays as it is until it is commanded.
            only_positions: only where there are positions, from which the robot may be far.
        """
        if self._positions or not only_positions:
            self.blend = Blend(self._robot, keeps_grip=keeps_grip)

    def shape(
        self,
        wanted: Array | None,
        source: Source,
        t_ns: int,
        dt_s: float,
        values: dict[str, Array],
        *,
        steered: bool = False,
        asked: Array | None = None,
    ) -> Shaped:
        """Make one action ready.

        Args:
            wanted: (A,), finite; None: hold.
            source: who wants it.
            t_ns: time of the tick.
            dt_s: time in which the robot may move on, s.
            values: newest values of the observations.
            steered: step by step from where the robot is, as recoveries do that no policy drives: it cannot leap.
            asked: (A,) what ``wanted`` is on its way to: told, or held for, as soon as it is beyond a limit, however
                smoothly the motion would get there; None: ``wanted`` itself.
        """
        findings: list[Finding] = []
        origin = self._posture.origin()
        action = wanted
        if action is not None:
            action, findings = self._driven(action, origin, source, t_ns, dt_s, values, steered)
        if action is not None:
            sent, _, found = self._limit(action, origin, dt_s, asked)
            findings += found
            if max((finding.severity for finding in found), default=Severity.CLIP) is Severity.CLIP:
                self._posture.move()
                self._posture.sent(sent)
                assert wanted is not None
                return Shaped(sent, sent != wanted, False, findings)
        held = self._posture.hold()
        if held is None:
            return Shaped(None, np.zeros(self._robot.action_dim, dtype=np.bool_), True, findings)
        sent, clipped, found = self._limit(held, origin, dt_s)
        self._posture.sent(sent)
        if wanted is None:
            findings += found
        return Shaped(sent, clipped, True, findings)

    def _driven(
        self,
        action: Array,
        origin: Array,
        source: Source,
        t_ns: int,
        dt_s: float,
        values: dict[str, Array],
        steered: bool,
    ) -> tuple[Array | None, list[Finding]]:
        findings: list[Finding] = []
        if self.blend is not None and not steered:
            action = self.blend(action, origin, t_ns, dt_s)
            if self.blend.over:
                self.blend = None
        elif source in (Source.POLICY, Source.RECOVERY) and not steered:
            action, leap = self._fences.jump(action, origin)
            if leap is not None:
                findings.append(leap)
                if leap.severity is not Severity.CLIP:
                    return None, findings
        action, found = self._fences.clip(action, origin, values)
        return action, findings + found

    def _limit(
        self, action: Array, origin: Array, dt_s: float, asked: Array | None = None
    ) -> tuple[Array, npt.NDArray[np.bool_], list[Finding]]:
        sent, clipped, found = self._limiter.apply(action, origin, dt_s)
        if asked is not None and all(each.check != "limit" for each in found):
            beyond = self._limiter.beyond(asked)
            found += [beyond] if beyond is not None else []
        graded = [replace(each, severity=self._severities.get(each.check, each.severity)) for each in found]
        return sent, clipped, graded
