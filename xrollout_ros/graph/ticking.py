"""A thread that ticks on the steady clock's grid: an executor's timer would wait for whatever callback came first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from xrollout_ros.core.clock import Clock, seconds
from xrollout_ros.graph.pulse import Pulse


class Ticker:
    """Calls ``tick(scheduled_ns, begin_ns)`` once in each period, with the lock held.

    Args:
        period_ns: from tick to tick.
        lock: held while it ticks.
        tick: gives how late what it sent was, s; ``scheduled_ns`` is the tick's time, ``begin_ns`` the time it is.
        pulse: counts ticks, and those that were missed.
        clock: the machine's.
    """

    def __init__(
        self, period_ns: int, lock: threading.Lock, tick: Callable[[int, int], float], pulse: Pulse, clock: Clock
    ) -> None:
        self._period_ns, self._lock, self._tick, self._pulse, self._clock = period_ns, lock, tick, pulse, clock
        self._ticking = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._ticking.set()
        self._thread = threading.Thread(target=self._run, name="ticks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Cease to tick; waits for the tick under way."""
        self._ticking.clear()
        if self._thread is not None:
            self._thread.join(1.0)
            self._thread = None

    @property
    def ticking(self) -> bool:
        """Whether it was started, and not stopped."""
        return self._ticking.is_set()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._run_ticks()
        except Exception as error:
            self._failure = error

    def _run_ticks(self) -> None:
        scheduled_ns = self._clock.steady_ns()
        while self._ticking.is_set():
            scheduled_ns += self._period_ns
            begin_ns = self._clock.steady_ns()
            if begin_ns < scheduled_ns:
                time.sleep(seconds(scheduled_ns - begin_ns))
            with self._lock:
                begin_ns = self._clock.steady_ns()  # the sleep, or the wait for the lock, may have been a long one
                if begin_ns - scheduled_ns > self._period_ns:
                    # Stopped or starved of the processor: skip what was missed, and count it.
                    missed = (begin_ns - scheduled_ns) // self._period_ns
                    self._pulse.meter.missed(missed)
                    scheduled_ns += missed * self._period_ns
                late_s = self._tick(scheduled_ns, begin_ns)
            self._pulse.took(begin_ns, late_s)
