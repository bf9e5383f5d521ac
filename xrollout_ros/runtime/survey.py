"""What a running ROS graph looked like while somebody listened: plain data, read by `xrollout init` and `doctor`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xrollout_ros.runtime.monitor_model import MonitorModel

ROBOT_DESCRIPTION = "/robot_description"
_ONLOOKERS = re.compile(
    r"/(_ros2cli|rviz|rqt|foxglove|rosbag2|rosbridge|robot_state_publisher)|/xrollout/(?!sim_robot$)"
)


@dataclass(frozen=True)
class Endpoint:
    """One publisher or subscription."""

    node: str
    """Full name of its node."""
    type: str
    """``pkg/msg/Type``."""


def is_onlooker(node: str) -> bool:
    """Whether a node only looks, by its full name: it listens to commands, but moves nothing."""
    return _ONLOOKERS.match(node) is not None


@dataclass(frozen=True)
class Stamps:
    """Header stamps against the machine's clock at receipt."""

    age_s: float
    """Median."""
    oldest_s: float
    """Largest age; latched messages of before the survey are left out."""
    zero: int = 0
    """Messages whose stamp was not set; they count in no age."""
    backwards: int = 0
    """Messages whose stamp was before that of the one before."""


@dataclass(frozen=True)
class Heard:
    """Messages of one topic."""

    count: int
    rate_hz: float
    """Mean over the time between the first and the last; 0 for fewer than two messages."""
    sample: Any
    """The last message, or any object with its attributes."""
    stamps: Stamps | None = None
    """None: its type has no header."""
    distinct: int | None = None
    """Images: how many different pictures came, counted up to some dozens."""


@dataclass(frozen=True)
class TopicSurvey:
    """One topic."""

    name: str
    publishers: tuple[Endpoint, ...] = ()
    subscribers: tuple[Endpoint, ...] = ()
    heard: Heard | None = None
    """None: no message came, or nobody listened."""
    problem: str = ""
    """Why nobody could listen; empty: nothing was in the way."""

    @property
    def types(self) -> tuple[str, ...]:
        """Types in use, sorted; more than one is a mistake of somebody's."""
        return tuple(sorted({end.type for end in (*self.publishers, *self.subscribers)}))


@dataclass(frozen=True)
class QosMismatch:
    """A publisher and a subscription that never meet."""

    topic: str
    publisher: str
    subscriber: str
    why: str


@dataclass(frozen=True)
class GraphSurvey:
    """A ROS graph as seen from outside."""

    domain: int
    discovery_range: str
    duration_s: float
    topics: Mapping[str, TopicSurvey] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    """Full names, repeated where several nodes have the same; without the listener's own."""
    qos_mismatches: tuple[QosMismatch, ...] = ()
    clock_jump_s: float = 0.0
    """How far the wall clock moved against the steady clock meanwhile."""
    monitor: MonitorModel | None = None
    """What XRollout's own nodes said of themselves; None: nothing was heard of any."""

    def topic(self, name: str) -> TopicSurvey:
        """A topic; one that is not there has nobody at either end."""
        return self.topics.get(name) or TopicSurvey(name)

    @property
    def robot_description(self) -> str:
        """The URDF on ``/robot_description``; empty: none was heard."""
        heard = self.topic(ROBOT_DESCRIPTION).heard
        return str(getattr(heard.sample, "data", "")) if heard is not None else ""
