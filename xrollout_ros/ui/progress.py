"""How far something is, on standard error; the one way in which all commands tell it."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType

import click

from xrollout_ros.ui import text
from xrollout_ros.ui.console import json_wanted

_BEGIN_S = 1.0
"""What is done sooner is not worth a line."""
_DRAW_S = 0.2
_LINE_S, _SELDOM_S = 2.0, 60.0
"""Without a terminal: when the first line is due, and how far apart lines get, each time twice as far."""
_WIDTH = 24


class Bar:
    """Shows how far some work is; a context manager.

    On a terminal it is one line that is drawn again and again; elsewhere lines now and then. Quick work shows nothing,
    and so does work that is a part of what is shown already, and without a terminal a command that was asked for JSON.
    Drawing is done by a thread: telling costs nothing, and the time goes on where nothing is told.
    """

    _outermost: Bar | None = None

    def __init__(self, what: str, *, lines: bool = True) -> None:
        """
        Args:
            what: what is being done.
            lines: without a terminal, too; else whoever works tells of it there by lines of its own.
        """
        self._what, self._state = what, ""
        self._done, self._total = 0, 0
        self._from: int | None = None
        self._with_lines, self._shown = lines, False
        self._lock, self._ended = threading.RLock(), threading.Event()
        self._begin_s = 0.0
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Bar:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        self._begin_s = time.monotonic()
        if Bar._outermost is None and (_on_terminal() or not json_wanted()):
            Bar._outermost = self
            self._thread = threading.Thread(target=self._draw_on, name="progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._thread is None:
            return
        Bar._outermost = None
        self._thread.join()
        if self._shown:
            self._draw()
            click.echo(err=True)

    def show(self, done: int, total: int, state: str = "") -> None:
        """So much is done.

        Args:
            done: steps.
            total: of so many; 0: nobody knows.
            state: what else is worth knowing.
        """
        if self._from is None:
            # What was done before is no measure of how long the rest takes.
            self._from, self._begin_s = done, time.monotonic() if done else self._begin_s
        self._done, self._total, self._state = done, total, state

    def part(self, what: str, done: int, total: int, state: str = "") -> None:
        """So much is done of one part of the work."""
        if what != self._what:
            self._what, self._from, self._begin_s = what, None, time.monotonic()
        self.show(done, total, state)

    def _draw_on(self) -> None:
        if not _on_terminal():
            if self._with_lines:
                self._lines()
        elif not self._ended.wait(_BEGIN_S):
            while True:
                with self._lock:
                    self._shown = True
                    self._draw()
                if self._ended.wait(_DRAW_S):
                    return

    def _draw(self) -> None:
        bar = ""
        if self._total:
            full = min(_WIDTH, round(_WIDTH * self._done / self._total))
            bar = f" [{'#' * full}{'.' * (_WIDTH - full)}]"
        line = f"{self._what}{bar}{self._words()}"
        click.echo(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", nl=False, err=True)

    def _lines(self) -> None:
        pause_s = _LINE_S
        while not self._ended.wait(pause_s):
            with self._lock:
                click.echo(f"{self._what}{self._words()}", err=True)
            pause_s = min(_SELDOM_S, 2 * pause_s)

    def _words(self) -> str:
        spent_s = time.monotonic() - self._begin_s
        count = f" {self._done}/{self._total}" if self._total else f" {self._done}" if self._done else ""
        left = ""
        made = self._done - (self._from or 0)
        if made > 0 and self._done < self._total:
            left = f", {text.duration(spent_s / made * (self._total - self._done))} left"
        state = f" · {self._state}" if self._state else ""
        return f"{count}{state} · {text.duration(spent_s)}{left}"


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


@contextmanager
def aside() -> Iterator[None]:
    """While something else is printed on the terminal: the bar, if there is one, gives way and comes back below it."""
    bar = Bar._outermost
    with bar._lock if bar is not None else nullcontext():
        if bar is not None and bar._shown:
            click.echo("\r\x1b[K", nl=False, err=True)
        yield
        if bar is not None and bar._shown:
            bar._draw()
