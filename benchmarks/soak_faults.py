"""Random faults in a running graph, drawn from a seed."""

from __future__ import annotations

import array
import contextlib
import heapq
import os
import random
import signal
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import JointState
from soak_graph import Graph
from soak_watcher import Watch
from std_srvs.srv import Trigger

from xrollout.msg import ActionChunk, OperatorRequest, SupervisorState, TeleopCommand
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.qos import COMMAND, EVENT, STREAM

KILLS_PER_MINUTE = 2
"""Of one node: the starter gives up at the fourth process within a minute, and a process may have just been started."""
AFTER_STOP_S = 3.0
"""A node that was stopped is not killed for so long: it has to catch up, and that is not what is measured."""
REQUESTS = ("TAKE_OVER", "HAND_BACK", "HOLD", "MARK_SUCCESS", "MARK_FAILURE", "DISCARD", "END")
CHUNKS = (
    "NaN", "inf", "wrong dimension", "not whole", "no dimension", "huge values", "old stamps", "far future",
    "other episode", "period 0", "negative period", "period NaN",
)  # fmt: skip
ROWS = 8


class Faults:
    """Everything that the soak does to a graph."""

    def __init__(self, chance: random.Random, watch: Watch, node: Node, sensor: str) -> None:
        self.counts: Counter[str] = Counter()
        self.kills: dict[str, list[float]] = defaultdict(list)
        """Wall-clock times by node."""
        self.full: list[tuple[float, float]] = []
        """When the disk was full, wall clock."""
        self._chance, self._watch, self._node = chance, watch, node
        self._graph: Graph | None = None
        self._disk: Path | None = None
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._recent: dict[str, deque[float]] = defaultdict(deque)
        self._stopped: dict[str, float] = {}
        self._sequence = 0
        self._resetting = False
        self._chunks = node.create_publisher(ActionChunk, "/xrollout/chunk", COMMAND)
        self._requests = node.create_publisher(OperatorRequest, "/xrollout/request", EVENT)
        self._operator = node.create_publisher(TeleopCommand, "/xrollout/teleop/command", COMMAND)
        self._sensor = node.create_publisher(JointState, sensor, STREAM)
        self._stop = node.create_client(Trigger, "/xrollout/emergency_stop")
        self._reset = node.create_client(Trigger, "/xrollout/reset_emergency_stop")
        self._highlight = node.create_client(Trigger, "/xrollout/save_highlight")

    def begin(self, graph: Graph, strategy: str, disk: Path | None) -> None:
        """Faults are for this graph from now on."""
        self._graph, self._disk = graph, disk
        self._due.clear()
        self._resetting = False
        self._stopped.clear()
        self._recent.clear()
        weights: dict[Callable[[], None], float] = {
            self.kill: 5,
            self.stop: 5,
            self.bad_chunk: 5,
            self.request: 3,
            self.emergency_stop: 1.5,
            self.bad_operator: 1.5,
            self.bad_sensor: 1.5,
        }
        if strategy == "highlight":
            weights[self.highlight] = 4
        if disk is not None:
            weights[self.fill_disk] = 6
        self._weights = weights

    def work(self) -> None:
        """Undo what is due to be undone; an emergency stop that came late is reset too."""
        if self._watch.mode == SupervisorState.ESTOP and not self._resetting:
            self._resetting = True
            self._later(self._chance.uniform(0.2, 2.0), self._ask_reset)
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()

    def settle(self) -> None:
        """Undo all at once."""
        while self._due:
            heapq.heappop(self._due)[2]()

    def inject(self) -> str:
        """One fault; says which."""
        [fault] = self._chance.choices(list(self._weights), list(self._weights.values()))
        before = dict(self.counts)
        fault()
        return next((name for name, count in self.counts.items() if before.get(name) != count), "")

    def _later(self, delay_s: float, undo: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._due, (time.monotonic() + delay_s, self._number, undo))

    # --- processes ----------------------------------------------------------------------------------------------

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def kill(self) -> None:
        assert self._graph is not None
        nodes, now_s = self._graph.nodes(), time.monotonic()
        # The manager's end is the graph's: it is killed less often.
        node = self._chance.choice([*[name for name in sorted(nodes) if name != "manager"] * 3, "manager"])
        pid = nodes.get(node)
        recent = self._recent[node]
        while recent and recent[0] < now_s - 65.0:
            recent.popleft()
        busy = now_s < self._stopped.get(node, 0.0) + AFTER_STOP_S
        if pid is None or len(recent) >= KILLS_PER_MINUTE or busy:
            return
        recent.append(now_s)
        self.kills[node].append(time.time())
        self.counts[f"SIGKILL {node}"] += 1
        self._signal(pid, signal.SIGKILL)

    def stop(self) -> None:
        assert self._graph is not None
        nodes = self._graph.nodes()
        if not nodes:
            return
        node = self._chance.choice(sorted(nodes))
        for_s = self._chance.uniform(0.1, 3.0)
        if self._stopped.get(node, 0.0) > time.monotonic():
            return
        self._stopped[node] = time.monotonic() + for_s
        self.counts[f"SIGSTOP {node}"] += 1
        pid = nodes[node]
        self._signal(pid, signal.SIGSTOP)
        self._later(for_s, lambda: self._signal(pid, signal.SIGCONT))

    # --- messages -----------------------------------------------------------------------------------------------

    def bad_chunk(self) -> None:
        kind = self._chance.choice(CHUNKS)
        now_ns = time.time_ns()
        start_ns = now_ns + {"old stamps": -10, "far future": 10}.get(kind, 0) * 10**9
        rows = [self._chance.uniform(-1, 1) for _ in range(ROWS)]
        place = self._chance.randrange(ROWS)
        wild = {"NaN": float("nan"), "inf": self._chance.choice([1, -1]) * float("inf")}
        rows[place] = wild.get(kind, rows[place])
        if kind == "huge values":
            rows = [self._chance.choice([-3e38, 3e38, 1e30, -1e30]) for _ in range(ROWS)]
        dimension = {"wrong dimension": 2, "not whole": 3, "no dimension": 0}.get(kind, 1)
        period_s = {"period 0": 0.0, "negative period": -0.02, "period NaN": float("nan")}.get(kind, 0.02)
        self._sequence += 1
        self._chunks.publish(
            ActionChunk(
                stamp=time_msg(start_ns),
                episode_id="01ARZ3NDEKTSV4RRFFQ69G5FAV" if kind == "other episode" else self._watch.running,
                policy_id="soak",
                sequence=self._sequence,
                start=time_msg(start_ns),
                period_s=period_s,
                action_dim=dimension,
                data=array.array("f", rows),
                prefix_length=self._chance.choice([0, 0, 3]),
                observed=time_msg(now_ns),
                sent=time_msg(now_ns),
            )
        )
        self.counts[f"chunk: {kind}"] += 1

    def bad_operator(self) -> None:
        """Actions of an operator whom nobody has let in, or who has taken over; some cannot be sent."""
        if self._chance.random() < 0.5:
            self._ask("TAKE_OVER")
        value = self._chance.choice([float("nan"), float("inf"), 1e300, -1e300, 0.5, -1.0])
        action = [value] * self._chance.choice([1, 1, 1, 0, 2])
        message = TeleopCommand(
            episode_id=self._watch.running, operator_id="soak", action=action, enabled=self._chance.random() < 0.8
        )
        for place in range(10):
            self._later(0.05 * place, lambda: self._operator.publish(message))
        self.counts["operator's action"] += 1

    def bad_sensor(self) -> None:
        value = self._chance.choice([float("nan"), float("inf"), -1e300])
        message = JointState(name=["car"], position=[value], velocity=[0.0])
        message.header.stamp = time_msg(time.time_ns())
        for place in range(self._chance.randint(1, 10)):
            self._later(0.02 * place, lambda: self._sensor.publish(message))
        self.counts["sensor: not finite or huge"] += 1

    def _ask(self, name: str, **fields: Any) -> None:
        self._requests.publish(
            OperatorRequest(request=getattr(OperatorRequest, name), operator_id="soak", reason="soak", **fields)
        )

    def request(self) -> None:
        name = self._chance.choice(REQUESTS)
        self._ask(name, episode_id=self._chance.choice(["", self._watch.running]))
        self.counts[f"request {name}"] += 1

    def emergency_stop(self) -> None:
        if not self._stop.service_is_ready():
            return
        self._stop.call_async(Trigger.Request())
        self.counts["emergency stop"] += 1

    def _ask_reset(self) -> None:
        """Once more later, where the supervisor has not heard it: it may be dead at present."""
        self._resetting = False
        with self._watch.lock:
            self._watch.reset_asked = True
        if self._reset.service_is_ready():
            self._reset.call_async(Trigger.Request())

    def highlight(self) -> None:
        if self._highlight.service_is_ready():
            self._highlight.call_async(Trigger.Request())
            self.counts["save_highlight"] += 1

    # --- disk ---------------------------------------------------------------------------------------------------

    def fill_disk(self) -> None:
        assert self._disk is not None
        ballast = self._disk / "ballast"
        if ballast.exists():
            return
        begun_s = time.time()
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(2**16)):
                pass
        self.counts["disk full"] += 1
        self.full.append((begun_s, float("inf")))
        self._later(self._chance.uniform(1.0, 6.0), lambda: self._free_disk(ballast, begun_s))

    def _free_disk(self, ballast: Path, begun_s: float) -> None:
        ballast.unlink(missing_ok=True)
        self.full[-1] = (begun_s, time.time())
