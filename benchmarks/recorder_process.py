"""A recorder node alone in its process, with what it needs around it: a manager's heartbeat, and someone who sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
import yaml
from common import cpu_s
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from xrollout.msg import Command, Heartbeat
from xrollout.srv import CloseEpisode, OpenEpisode
from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import share_dir
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.description import Process, Value
from xrollout_ros.graph.lifecycle import call
from xrollout_ros.graph.middleware import middleware, prepare
from xrollout_ros.graph.qos import EVENT
from xrollout_ros.graph.starter import arguments_of

JOINTS = "/joint_states"
SENDER = """
import array, json, sys, time
import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
cameras, image_hz, state_hz, seconds = json.loads(sys.argv[1])
rclpy.init()
node = rclpy.create_node("sender")
sensor = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
images = [node.create_publisher(Image, topic, sensor) for topic in cameras]
states = [node.create_publisher(JointState, "/joint_states", sensor)] if state_hz else []
# Like a camera's: a scene that moves, with noise in the last bits.
y, x = np.mgrid[0:480, 0:640]
noise = np.random.default_rng(0)
def scene(number):
    moved = x[..., None] + 3 * number
    return 100 + 80 * np.sin(moved / np.array([60, 90, 120])) * np.cos(y[..., None] / 70)
frames = [
    array.array("B", (scene(number) + noise.integers(0, 4, (480, 640, 3))).astype(np.uint8).tobytes())
    for number in range(48)
]
message = Image(height=480, width=640, encoding="rgb8", step=1920)
state = JointState(name=[f"joint{i}" for i in range(6)], position=[0.0] * 6, velocity=[0.0] * 6)
publishers = [*images, *states]
patience = time.monotonic() + 60
while not all(publisher.get_subscription_count() for publisher in publishers):
    if time.monotonic() > patience:
        sys.exit("nobody subscribes to what the sender has")
    time.sleep(0.02)
time.sleep(0.3)
print("ready", flush=True)
if sys.stdin.readline() != "go\\n":
    sys.exit(1)
begin = time.monotonic()
due = [begin + number / (len(images) or 1) / (image_hz or 1) for number in range(len(images))]
period = [1 / image_hz if image_hz else 0] * len(images)
if states:
    due, period = [*due, begin], [*period, 1 / state_hz]
sent = [0] * len(publishers)
while True:
    which = min(range(len(due)), key=due.__getitem__)
    if due[which] - begin >= seconds:
        break
    now = time.monotonic()
    if now < due[which]:
        time.sleep(due[which] - now)
    elif now - begin > seconds + 1:
        break
    outgoing = state if which == len(images) else message
    if outgoing is message:
        message.data = frames[sent[which] % len(frames)]
    ns = time.time_ns()
    outgoing.header.stamp.sec, outgoing.header.stamp.nanosec = ns // 10**9, ns % 10**9
    publishers[which].publish(outgoing)
    sent[which] += 1
    due[which] += period[which]
elapsed = time.monotonic() - begin
time.sleep(0.2)
print(json.dumps([sent, elapsed]), flush=True)
sys.stdin.readline()
node.destroy_node()
rclpy.shutdown()
"""


def robot_file(folder: Path, cameras: Sequence[str], rate_hz: float, record: str = "raw") -> Path:
    """A robot of six joints at 100 Hz with VGA cameras."""
    robot = yaml.safe_load((share_dir() / "config/robots/so100.yaml").read_text())
    robot["cameras"] = [
        {"name": f"camera{number}", "topic": topic, "width": 640, "height": 480, "rate_hz": rate_hz, "record": record}
        for number, topic in enumerate(cameras)
    ]
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(robot))
    return path


class RecorderProcess:
    """The recorder's process, and a client that plays the manager."""

    def __init__(self, robot: Path, data: Path, **parameters: Value) -> None:
        known: dict[str, Value] = {
            "robot": str(robot),
            "task": "so100_pick_and_place",
            "drive": "real_time",
            "data": str(data),
            "cameras": True,
        }
        process = Process("recorder", {**known, **parameters})
        self._command = [sys.executable, "-u", "-m", process.module, *arguments_of(process)]
        prepare()
        rclpy.init()
        self._node = rclpy.create_node("manager", namespace="xrollout")
        self._beat = self._node.create_publisher(Heartbeat, "heartbeat", EVENT)
        self._node.create_timer(0.2, lambda: self._beat.publish(Heartbeat(node="manager", incarnation="benchmark")))
        # A recorder opens a bag when it hears those who are to be recorded.
        self._silent = [
            self._node.create_publisher(JointState, "/joint_commands", EVENT),
            self._node.create_publisher(Command, "command", EVENT),
        ]
        self._services = {
            name: self._node.create_client(kind, name)
            for name, kind in (
                ("recorder/change_state", ChangeState),
                ("recorder/get_state", GetState),
                ("open_episode", OpenEpisode),
                ("close_episode", CloseEpisode),
                ("save_highlight", Trigger),
            )
        }
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.process: subprocess.Popen[bytes] | None = None

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def start(self, log: Path) -> None:
        """Start the process and bring the node up."""
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self._command, env={**os.environ, **middleware().variables}, stdout=out, stderr=subprocess.STDOUT
            )
        # A killed process's services look ready for a while: ask for the state, which does no harm when repeated.
        self._call("recorder/get_state", GetState.Request())
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            changed = call(self._services["recorder/change_state"], request, 30.0, "change_state")
            if not changed.success:
                raise RuntimeError(f"the recorder does not come up:\n{log.read_text()}")

    @property
    def node(self) -> Node:
        """The client's."""
        return self._node

    def call(self, name: str, request: Any, timeout_s: float) -> Any:
        """Call a service of the recorder once."""
        return call(self._services[name], request, timeout_s, name)

    def _call(self, name: str, request: Any, tries: int = 30) -> Any:
        """Call until it answers."""
        for _ in range(tries):
            try:
                return call(self._services[name], request, 1.0, name)
            except GraphError:
                continue
        raise RuntimeError(f"{name} does not answer")

    def open(self) -> EpisodeMeta:
        """Open the bag of a new attempt."""
        meta = EpisodeMeta.model_validate(
            {
                "episode_id": new_id(),
                "kind": "attempt",
                "task": "so100_pick_and_place",
                "robot": "so100",
                "start": "nominal",
                "strategy": "episodic",
                "software_version": "benchmark",
                "started_at": "2026-01-01T00:00:00+00:00",
            }
        )
        request = OpenEpisode.Request(metadata=meta.model_dump_json(), start=time_msg(SystemClock().wall_ns()))
        answer = call(self._services["open_episode"], request, 10.0, "open")
        if not answer.opened:
            raise RuntimeError(answer.message)
        return meta

    def close(self, meta: EpisodeMeta) -> Path:
        """Close it; its folder."""
        answer = call(
            self._services["close_episode"], CloseEpisode.Request(metadata=meta.model_dump_json()), 60.0, "close"
        )
        if not answer.closed:
            raise RuntimeError(answer.message)
        return Path(answer.bag)

    def cpu_s(self) -> float:
        """Processor time that the process has used."""
        assert self.process is not None
        return cpu_s(self.process.pid)

    def end(self) -> None:
        """End everything."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self._stop.set()
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()


@contextmanager
def sender(cameras: Sequence[str], image_hz: float, state_hz: float, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that will send when ``go`` is written to it; it says ``ready``, and at the end what it sent.

    A rate of 0 leaves the joints' states out.
    """
    arguments = json.dumps([list(cameras), image_hz, state_hz, seconds])
    process = subprocess.Popen(
        [sys.executable, "-c", SENDER, arguments],
        env={**os.environ, **middleware().variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the sender does not come up")
        yield process
    finally:
        # An orderly end, which the recorder hears of; a killed publisher would count as one for some 20 s.
        process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
