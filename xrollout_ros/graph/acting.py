"""Asks a running graph to do things, on behalf of a person who watches it."""

from __future__ import annotations

import getpass
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

from xrollout.msg import OperatorRequest
from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.modes import Request
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.lifecycle import call
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import EVENT

ANSWER_S = 5.0
"""How long a node has for its answer."""
TRIGGERS = ("save_highlight", "emergency_stop", "reset_emergency_stop")
"""Services that are called."""


class Acting:
    """What a person may ask for. Any thread that does not spin the node may call.

    Args:
        node: spun by somebody else.
        person: who asks; as a rule the user of this machine.
    """

    def __init__(self, node: Node, person: str = "") -> None:
        self._person = person or getpass.getuser()
        self._requests = node.create_publisher(OperatorRequest, "request", EVENT)
        self._clients: dict[str, Any] = {name: node.create_client(Trigger, name) for name in TRIGGERS}

    def request(self, what: Request, episode_id: str = "", reason: str = "") -> None:
        """Ask supervisor and manager for a change of mode, or mark the attempt; their state says what came of it.

        Args:
            what: is asked for.
            episode_id: the attempt meant; empty: the running one.
            reason: in words.

        Raises:
            GraphError: nobody listens.
        """
        if not self._requests.get_subscription_count():
            raise GraphError(f"nobody hears the request {what.name}", "Is a graph running in this ROS domain?")
        self._requests.publish(
            OperatorRequest(
                stamp=time_msg(clock.wall_ns()), episode_id=episode_id, request=int(what), operator_id=self._person,
                reason=reason,
            )
        )  # fmt: skip

    def trigger(self, name: str) -> str:
        """Call one of :data:`TRIGGERS`.

        Returns:
            What it says of its success.

        Raises:
            GraphError: it is not there, does not answer, or refuses.
        """
        client = self._clients[name]
        if not client.wait_for_service(ANSWER_S):
            raise GraphError(f"the service {name} is not there", "Is a graph running in this ROS domain?")
        answer = call(client, Trigger.Request(), ANSWER_S, name.replace("_", " "))
        if not answer.success:
            raise GraphError(f"{name}: {answer.message}", "")
        return str(answer.message)
