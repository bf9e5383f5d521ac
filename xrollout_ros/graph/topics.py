"""The graph's own topics as data: name, type, QoS, and whether one node alone writes to it."""

from __future__ import annotations

from typing import NamedTuple

NAMESPACE = "/xrollout"


class Topic(NamedTuple):
    """One topic."""

    name: str
    type: str
    qos: str
    """``stream``, ``command``, ``event`` or ``latched`` of :mod:`xrollout_ros.graph.qos`."""
    one_writer: bool = True
    """Only then do sequence numbers tell what was lost."""


OWN = (
    Topic("chunk", "xrollout/msg/ActionChunk", "command"),
    Topic("recovery/chunk", "xrollout/msg/ActionChunk", "command"),
    Topic("command", "xrollout/msg/Command", "event"),
    Topic("supervisor/state", "xrollout/msg/SupervisorState", "latched"),
    Topic("supervisor/event", "xrollout/msg/SafetyEvent", "event"),
    Topic("teleop/command", "xrollout/msg/TeleopCommand", "command"),
    Topic("request", "xrollout/msg/OperatorRequest", "event", one_writer=False),
    Topic("emergency_stop_request", "std_msgs/msg/Bool", "event", one_writer=False),
    Topic("policy/status", "xrollout/msg/PolicyStatus", "stream"),
    Topic("episode", "xrollout/msg/EpisodeState", "latched"),
    Topic("recorder/status", "xrollout/msg/RecorderStatus", "latched"),
    Topic("upload/status", "xrollout/msg/UploadStatus", "latched"),
    Topic("failure", "xrollout/msg/FailureTag", "event"),
    Topic("flywheel", "xrollout/msg/FlywheelState", "latched"),
    Topic("heartbeat", "xrollout/msg/Heartbeat", "event", one_writer=False),
    Topic("sim/step", "xrollout/msg/SimStep", "event"),
    Topic("scene", "visualization_msgs/msg/MarkerArray", "event"),
)
"""Relative names, under the namespace."""

SYSTEM = (
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", "event", one_writer=False),
    Topic("/rosout", "rcl_interfaces/msg/Log", "event", one_writer=False),
    Topic("/joint_states", "sensor_msgs/msg/JointState", "stream", one_writer=False),
    Topic("/robot_description", "std_msgs/msg/String", "latched"),
    Topic("/tf", "tf2_msgs/msg/TFMessage", "event", one_writer=False),
    Topic("/tf_static", "tf2_msgs/msg/TFMessage", "latched", one_writer=False),
)
"""Topics of any robot that every bag should have, where somebody publishes them."""


def resolve(name: str) -> str:
    """The full name of a topic or service of this graph."""
    return name if name.startswith("/") else f"{NAMESPACE}/{name}"
