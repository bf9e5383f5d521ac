"""A service whose answer takes its time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.node import Node

from xrollout_ros.graph.spinning import SpinThread, make_executor


class SlowService:
    """Serves in a node and a thread of its own, so that whoever offers it goes on with its work meanwhile.

    The executors that turn our nodes cannot answer later: a callback returns the answer, or keeps the executor waiting.

    Args:
        kind: class of the service.
        name: relative to the graph's namespace.
        callback: called in the service's own thread, and may block there.
    """

    def __init__(self, kind: type, name: str, callback: Callable[[Any, Any], Any]) -> None:
        # Without the process's arguments, which would give it the name of the node that it serves.
        self._node = Node(
            f"{name}_service",
            namespace="xrollout",
            use_global_arguments=False,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._node.create_service(kind, name, callback)
        executor = make_executor()
        executor.add_node(self._node)
        self._spinning = ExitStack()
        self._spinning.callback(self._node.destroy_node)
        self._spinning.enter_context(SpinThread(executor, name))

    def close(self) -> None:
        """Serve no more; an answer under way is waited for, a moment."""
        self._spinning.close()
