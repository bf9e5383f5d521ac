"""Heartbeat and diagnostics of a node."""

from __future__ import annotations

import threading
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node

from xrollout.msg import Heartbeat
from xrollout_ros.core.clock import SystemClock, seconds
from xrollout_ros.core.ids import new_id
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.qos import EVENT
from xrollout_ros.runtime.meter import Meter

HEARTBEAT_PERIOD_S = 0.2
_STUCK_S = 0.6
"""An executor that has not turned for this long is not alive, unless a transition is under way."""

clock = SystemClock()


class Pulse:
    """Heartbeat at 5 Hz from a thread of its own, and diagnostics at 1 Hz.

    A transition may take seconds (a policy loads) and must not look like death; an executor that hangs must. So the
    thread beats while the executor's timer turns, or while a transition is announced.
    """

    def __init__(self, node: Node, lifecycle_state: Callable[[], int]) -> None:
        self._node = node
        # Made here: what is made when a module is imported, forks of one process would share.
        self._incarnation = new_id()
        self._lifecycle_state = lifecycle_state
        self._publisher = node.create_publisher(Heartbeat, "heartbeat", EVENT)
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", EVENT)
        self._born_ns = clock.steady_ns()
        self._turned_ns = self._born_ns
        self._busy = 0
        self._worst_s = 0.0
        self._stop = threading.Event()
        self.meter = Meter()
        self.values: Callable[[], dict[str, object]] = dict
        """What the node adds to its diagnostics: at least ``queue`` and ``drops`` where it has them."""
        self.problem: Callable[[], str] = str
        """What is wrong with the node; empty: nothing."""
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(HEARTBEAT_PERIOD_S, self._turn, clock=steady),
            node.create_timer(1.0, self._diagnose, clock=steady),
        ]
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def transition(self) -> _Busy:
        """A context in which the executor may be busy for long."""
        return _Busy(self)

    def took(self, begin_ns: int, late_s: float = 0.0) -> None:
        """A tick or callback that began at ``begin_ns`` of the steady clock is done, ``late_s`` after its time."""
        spent_s = seconds(clock.steady_ns() - begin_ns)
        self._worst_s = max(self._worst_s, spent_s)
        self.meter.note(spent_s, late_s)

    def stop(self) -> None:
        """End the thread; before the node is destroyed."""
        self._stop.set()
        self._thread.join(1.0)

    def _turn(self) -> None:
        self._turned_ns = clock.steady_ns()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_PERIOD_S):
            if not self._busy and seconds(clock.steady_ns() - self._turned_ns) > _STUCK_S:
                continue
            worst, self._worst_s = self._worst_s, 0.0
            message = Heartbeat(
                stamp=time_msg(clock.wall_ns()),
                node=self._node.get_name(),
                incarnation=self._incarnation,
                lifecycle_state=self._lifecycle_state(),
                uptime_s=seconds(clock.steady_ns() - self._born_ns),
                worst_tick_s=worst,
            )
            self._publisher.publish(message)

    def _diagnose(self) -> None:
        problem, measured = self.problem(), self.meter.report()
        values = {
            "ticks": measured.ticks,
            "worst_tick_ms": f"{1e3 * measured.worst_s:.3f}",
            "p99_tick_ms": f"{1e3 * measured.p99_s:.3f}",
            "worst_late_ms": f"{1e3 * measured.worst_late_s:.3f}",
            "late_ticks": measured.late_ticks,
            **self.values(),
        }
        status = DiagnosticStatus(
            level=DiagnosticStatus.ERROR if problem else DiagnosticStatus.OK,
            name=f"xrollout: {self._node.get_name()}",
            message=problem or "ok",
            hardware_id="",
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = time_msg(clock.wall_ns())
        self._diagnostics.publish(message)


class _Busy:
    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    def __enter__(self) -> None:
        self._pulse._busy += 1

    def __exit__(self, *_: object) -> None:
        self._pulse._turn()
        self._pulse._busy -= 1
