"""The Fast DDS profile at work: every process has it, and images pass through shared memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xrollout_ros.core.resources import share_dir
from xrollout_ros.graph.middleware import NEW, OLD, SEGMENT_BYTES, SHARED_MEMORY, middleware
from xrollout_ros.graph.monitor import observe

from .conftest import Graph, wait_for

pytestmark = [
    pytest.mark.graph,
    pytest.mark.timeout(120),
    pytest.mark.skipif(bool(middleware({}, SHARED_MEMORY).warning), reason="there is too little shared memory"),
    pytest.mark.skipif(
        os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp", reason="not Fast DDS"
    ),
]
NODES = ["sim_robot", "recorder", "supervisor", "policy", "tagger", "manager"]


def largest_segment(pid: int) -> int:
    """Bytes of the largest piece of shared memory of Fast DDS that a process has mapped."""
    sizes = [0]
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if re.search(r"/dev/shm/fast(rtps|dds)_[0-9a-f]+$", line):
            begin, end = line.split()[0].split("-")
            sizes.append(int(end, 16) - int(begin, 16))
    return max(sizes)


def test_every_process_has_the_profile(
    start_graph: Callable[..., Graph], checkpoint: Path, long_task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (OLD, NEW):
        monkeypatch.delenv(name, raising=False)
    graph = start_graph("deploy", model=checkpoint, task=long_task, episodes=1)
    with observe() as observer:
        wait_for(lambda: observer.model().episode is not None, 60, "an attempt has begun")
        pids = {node: graph.pid_of(node) for node in NODES}
        for node, pid in pids.items():
            assert pid is not None, node
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert any(entry.endswith(b"config/fastdds.xml") for entry in environ), node
            assert largest_segment(pid) >= SEGMENT_BYTES, node
        assert largest_segment(os.getpid()) >= SEGMENT_BYTES  # the monitor's
        # All of them hear each other with it. Discovery by this process's observer takes its time.
        heard = lambda: {node.name for node in observer.model().nodes}  # noqa: E731
        wait_for(lambda: set(NODES) <= heard() | {"manager"}, 30, "a heartbeat of every node")
    assert "XMLPARSER" not in graph.output()


SEND = """
import array, sys, threading, time
from xrollout_ros.graph.middleware import prepare
assert not prepare()
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("camera")
publisher = node.create_publisher(Image, "image", qos_profile_sensor_data)
message = Image(height=480, width=640, encoding="rgb8", step=1920, data=array.array("B", bytes(921600)))
deadline = time.monotonic() + 20
while publisher.get_subscription_count() < 1:
    assert time.monotonic() < deadline, "nobody listens"
    time.sleep(0.02)
ended = threading.Thread(target=sys.stdin.readline)
ended.start()
number, due = 0, time.monotonic()
while ended.is_alive():
    message.header.stamp.sec = number
    publisher.publish(message)
    number += 1
    due += 1 / 60
    time.sleep(max(0.0, due - time.monotonic()))
print("sent", flush=True)
"""


def test_images_at_60_hz_arrive_whole(ros_domain: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Best effort over UDP in the default segment, more than half of them were lost here."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image

    for name in (OLD, NEW):
        monkeypatch.delenv(name, raising=False)
        ros_domain.pop(name, None)
    variables, _ = middleware()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(share_dir() / "config" / "fastdds.xml") in variables.values()
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("reader", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    seen: list[tuple[int, int]] = []
    profile = QoSProfile(depth=60, reliability=ReliabilityPolicy.BEST_EFFORT)

    def on_image(message: bytes) -> None:
        # In CDR a header's stamp comes first, after the four bytes that say how it is encoded.
        seen.append((int.from_bytes(message[4:8], "little"), len(message)))

    node.create_subscription(Image, "image", on_image, profile, raw=True)
    with subprocess.Popen(
        [sys.executable, "-c", SEND],
        env=ros_domain,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as sender:

        def turn() -> bool:
            executor.spin_once(timeout_sec=0.05)
            return len(seen) >= 60 or sender.poll() is not None

        try:
            wait_for(turn, 30, "all images")
            assert largest_segment(sender.pid) >= SEGMENT_BYTES
            told, _ = sender.communicate("\n", timeout=10)
        finally:
            sender.kill()
            executor.shutdown()
            node.destroy_node()
            rclpy.try_shutdown(context=context)
    assert told == "sent\n"
    numbers = [number for number, _ in seen]
    # What was sent before the two had found each other is nobody's; from the first that came on, none may be missing.
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and len(numbers) >= 60
    assert min(size for _, size in seen) > 921600
