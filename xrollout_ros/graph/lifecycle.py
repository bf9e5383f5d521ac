"""Brings managed nodes up in order, verifies each state, knows who has died, and takes them down in reverse."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from xrollout.msg import Heartbeat
from xrollout_ros.core.clock import Clock, seconds
from xrollout_ros.core.errors import GraphError
from xrollout_ros.graph.node import ACTIVE, INACTIVE, UNCONFIGURED
from xrollout_ros.graph.qos import EVENT

LOST_S = 1.0
"""Five heartbeats missed: the node is lost."""
CONFIGURE_TIMEOUT_S = 90.0
CALL_TIMEOUT_S = 5.0
_SLICE_S = 0.1
_NAMES = {UNCONFIGURED: "unconfigured", INACTIVE: "inactive", ACTIVE: "active"}
_UP = {
    UNCONFIGURED: (Transition.TRANSITION_CONFIGURE, INACTIVE, "configured", CONFIGURE_TIMEOUT_S),
    INACTIVE: (Transition.TRANSITION_ACTIVATE, ACTIVE, "activated", CALL_TIMEOUT_S),
}
_DOWN = {
    ACTIVE: (Transition.TRANSITION_DEACTIVATE, INACTIVE),
    INACTIVE: (Transition.TRANSITION_CLEANUP, UNCONFIGURED),
}


class StopRequested(Exception):  # noqa: N818 (a request, not an error)
    """The process was told to stop."""


def call(client: Any, request: Any, timeout_s: float, what: str, lost: Callable[[], bool] = lambda: False) -> Any:
    """Call a service from a thread that does not spin.

    Args:
        client: of the service.
        request: what is asked.
        timeout_s: how long to wait.
        what: it is for, in words.
        lost: whether the process that was asked is gone; then nobody waits any longer.

    Raises:
        GraphError: it did not answer in time.
    """
    answered = threading.Event()
    future = client.call_async(request)
    future.add_done_callback(lambda _: answered.set())
    deadline_s = time.monotonic() + timeout_s
    while not answered.wait(min(_SLICE_S, max(0.0, deadline_s - time.monotonic()))):
        if (gone := lost()) or time.monotonic() >= deadline_s:
            client.remove_pending_request(future)
            why = "its process has died" if gone else f"did not answer within {timeout_s:g} s"
            raise GraphError(f"{what}: {client.srv_name}: {why}", "See that node's output.")
    return future.result()


@dataclass
class _Member:
    name: str
    change: Any
    get: Any
    incarnation: str = ""
    seen_ns: int = 0
    state: int = 0
    managed: str = ""
    """Incarnation that was brought up."""


class Members:
    """The managed nodes of a graph.

    Heartbeats come in the executor's thread; ``bring_up`` and ``tear_down`` are called from the manager's own.

    Args:
        node: the manager's node.
        names: managed nodes in the order of bring-up.
        clock: the machine's.
        stop: set when the process shall end.
    """

    def __init__(self, node: Node, names: Sequence[str], clock: Clock, stop: threading.Event) -> None:
        self._node = node
        self._clock = clock
        self._stop = stop
        self.changed = threading.Condition()
        """Notified when anything of note has come; the manager's own thread waits on it."""
        self._members = {
            name: _Member(
                name,
                node.create_client(ChangeState, f"{name}/change_state"),
                node.create_client(GetState, f"{name}/get_state"),
            )
            for name in names
        }
        self._heard_ns = self._woke_ns = clock.steady_ns()
        node.create_subscription(Heartbeat, "heartbeat", self._on_heartbeat, EVENT)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def _on_heartbeat(self, message: Heartbeat) -> None:
        now_ns = self._clock.steady_ns()
        if self._deaf(now_ns):
            self._woke_ns = now_ns
        self._heard_ns = now_ns
        member = self._members.get(message.node)
        if member is None:
            return
        with self.changed:
            # Messages of a process that has been replaced may still be on their way; ULIDs sort by time.
            if message.incarnation < member.incarnation:
                return
            if member.incarnation and message.incarnation != member.incarnation:
                self._node.get_logger().warning(f"{member.name} has been restarted")
            member.incarnation = message.incarnation
            member.seen_ns = self._clock.steady_ns()
            member.state = message.lifecycle_state
            self.changed.notify_all()

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for a condition.

        Raises:
            GraphError: it did not come true in time.
            StopRequested: the process was told to stop.
        """
        deadline_ns = self._clock.steady_ns() + int(timeout_s * 1e9)
        with self.changed:
            while not done():
                if self._stop.is_set():
                    raise StopRequested
                if self._clock.steady_ns() > deadline_ns:
                    raise GraphError(f"{what} within {timeout_s:g} s", "See the output of that node.")
                self.changed.wait(0.05)

    def _alive(self, member: _Member) -> bool:
        now_ns = self._clock.steady_ns()
        # Whoever did not listen, since it was stopped, cannot say that others are silent.
        since_ns = now_ns if self._deaf(now_ns) else max(member.seen_ns, self._woke_ns)
        return member.seen_ns > 0 and seconds(now_ns - since_ns) < LOST_S

    def _deaf(self, now_ns: int) -> bool:
        """Whether not even this process's own heartbeat was heard."""
        return seconds(now_ns - self._heard_ns) > LOST_S / 2

    def lost(self) -> str:
        """Who has died since it was brought up, in words; empty: nobody."""
        for name, member in self._members.items():
            if self.is_replaced(name):
                return f"{member.name} was restarted"
            if not self._alive(member):
                return f"{member.name} has died (no heartbeat for {LOST_S:g} s)"
        return ""

    def is_replaced(self, name: str) -> bool:
        """Whether another process answers for a node than the one brought up; one that is busy may well be silent."""
        member = self._members[name]
        return member.incarnation != member.managed

    def is_lost(self, name: str) -> bool:
        """Whether a node has died, or has been replaced since it was brought up."""
        return self.is_replaced(name) or not self._alive(self._members[name])

    def bring_up(self, timeout_s: float) -> None:
        """Configure and activate, in order, every node that is not active, and verify it.

        Raises:
            GraphError: a node does not come, or refuses.
            StopRequested: the process was told to stop.
        """
        for member in self._members.values():
            while not self._brought_up(member, timeout_s):
                self._node.get_logger().warning(f"{member.name} fell silent while it was brought up; once more")

    def _brought_up(self, member: _Member, timeout_s: float) -> bool:
        """Bring one node up; False: its process died or was stopped on the way; the starter starts another."""
        self.wait(lambda: self._alive(member), timeout_s, f"{member.name} did not come up")
        for client in (member.change, member.get):
            self.wait(client.service_is_ready, timeout_s, f"{client.srv_name} did not appear")
        incarnation = member.incarnation
        try:
            self._raise_to_active(member, lambda: member.incarnation != incarnation)
        except GraphError:
            # Killed, and its successor is not there yet; or stopped for a while.
            if member.incarnation != incarnation or not self._alive(member):
                return False
            raise
        member.managed = incarnation
        return True

    def _raise_to_active(self, member: _Member, died: Callable[[], bool]) -> None:
        state = self._state(member, died=died)
        while state != ACTIVE:
            if state not in _UP:
                raise GraphError(f"{member.name} is in state {_NAMES.get(state, state)}", "Restart the graph.")
            transition, target, verb, timeout_s = _UP[state]
            self._change(member, transition, timeout_s, died)
            state = self._state(member, died=died)
            if state != target:
                raise GraphError(
                    f"{member.name} could not be {verb} (it is {_NAMES.get(state, state)})",
                    "Its own message above says why.",
                )
        self._node.get_logger().info(f"{member.name} is active")

    def _state(
        self, member: _Member, timeout_s: float = CALL_TIMEOUT_S, died: Callable[[], bool] = lambda: False
    ) -> int:
        answer = call(member.get, GetState.Request(), timeout_s, f"state of {member.name}", died)
        return int(answer.current_state.id)

    def _change(
        self, member: _Member, transition: int, timeout_s: float, died: Callable[[], bool] = lambda: False
    ) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        call(member.change, request, timeout_s, f"transition of {member.name}", died)

    def tear_down(self, timeout_s: float) -> None:
        """Deactivate and clean up in reverse order; who is gone or does not answer is passed over, loudly."""
        for member in reversed(self._members.values()):
            if not self._alive(member):
                continue
            try:
                for state, (transition, target) in _DOWN.items():
                    if self._state(member, timeout_s) == state:
                        self._change(member, transition, timeout_s)
                        if self._state(member, timeout_s) != target:
                            self._node.get_logger().error(f"{member.name} did not leave {_NAMES[state]}")
            except GraphError as error:
                self._node.get_logger().warning(f"tear-down: {error.what}")
