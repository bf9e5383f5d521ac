"""The executor that every node is turned by."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import rclpy
from rclpy.node import Node

from xrollout_ros.graph.spinning import SpinThread, make_executor

pytestmark = [pytest.mark.graph, pytest.mark.timeout(60)]


@pytest.fixture
def node(ros_domain: dict[str, str]) -> Iterator[Node]:
    context = rclpy.Context()
    rclpy.init(context=context)
    node = Node("turned", context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


@pytest.mark.parametrize("waits", [False, True])
def test_what_a_callback_raises_ends_the_node(node: Node, waits: bool) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    executor = make_executor(node.context, waits=waits)
    executor.add_node(node)
    node.create_timer(0.001, fail)
    with pytest.raises(RuntimeError, match="broken"):
        for _ in range(1000):
            executor.spin_once(timeout_sec=0.1)
    executor.shutdown()


def test_a_turning_thread_leaves_the_processor_to_others(node: Node) -> None:
    executor = make_executor(node.context)
    executor.add_node(node)
    turned = threading.Event()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 10:
            turned.set()

    node.create_timer(0.1, turn)
    spent_s = time.process_time()
    with SpinThread(executor, "turning"):
        assert turned.wait(20)
        # Ten turns take a second or more; a thread that spins while it waits takes all of that.
        assert time.process_time() - spent_s < 0.5
    assert not any(thread.name == "turning" for thread in threading.enumerate())
