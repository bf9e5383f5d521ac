"""How fast the supervisor reacts to faults: the real node in a process of its own, over DDS, in real time at 100 Hz.

This process plays the policy, the robot, the operator and the manager. Each fault is injected so many times, at a
random phase of the supervisor's tick, while no check objects to anything; measured is from the fault to the arrival of
the first command that answers it, and to the supervisor's word (a safety event, or the mode after a stop). Every
command of the whole run, on the robot's own topic too, is checked against the limits. A trial in which another check
objected first (this process was not given the processor, so another stream fell silent) is spoilt and made again.

python benchmarks/reaction.py [--trials 200]
"""

from __future__ import annotations

import argparse
import array
import gc
import math
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from common import percentiles, scratch, table

from xrollout_ros.graph.node import SWITCH_INTERVAL_S
from xrollout_ros.graph.spinning import SpinThread, make_executor

RATE_HZ = 100.0
PATIENCE_S = 0.05
"""What every timeout is set to; the policy's chunks last as long."""
TIMEOUT_S = 2.0
BEGIN_S = 0.5
SPOILT = 3
"""Times the trials that may be spoilt before the machine is too busy to measure anything."""
LIMIT = 1.0
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
            "lower": -LIMIT,
            "upper": LIMIT,
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


@dataclass(frozen=True)
class Fault:
    """What is done, and what counts as an answer."""

    name: str
    check: str
    """What the supervisor is to object to; empty: it is told to stop, and says so by its mode."""
    source: int
    inject: Callable[[World], int]
    """Gives when it was done."""
    answered: Callable[[Seen], bool]
    aim: str
    always: bool = True
    """Whether a command must answer it. A motion on its way beyond a limit may end before it gets there."""


@dataclass
class Result:
    """All trials of one fault."""

    command_s: list[float] = field(default_factory=list)
    """Until the first command that answers it."""
    told_s: list[float] = field(default_factory=list)
    """Until the supervisor's word."""
    spoilt: Counter[str] = field(default_factory=Counter)
    """Trials that were, by the check that objected first."""


class World:
    """Everybody but the supervisor: a thread of its own publishes each stream that is on every 10 ms."""

    def __init__(self, node: Any) -> None:
        from sensor_msgs.msg import JointState
        from std_msgs.msg import Bool, Float64MultiArray

        from xrollout.msg import (
            ActionChunk,
            Command,
            EpisodeState,
            Heartbeat,
            SafetyEvent,
            SupervisorState,
            TeleopCommand,
        )
        from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED

        self.node = node
        self.on = dict.fromkeys(STREAMS, True)
        self.last_ns = dict.fromkeys(STREAMS, 0)
        self.episode_id = ""
        self.sequence = 0
        self.changed = threading.Condition()
        self.seen: list[Seen] = []
        self.began: list[tuple[int, str]] = []
        """When which check began to object, since the last trial began."""
        self.in_force: set[str] = set()
        self.stopped_ns = 0
        """When the supervisor said that it has stopped; 0: it has not."""
        self.commands = self.outside = 0
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
        node.create_subscription(Float64MultiArray, "/arm/commands", self._on_robot_command, EVENT)
        node.create_subscription(SafetyEvent, "/xrollout/supervisor/event", self._on_event, EVENT)
        node.create_subscription(SupervisorState, "/xrollout/supervisor/state", self._on_state, LATCHED)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(1.0)

    def _on_command(self, message: Any) -> None:
        at_ns = time.monotonic_ns()
        with self.changed:
            self._check(message.action)
            self.seen.append(Seen(at_ns, message.source, message.mode, any(message.clipped)))
            self.changed.notify_all()

    def _on_robot_command(self, message: Any) -> None:
        with self.changed:
            self._check(message.data)

    def _check(self, action: Any) -> None:
        self.commands += 1
        self.outside += len(action) != len(JOINTS) or not all(abs(value) <= LIMIT for value in action)

    def _on_event(self, message: Any) -> None:
        at_ns = time.monotonic_ns()
        with self.changed:
            if message.episode_id != self.episode_id:
                return
            if message.began:
                self.began.append((at_ns, message.check))
                self.in_force.add(message.check)
            else:
                self.in_force.discard(message.check)
            self.changed.notify_all()

    def _on_state(self, message: Any) -> None:
        from xrollout_ros.core.modes import Mode

        at_ns = time.monotonic_ns()
        with self.changed:
            if message.mode != Mode.ESTOP:
                self.stopped_ns = 0
            elif not self.stopped_ns:
                self.stopped_ns = at_ns
            self.changed.notify_all()

    def told(self, check: str) -> tuple[int, str]:
        """When the supervisor said what it objects to first, and what that is; for a stop that was asked for, empty."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self.began) or (not check and bool(self.stopped_ns)), TIMEOUT_S)
            if self.began:
                return self.began[0]
            return self.stopped_ns, "" if self.stopped_ns else "nothing"

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
        with self.changed:
            self.episode_id = new_id()
            self.began.clear()
            self.in_force.clear()
            self.stopped_ns = 0
        driver = {"policy_id": "p"} if source == Source.POLICY else {"operator_id": "anna"}
        self.publishers["episode"].publish(EpisodeState(episode_id=self.episode_id, phase=int(Phase.RUNNING), **driver))
        begun_ns = time.monotonic_ns()
        for _ in range(3):  # several: what was still under way from before does not count
            begun_ns = self.wait(lambda seen: seen.source == source, begun_ns, BEGIN_S) + 1
        time.sleep(random.uniform(0, 2 / RATE_HZ))
        with self.changed:
            # Until the first chunk is there the supervisor holds and says so: that is not what is measured.
            if not self.changed.wait_for(lambda: not self.in_force, BEGIN_S):
                raise TimeoutError(f"the supervisor objects to {', '.join(sorted(self.in_force))}")
            self.began.clear()

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
                    raise TimeoutError(f"no such command within {timeout_s:g} s")


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


def faults() -> list[Fault]:
    """All that is measured."""
    from xrollout_ros.core.modes import Mode, Source

    def held(seen: Seen) -> bool:
        return seen.source == Source.HOLD

    def stopped(seen: Seen) -> bool:
        return seen.mode == Mode.ESTOP

    def clipped(seen: Seen) -> bool:
        return seen.clipped

    policy, operator = int(Source.POLICY), int(Source.OPERATOR)
    bad, silent = f"p99 ≤ {1e3 / RATE_HZ + 2:g}", "p99 ≤ 100"
    return [
        Fault("NaN from the policy", "finite", policy, lambda world: bad_chunk(world, 0.1, math.nan), held, bad),
        Fault("one value too few", "complete", policy, lambda world: bad_chunk(world, 0.1), held, bad),
        Fault("beyond a limit", "limit", policy, lambda world: bad_chunk(world, 0.1, 5.0), clipped, bad, always=False),
        Fault("emergency stop by topic", "", policy, lambda world: stop(world, "stop", True), stopped, bad),
        Fault("dead-man released", "dead_man", policy, lambda world: stop(world, "enabling", False), stopped, bad),
        Fault("policy silent", "starved", policy, lambda world: silence(world, "policy"), held, silent),
        Fault("sensor silent", "stale", policy, lambda world: silence(world, "sensor"), held, silent),
        Fault("manager silent", "manager_heartbeat", policy, lambda world: silence(world, "manager"), held, silent),
        Fault("operator silent", "operator_silent", operator, lambda world: silence(world, "operator"), held, silent),
        Fault("dead-man silent", "dead_man", policy, lambda world: silence(world, "enabling"), stopped, silent),
    ]  # fmt: skip


def measure(folder: Path, trials: int) -> tuple[list[tuple[Fault, Result]], World]:
    """All faults, and the world with what it saw."""
    import rclpy
    from std_srvs.srv import Trigger

    # What is measured ends in this process: it must not wait for its own threads, or its own garbage.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rclpy.init()
    node = rclpy.create_node("benchmark", enable_rosout=False)
    executor = make_executor()
    executor.add_node(node)
    try:
        with SpinThread(executor, "benchmark"):
            world = World(node)
            reset = node.create_client(Trigger, "/xrollout/reset_emergency_stop")
            gc.collect()
            gc.freeze()
            try:
                with supervisor(node, folder):
                    results = [(fault, repeated(world, fault, trials, reset)) for fault in faults()]
            finally:
                world.close()
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    return results, world


def repeated(world: World, fault: Fault, trials: int, reset: Any) -> Result:
    """So many good trials of one fault.

    Raises:
        RuntimeError: too many are spoilt, or the supervisor does not react.
    """
    result = Result()
    while len(result.told_s) < trials:
        if result.spoilt.total() > SPOILT * trials:
            raise RuntimeError(f"{fault.name}: the machine is too busy to measure: {dict(result.spoilt)}")
        try:
            world.attempt(fault.source)
        except TimeoutError:
            result.spoilt["not begun"] += 1
            _reset(world, reset)
            continue
        begin_ns = fault.inject(world)
        told_ns, check = world.told(fault.check)
        if check == "nothing":
            raise RuntimeError(f"{fault.name}: the supervisor does not object")
        if check != fault.check:
            result.spoilt[check] += 1
        else:
            result.told_s.append((told_ns - begin_ns) / 1e9)
            try:
                result.command_s.append((world.wait(fault.answered, begin_ns) - begin_ns) / 1e9)
            except TimeoutError:
                if fault.always:
                    raise
        _reset(world, reset)
    return result


def _reset(world: World, reset: Any) -> None:
    """Everybody speaks again, and a stop is over."""
    world.on = dict.fromkeys(STREAMS, True)
    deadline_s = time.monotonic() + TIMEOUT_S
    while world.stopped_ns and time.monotonic() < deadline_s:
        _call(reset)
        time.sleep(1 / RATE_HZ)


def _call(client: Any) -> bool:
    future, done = client.call_async(client.srv_type.Request()), threading.Event()
    future.add_done_callback(lambda _: done.set())
    return done.wait(TIMEOUT_S) and bool(future.result().success)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    with scratch() as folder:
        results, world = measure(folder, options.trials)
    rows = []
    for fault, result in results:
        spoilt = ", ".join(f"{count} {check}" for check, count in result.spoilt.most_common()) or "0"
        told = percentiles(result.told_s)[:2]
        rows.append([fault.name, *told, *percentiles(result.command_s), len(result.told_s), fault.aim, spoilt])
    title = f"From the fault, ms, at {RATE_HZ:g} Hz; every timeout {1e3 * PATIENCE_S:g} ms"
    table(
        title,
        ["fault", "told: p50", "p99", "first command that answers: p50", "p99", "max", "trials", "aim", "spoilt by"],
        rows,
    )
    print(f"\n{world.commands} commands, {world.outside} of them incomplete or beyond the limits")


if __name__ == "__main__":
    main()
