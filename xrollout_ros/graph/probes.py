"""What ROS itself knows of a running graph: who is at the ends of a topic, and whether they meet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import QoSCompatibility, qos_check_compatible

from xrollout_ros.graph.topics import NAMESPACE
from xrollout_ros.runtime.survey import Endpoint, QosMismatch


class QosReport(NamedTuple):
    """Whether publishers and subscriptions meet."""

    mismatches: tuple[QosMismatch, ...]
    own_pairs: int
    """Pairs looked at in which both are nodes of XRollout."""


def full_name(info: Any) -> str:
    """Full name of an endpoint's node."""
    return f"{info.node_namespace.rstrip('/')}/{info.node_name}"


def endpoints(infos: Iterable[Any], without: str = "") -> tuple[Endpoint, ...]:
    """What rclpy tells about publishers or subscriptions, without those of the node ``without``."""
    return tuple(Endpoint(full_name(info), info.topic_type) for info in infos if full_name(info) != without)


def check_qos(node: Node, topics: Iterable[str] | None = None) -> QosReport:
    """Compare every publisher with every subscription of each topic.

    Args:
        node: asks; its own endpoints are looked at too.
        topics: full names; None: all that there are.
    """
    names = [name for name, _ in node.get_topic_names_and_types()] if topics is None else topics
    mismatches, own_pairs = [], 0
    for topic in names:
        subscriptions = node.get_subscriptions_info_by_topic(topic)
        for publisher in node.get_publishers_info_by_topic(topic):
            for subscription in subscriptions:
                fits, why = qos_check_compatible(publisher.qos_profile, subscription.qos_profile)
                # An enumeration of C++: equal, not identical.
                if fits == QoSCompatibility.ERROR:
                    mismatches.append(QosMismatch(topic, full_name(publisher), full_name(subscription), why))
                own_pairs += publisher.node_namespace == subscription.node_namespace == NAMESPACE
    return QosReport(tuple(mismatches), own_pairs)
