"""How fast the supervisor reacts to faults: the real node in a process of its own, over DDS, in real time at 100 Hz.

This process plays the policy, the robot, the operator and the manager. Each fault is injected so many times, at a
random phase of the supervisor's tick; measured is from the fault to the arrival of the first command that answers it.
A trial in which another stream fell silent first (this process was not given the processor) is spoilt and made again.

python benchmarks/reaction.py [--trials 200]
"""

from __future__ import annotations

import argparse
import array
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from common import percentiles, scratch, table

RATE_HZ = 100.0
PATIENCE_S = 0.05
"""What every timeout is set to; the policy's chunks last as long."""
TIMEOUT_S = 2.0
BEGIN_S = 0.5
SPOILT = 3
"""Times the trials that may be spoilt before the machine is too busy to measure anything."""
JOINTS = ("shoulder", "elbow")
ROBOT: dict[str, Any] = {
    "id": "reaction_arm",
    "description": "two joints",
    "control_rate_hz": RATE_HZ,
    "policy_rate_hz": RATE_HZ,
    "observations": [
        {
            "name": "joints",
            "topic": "/joint_states",
            "type": "sensor_msgs/msg/JointState",
            "field": "position",
            "names": list(JOINTS),
            "shape": [2],
            "unit": "rad",
            "rate_hz": RATE_HZ,
            "max_age_s": PATIENCE_S,
        }
    ],
    "actions": [
        {
            "name": name,
            "kind": "position",
            "unit": "rad",
            "lower": -1.0,
            "upper": 1.0,
            "hold": "measured",
            "measured": {"observation": "joints", "index": index},
        }
        for index, name in enumerate(JOINTS)
    ],
    "command": {"topic": "/arm/commands", "encoding": "float64_multi_array"},
    "safety": {
        "manager_timeout_s": PATIENCE_S,
        "operator_timeout_s": PATIENCE_S,
        "dead_man": {"topic": "/enable", "timeout_s": PATIENCE_S},
    },
}
TASK = {
    "id": "react",
    "instruction": "stay",
    "robot": "reaction_arm",
    "scene": "none",
    "starts": {"nominal": {}},
    "time_limit_s": 60.0,
    "success": {"signal": "human"},
}
STREAMS = ("policy", "sensor", "manager", "operator", "enabling")


class Seen(NamedTuple):
    """One command as it arrived."""

    at_ns: int
    source: int
    mode: int
    clipped: bool


class World:
    """Everybody but the supervisor: a thread of its own publishes each stream that is on every 10 ms."""

    def __init__(self, node: Any) -> None:
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Bool

        from xrollout.msg import ActionChunk, Command, EpisodeState, Heartbeat, SafetyEvent, TeleopCommand
        from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED

        self.node = node
        self.on = dict.fromkeys(STREAMS, True)
        self.last_ns = dict.fromkeys(STREAMS, 0)
        self.episode_id = ""
        self.sequence = 0
        self.changed = threading.Condition()
        self.seen: list[Seen] = []
        self.began: list[str] = []
        self.publishers = {
            "policy": node.create_publisher(ActionChunk, "/xrollout/chunk", COMMAND),
            "sensor": node.create_publisher(JointState, "/joint_states", EVENT),
            "manager": node.create_publisher(Heartbeat, "/xrollout/heartbeat", EVENT),
            "operator": node.create_publisher(TeleopCommand, "/xrollout/teleop/command", COMMAND),
            "enabling": node.create_publisher(Bool, "/enable", EVENT),
            "episode": node.create_publisher(EpisodeState, "/xrollout/episode", LATCHED),
            "stop": node.create_publisher(Bool, "/xrollout/emergency_stop_request", EVENT),
        }
        node.create_subscription(Command, "/xrollout/command", self._on_command, EVENT)
        node.create_subscription(SafetyEvent, "/xrollout/supervisor/event", self._on_event, EVENT)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(1.0)

    def _on_command(self, message: Any) -> None:
        with self.changed:
            self.seen.append(Seen(time.monotonic_ns(), message.source, message.mode, any(message.clipped)))
            self.changed.notify_all()

    def _on_event(self, message: Any) -> None:
        with self.changed:
            if message.began and message.episode_id == self.episode_id:
                self.began.append(message.check)
                self.changed.notify_all()

    def only(self, check: str) -> bool:
        """Whether this check is what the supervisor objected to first; a stop that was asked for is none (empty)."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self.began) or not check, 1.0)
            return self.began[:1] == [check] if check else not self.began

    def _feed(self) -> None:
        due_s = time.monotonic()
        while not self._ended.is_set():
            due_s = max(due_s + 1 / RATE_HZ, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
            for stream in STREAMS:
                if self.on[stream]:
                    self.last_ns[stream] = time.monotonic_ns()
                    self.publishers[stream].publish(self.message(stream))

    def message(self, stream: str) -> Any:
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Bool

        from xrollout.msg import Heartbeat, TeleopCommand

        if stream == "policy":
            return self.chunk(0.1, 0.1)
        if stream == "sensor":
            message = JointState(name=list(JOINTS), position=[0.1, 0.1])
            message.header.stamp = self.node.get_clock().now().to_msg()
            return message
        if stream == "manager":
            return Heartbeat(node="manager", incarnation="benchmark")
        if stream == "operator":
            return TeleopCommand(episode_id=self.episode_id, operator_id="anna", action=[0.1, 0.1], enabled=True)
        return Bool(data=True)

    def chunk(self, *row: float) -> Any:
        from xrollout.msg import ActionChunk

        now = self.node.get_clock().now().to_msg()
        self.sequence += 1
        rows = round(PATIENCE_S * RATE_HZ)
        return ActionChunk(
            stamp=now,
            start=now,
            episode_id=self.episode_id,
            policy_id="p",
            sequence=self.sequence,
            period_s=1 / RATE_HZ,
            action_dim=len(row),
            data=array.array("f", row * rows),
        )

    def attempt(self, source: int) -> None:
        """A new attempt that is driven by ``source``; returns when it is.

        Raises:
            TimeoutError: it is not, e.g. because this process was not given the processor and fell silent.
        """
        from xrollout.msg import EpisodeState
        from xrollout_ros.core.ids import new_id
        from xrollout_ros.core.modes import Phase, Source

        self.on = dict.fromkeys(STREAMS, True)
        ended = EpisodeState(episode_id=self.episode_id, phase=int(Phase.CLOSED))
        self.publishers["episode"].publish(ended)
        self.episode_id = new_id()
        self.began.clear()
        driver = {"policy_id": "p"} if source == Source.POLICY else {"operator_id": "anna"}
        self.publishers["episode"].publish(EpisodeState(episode_id=self.episode_id, phase=int(Phase.RUNNING), **driver))
        begun_ns = time.monotonic_ns()
        for _ in range(3):  # several: what was still under way from before does not count
            begun_ns = self.wait(lambda seen: seen.source == source, begun_ns, BEGIN_S) + 1
        time.sleep(random.uniform(0, 2 / RATE_HZ))

    def wait(self, good: Callable[[Seen], bool], since_ns: int, timeout_s: float = TIMEOUT_S) -> int:
        """When the first command arrives that is ``good``, on the steady clock."""
        deadline_s = time.monotonic() + timeout_s
        with self.changed:
            while True:
                for seen in self.seen:
                    if seen.at_ns >= since_ns and good(seen):
                        self.seen.clear()
                        return seen.at_ns
                self.seen.clear()
                if not self.changed.wait(deadline_s - time.monotonic()):
                    raise TimeoutError(f"the supervisor did not react within {timeout_s:g} s")


def silence(world: World, stream: str) -> int:
    """One of the streams ceases; gives when its last message was sent."""
    world.on[stream] = False
    time.sleep(0.5 / RATE_HZ)
    return world.last_ns[stream]


def bad_chunk(world: World, *row: float) -> int:
    world.on["policy"] = False
    begin_ns = time.monotonic_ns()
    world.publishers["policy"].publish(world.chunk(*row))
    return begin_ns


def stop(world: World, publisher: str, value: bool) -> int:
    from std_msgs.msg import Bool

    world.on["enabling"] = publisher != "enabling"
    begin_ns = time.monotonic_ns()
    world.publishers[publisher].publish(Bool(data=value))
    return begin_ns


@contextmanager
def supervisor(node: Any, folder: Path) -> Iterator[None]:
    """The real node in a process of its own, active."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    robot, task = folder / "robot.yaml", folder / "task.yaml"
    robot.write_text(yaml.safe_dump(ROBOT))
    task.write_text(yaml.safe_dump(TASK))
    parameters = {"robot": robot, "task": task, "drive": "real_time"}
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    process = subprocess.Popen([sys.executable, "-m", "xrollout_ros.graph.nodes.supervisor", "--ros-args", *words])
    client = node.create_client(ChangeState, "/xrollout/supervisor/change_state")
    try:
        if not client.wait_for_service(30.0):
            raise RuntimeError("the supervisor did not appear")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
            done = threading.Event()
            future.add_done_callback(lambda _, done=done: done.set())
            if not done.wait(20.0) or not future.result().success:
                raise RuntimeError("the supervisor was not brought up")
        yield
    finally:
        process.terminate()
        process.wait(10.0)


def measure(folder: Path, trials: int) -> list[list[object]]:
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from std_srvs.srv import Trigger

    from xrollout_ros.core.modes import Mode, Source

    def held(seen: Seen) -> bool:
        return seen.source == Source.HOLD

    def stopped(seen: Seen) -> bool:
        return seen.mode == Mode.ESTOP

    def clipped(seen: Seen) -> bool:
        return seen.clipped

    policy, operator = int(Source.POLICY), int(Source.OPERATOR)
    bad, silent = f"p99 ≤ {1e3 / RATE_HZ + 2:g}", "p99 ≤ 100"
    faults: list[tuple[str, str, int, Callable[[World], int], Callable[[Seen], bool], str]] = [
        ("NaN from the policy", "finite", policy, lambda world: bad_chunk(world, 0.1, math.nan), held, bad),
        ("one value too few", "complete", policy, lambda world: bad_chunk(world, 0.1), held, bad),
        ("beyond a limit: clipped", "limit", policy, lambda world: bad_chunk(world, 0.1, 5.0), clipped, bad),
        ("emergency stop by topic", "", policy, lambda world: stop(world, "stop", True), stopped, bad),
        ("dead-man switch released", "dead_man", policy, lambda world: stop(world, "enabling", False), stopped, bad),
        ("policy silent", "starved", policy, lambda world: silence(world, "policy"), held, silent),
        ("sensor silent", "stale", policy, lambda world: silence(world, "sensor"), held, silent),
        ("manager silent", "manager_heartbeat", policy, lambda world: silence(world, "manager"), held, silent),
        ("operator silent", "operator_silent", operator, lambda world: silence(world, "operator"), held, silent),
        ("dead-man switch silent", "dead_man", policy, lambda world: silence(world, "enabling"), stopped, silent),
    ]
    rows: list[list[object]] = []
    rclpy.init()
    node = rclpy.create_node("benchmark", enable_rosout=False)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    world = World(node)
    reset = node.create_client(Trigger, "/xrollout/reset_emergency_stop")
    try:
        with supervisor(node, folder):
            for name, check, source, inject, good, aim in faults:
                spent: list[float] = []
                spoilt = 0
                while len(spent) < trials:
                    try:
                        world.attempt(source)
                    except TimeoutError:
                        spoilt += 1
                        if spoilt > SPOILT * trials:
                            raise
                        _call(reset)
                        continue
                    begin_ns = inject(world)
                    try:
                        reacted_ns = world.wait(good, begin_ns)
                    except TimeoutError:
                        # Unless something else stopped the robot first, it does not react at all.
                        if world.only(check):
                            raise
                        reacted_ns = begin_ns
                    if world.only(check):
                        spent.append((reacted_ns - begin_ns) / 1e9)
                    else:
                        spoilt += 1
                    if good is stopped:
                        world.on = dict.fromkeys(STREAMS, True)
                        deadline_s = time.monotonic() + TIMEOUT_S
                        while not _call(reset) and time.monotonic() < deadline_s:
                            time.sleep(1 / RATE_HZ)
                rows.append([name, *percentiles(spent), len(spent), spoilt, aim])
    finally:
        world.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        thread.join(2.0)
    return rows


def _call(client: Any) -> bool:
    future, done = client.call_async(client.srv_type.Request()), threading.Event()
    future.add_done_callback(lambda _: done.set())
    return done.wait(TIMEOUT_S) and bool(future.result().success)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    with scratch() as folder:
        rows = measure(folder, options.trials)
    title = f"Fault → first command that answers it, ms, at {RATE_HZ:g} Hz; every timeout {1e3 * PATIENCE_S:g} ms"
    table(title, ["fault", "p50", "p99", "max", "count", "spoilt", "aim"], rows)


if __name__ == "__main__":
    main()
