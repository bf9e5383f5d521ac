"""Reads single keys from a terminal, in a thread of its own, and leaves the terminal as it was."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable

from xrollout_ros.core.errors import GraphError

_POLL_S = 0.1
_ESCAPE_S = 0.05
"""What follows an escape sooner than this belongs to it."""

REMEDY = "Run `xrollout teleop keyboard` in a terminal of its own (ssh will do), beside the running graph."


def own_terminal(what: str = "the operator keyboard", remedy: str = REMEDY) -> str:
    """Path of the terminal that this process was started from.

    Args:
        what: needs it.
        remedy: what to do without one.

    Raises:
        GraphError: its input is no terminal.
    """
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError) as error:
        raise GraphError(f"{what} needs a terminal, and the input here is none", remedy) from error


class Terminal:
    """Hands each key to ``on_key(bytes, final)`` until it is closed; Ctrl-C still interrupts whoever owns it.

    Args:
        path: e.g. ``/dev/pts/3``; it need not be this process's own.
        on_bytes: takes what was read; ``final``: nothing followed for a moment.
        on_end: called with the reason when the terminal is gone.

    Raises:
        GraphError: it cannot be opened, or is no terminal.
    """

    def __init__(self, path: str, on_bytes: Callable[[bytes, bool], None], on_end: Callable[[str], None]) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        except OSError as error:
            raise GraphError(f"the terminal {path} cannot be opened ({error.strerror})", REMEDY) from error
        try:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd, termios.TCSANOW)
        except termios.error as error:
            os.close(self._fd)
            raise GraphError(f"{path} is no terminal", REMEDY) from error
        self._on_bytes, self._on_end = on_bytes, on_end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cease reading; the terminal is as it was before."""
        self._stop.set()
        self._thread.join(1.0)
        # Where it is gone its settings are gone with it.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
        os.close(self._fd)

    def _read(self) -> None:
        waiting = False
        while not self._stop.is_set():
            ready, _, _ = select.select([self._fd], [], [], _ESCAPE_S if waiting else _POLL_S)
            if not ready:
                if waiting:
                    self._on_bytes(b"", True)
                waiting = False
                continue
            try:
                data = os.read(self._fd, 1024)
            except OSError:
                data = b""
            if not data:
                self._on_end("the terminal is closed")
                return
            waiting = True
            self._on_bytes(data, False)
