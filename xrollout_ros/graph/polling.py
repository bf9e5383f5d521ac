"""What a node empties by a timer of its own instead of being woken for each message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node


class Polled(CallbackGroup):
    """Keeps subscriptions and services out of the executor's wait set: they are emptied by a timer instead.

    Waking for each message costs an executor far more than the message; receive times are the middleware's, so
    nothing is lost by taking them a little later.
    """

    def can_execute(self, entity: Any) -> bool:
        """Never by the executor."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never by the executor."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Never by the executor."""

    def never(self, *_: Any) -> None:
        """Stands where rclpy wants a callback."""


class PolledService:
    """A service whose answers may come long after the requests, while the executor does everything else.

    Waiting inside a callback would hold up the executor; a coroutine would make it turn without a rest.
    """

    def __init__(self, node: Node, kind: Any, name: str, group: Polled) -> None:
        self.kind = kind
        self._node = node
        self._service = node.create_service(kind, name, group.never, callback_group=group)

    def requests(self) -> Iterator[tuple[Any, Any]]:
        """Requests that have come, each with what :meth:`answer` needs to know whose it was."""
        while True:
            with self._service.handle:
                request, header = self._service.handle.service_take_request(self.kind.Request)
            if request is None:
                return
            yield request, header

    def answer(self, header: Any, response: Any) -> None:
        """Answer one of them."""
        self._service.send_response(response, header)

    def destroy(self) -> None:
        """Offer it no more."""
        self._node.destroy_service(self._service)
