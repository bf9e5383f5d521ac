"""Single keys and lines from the terminal that a command was started in, which is left as it was."""

from __future__ import annotations

import queue
import signal
import sys
import termios
from contextlib import suppress
from types import FrameType, TracebackType

from xrollout_ros.core.errors import GraphError
from xrollout_ros.runtime.operators.keyboard import parse_keys
from xrollout_ros.runtime.operators.terminal import Terminal, own_terminal

GONE = ""
"""In the place of a key: the terminal is closed."""


class Keys:
    """Reads keys; a context manager. Whatever ends it, signals included, the terminal is as it was before."""

    def __init__(self, what: str, remedy: str) -> None:
        """
        Args:
            what: needs the terminal.
            remedy: what to do without one.

        Raises:
            GraphError: input or output is no terminal.
        """
        self._path = own_terminal(what, remedy)
        if not sys.stdout.isatty():
            raise GraphError(f"{what} needs a terminal, and the output here is none", remedy)
        self._typed: queue.Queue[str] = queue.Queue()
        self._rest = b""
        self._terminal: Terminal | None = None

    def __enter__(self) -> Keys:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        self._settings = termios.tcgetattr(sys.stdin.fileno())
        self._before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
        self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Whoever presses Ctrl-C twice has a terminal afterwards, too.
        self._before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._leave()
        with suppress(termios.error):  # it is gone, and its settings with it
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._settings)
        for number, before in self._before.items():
            signal.signal(number, before)

    def key(self) -> str:
        """The next key, e.g. ``a``, ``space``, ``esc``; :data:`GONE` where the terminal is closed."""
        return self._typed.get()

    def within(self, timeout_s: float) -> str | None:
        """The next key if it is pressed within so many seconds; None: it was not."""
        with suppress(queue.Empty):
            return self._typed.get(timeout=timeout_s)
        return None

    def forget(self) -> None:
        """Pass over what was typed until now."""
        with suppress(queue.Empty):
            while self._typed.get_nowait() != GONE:
                pass
            self._typed.put(GONE)

    def line(self, prompt: str) -> str | None:
        """A line of text, edited as in any prompt; None: Ctrl-C or Ctrl-D, or the terminal is closed."""
        self._leave()
        try:
            return "".join(letter for letter in input(prompt) if letter.isprintable()).strip()
        except (KeyboardInterrupt, EOFError):
            print()
            return None
        finally:
            self._listen()

    def _listen(self) -> None:
        self._terminal = Terminal(self._path, self._read, lambda why: self._typed.put(GONE))

    def _leave(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None

    def _read(self, data: bytes, final: bool) -> None:
        found, self._rest = parse_keys(self._rest + data, final=final)
        for key in found:
            self._typed.put(key)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
