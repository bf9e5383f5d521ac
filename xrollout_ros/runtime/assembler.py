"""Puts the messages of several topics together into one observation."""

from __future__ import annotations

from typing import Any

from xrollout_ros.core.chunk import Array, Observation
from xrollout_ros.core.fields import extract
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import ObservationSpec


class ObservationAssembler:
    """Keeps the latest value of every observation entry.

    Stepped: an observation is complete when every entry carries the step's stamp. Real time: when every entry has
    been seen; the fastest sensors lead, slower ones (a camera, say) give what they gave last. Its stamp is the oldest
    one of the leading topics, so that its age is never flattered and a slow sensor does not make an action look late.
    """

    def __init__(self, robot: RobotSpec) -> None:
        self.robot = robot
        self._entries: dict[str, list[ObservationSpec]] = {}
        for entry in robot.observations:
            self._entries.setdefault(entry.topic, []).append(entry)
        fastest_hz = max(entry.rate_hz for entry in robot.observations)
        self._leading = {entry.topic for entry in robot.observations if entry.rate_hz == fastest_hz}
        self._handed_ns = -1
        self._values: dict[str, Array] = {}
        self._stamps: dict[str, int] = {}

    @property
    def topics(self) -> dict[str, str]:
        """Message type of each topic that is needed."""
        return {topic: entries[0].type for topic, entries in self._entries.items()}

    def update(self, topic: str, message: Any, stamp_ns: int) -> None:
        """A message has come.

        Raises:
            SpecError: it does not have the fields that the RobotSpec says.
        """
        for entry in self._entries[topic]:
            self._values[entry.name] = extract(message, entry)
        self._stamps[topic] = stamp_ns

    def at(self, stamp_ns: int, step: int, episode_id: str) -> Observation | None:
        """Stepped: the observation of this step, or None while some of it is still on its way."""
        if len(self._stamps) < len(self._entries) or any(stamp != stamp_ns for stamp in self._stamps.values()):
            return None
        return Observation(episode_id, step, stamp_ns, self.robot.state_vector(self._values))

    @property
    def aligned(self) -> bool:
        """Real time: the leading sensors have all spoken anew, of the same moment (to half a policy period)."""
        if len(self._stamps) < len(self._entries):
            return False
        stamps = [self._stamps[topic] for topic in self._leading]
        return min(stamps) > self._handed_ns and max(stamps) - min(stamps) < self.robot.policy_period_ns // 2

    def latest(self, episode_id: str) -> Observation | None:
        """Real time: the newest values, or None until every topic has been heard."""
        if len(self._stamps) < len(self._entries):
            return None
        stamp_ns = min(self._stamps[topic] for topic in self._leading)
        self._handed_ns = max(self._stamps[topic] for topic in self._leading)
        return Observation(episode_id, 0, stamp_ns, self.robot.state_vector(self._values))

    def missing(self) -> list[str]:
        """Topics not heard so far."""
        return sorted(set(self._entries) - set(self._stamps))
