"""What turns a node: the executor, and a thread for it where the process's main thread has other things to do."""

from __future__ import annotations

import threading
from types import TracebackType

from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor

try:
    from rclpy.experimental import EventsExecutor
except ImportError:  # an older rclpy
    EventsExecutor = None

TURN_S = 0.1


def make_executor(context: Context | None = None, *, waits: bool = False) -> Executor:
    """The executor that costs least.

    rclpy's own executors build a set of everything they wait for anew at each turn, in Python. The events executor is
    told of what comes: half the processor time, and a third of the delay, of each callback at 100 Hz.

    Args:
        context: of the node; None: the default one.
        waits: take rclpy's wait-set executor, for a node that keeps subscriptions to itself by a callback group.
    """
    if EventsExecutor is None or waits:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


class SpinThread:
    """Turns an executor in a thread, until the ``with`` block is left; then shuts the executor down."""

    def __init__(self, executor: Executor, name: str) -> None:
        self._executor = executor
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def _spin(self) -> None:
        # Not `spin`: the events executor's takes a whole core from other threads while it waits.
        try:
            while not self._ended.is_set():
                self._executor.spin_once(timeout_sec=TURN_S)
        except ExternalShutdownException:
            return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(2.0)
        self._executor.shutdown()
