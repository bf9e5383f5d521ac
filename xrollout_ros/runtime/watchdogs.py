"""Who must be heard from: the manager, the sensors, whoever holds the enabling switch. All on the steady clock."""

from __future__ import annotations

from xrollout_ros.core.clock import nanoseconds, seconds
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.checks import Finding


class Watchdogs:
    """Notes when each was heard last.

    Args:
        robot: its limits.
        stepped: a simulator that waits has no stale sensors.
    """

    CHECKS = ("manager_heartbeat", "stale", "dead_man")

    def __init__(self, robot: RobotSpec, *, stepped: bool) -> None:
        self._safety = robot.safety
        # Of entries that share a topic the one with the least patience counts.
        self._max_age_s: dict[str, float] = {}
        for entry in () if stepped else robot.observations:
            known = self._max_age_s.get(entry.topic, entry.max_age_s)
            self._max_age_s[entry.topic] = min(known, entry.max_age_s)
        self._begun_ns: int | None = None
        """When the attempt was first looked at."""
        self._manager_ns: int | None = None
        self._sensors_ns: dict[str, int] = {}
        self._enabled_ns: int | None = None
        self._enabled = True

    def begin(self) -> None:
        """An attempt begins: the enabling switch and silent sensors are given their time from now on."""
        self._begun_ns = None
        if self._enabled:
            self._enabled_ns = None

    def manager_seen(self, steady_ns: int) -> None:
        """The manager's heartbeat has come."""
        self._manager_ns = steady_ns

    def sensor_seen(self, topic: str, steady_ns: int) -> None:
        """A message of an observation topic has come."""
        self._sensors_ns[topic] = steady_ns

    def enabling(self, enabled: bool, steady_ns: int) -> None:
        """The enabling signal has come."""
        self._enabled, self._enabled_ns = enabled, steady_ns

    def findings(self, steady_ns: int) -> list[Finding]:
        """Who is silent now."""
        self._begun_ns = steady_ns if self._begun_ns is None else self._begun_ns
        found = (self._manager(steady_ns), self._sensors(steady_ns), self._dead_man(steady_ns))
        return [finding for finding in found if finding is not None]

    def _manager(self, steady_ns: int) -> Finding | None:
        limit_s = self._safety.manager_timeout_s
        silent_s = 0.0 if self._manager_ns is None else seconds(steady_ns - self._manager_ns)
        if silent_s <= limit_s:
            return None
        return Finding("manager_heartbeat", Severity.HOLD, silent_s, limit_s, "the manager is silent; holding")

    def _sensors(self, steady_ns: int) -> Finding | None:
        worst: tuple[float, float, str] | None = None
        for topic, limit_s in self._max_age_s.items():
            age_s = seconds(steady_ns - self._sensors_ns.setdefault(topic, steady_ns))
            if age_s > limit_s and (worst is None or age_s / limit_s > worst[0] / worst[1]):
                worst = (age_s, limit_s, topic)
        if worst is None:
            return None
        age_s, limit_s, topic = worst
        # A sensor that was silent before the attempt holds the robot, but does not end the attempt at once.
        since_ns = max(self._begun_ns or 0, steady_ns - nanoseconds(age_s - limit_s))
        return Finding("stale", Severity.HOLD, age_s, limit_s, f"{topic} is stale; holding", since_ns)

    def _dead_man(self, steady_ns: int) -> Finding | None:
        spec = self._safety.dead_man
        if spec is None:
            return None
        if self._enabled_ns is None:
            self._enabled_ns = steady_ns
        severity = Severity.STOP if spec.severity == "stop" else Severity.HOLD
        silent_s = seconds(steady_ns - self._enabled_ns)
        if not self._enabled:
            return Finding("dead_man", severity, 0, 1, f"the enabling switch on {spec.topic} was released")
        if silent_s > spec.timeout_s:
            return Finding("dead_man", severity, silent_s, spec.timeout_s, f"{spec.topic} is silent")
        return None
