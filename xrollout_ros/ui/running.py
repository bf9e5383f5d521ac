"""Runs a graph to its end with one line of progress instead of the output of all its processes."""

from __future__ import annotations

import importlib.util
import re
import time

from rich.console import Console
from rich.text import Text

from xrollout_ros.core.episode import Result
from xrollout_ros.core.errors import INTERRUPTED, GraphError
from xrollout_ros.graph import starter
from xrollout_ros.graph.description import GraphDescription
from xrollout_ros.ui import text
from xrollout_ros.ui.closed_bags import ClosedBags
from xrollout_ros.ui.progress import Bar, aside

_LOG_LINE = re.compile(r"^\[(DEBUG|INFO|WARN|ERROR|FATAL)\] \[[0-9.]+\] \[[^]]*\]: ")
"""How rclpy writes to the console."""
_SHOWN = 60
_KEPT = 20


def require_ros() -> None:
    """Make sure that a graph can be started, without importing ROS.

    Raises:
        GraphError: rclpy or the project's own messages are not there.
    """
    for module, what in (("rclpy", "ROS 2"), ("xrollout", "the package with XRollout's messages")):
        if importlib.util.find_spec(module) is None:
            raise GraphError(
                f"{what} is not installed in this environment (no Python module {module!r})",
                "Run `make setup` in a checkout and `source install/setup.bash`, or source your ROS 2 workspace.",
            )


def run_graph(
    description: GraphDescription, console: Console, before: tuple[Result, ...] = (), *, may_discard: bool = False
) -> ClosedBags:
    """Start the graph, show how far it is, and wait for its end.

    Args:
        description: a graph with a number of episodes to make, recorded by a strategy that keeps each.
        console: where progress goes; warnings and errors of the processes are printed above it.
        before: attempts that an earlier run has made, where the graph resumes it; if they are all, nothing is started.
        may_discard: fewer bags than episodes are no error: a person may have discarded some.

    Returns:
        The bags that were closed meanwhile.

    Raises:
        GraphError: it could not be started, or ended with an error or without all its episodes.
        KeyboardInterrupt: somebody pressed Ctrl-C; the graph has ended in order.
    """
    require_ros()
    bags = ClosedBags(description.data, before)
    if before and len(before) == description.episodes:
        return bags
    with Bar("attempt", lines=False) as bar:
        watcher = _Watcher(description, console, bar, bags)
        status = starter.run(description, watcher.line)
        watcher.look()
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status != 0:
        last = f"; the last it said: {watcher.complaints[-1]}" if watcher.complaints else ""
        raise GraphError(
            f"the graph ended with status {status}{last}", f"The output of each node is in {description.data / 'log'}."
        )
    if len(bags.results) != description.episodes and not may_discard:
        raise GraphError(
            f"{len(bags.metas)} bags were closed in {description.data}, asked for were "
            f"{description.episodes - len(before)}",
            f"The output of each node is in {description.data / 'log'}; `xrollout episodes list` shows what is there.",
        )
    return bags


class _Watcher:
    """Takes the lines of the processes. The manager says something when a bag is closed, so then it looks."""

    def __init__(self, description: GraphDescription, console: Console, bar: Bar, bags: ClosedBags) -> None:
        self._description = description
        self._console = console
        self._bar = bar
        self._bags = bags
        self._show("starting the nodes")
        self._began_s = time.monotonic()
        self.complaints: list[str] = []

    def line(self, name: str, line: str) -> None:
        """One line of output of the process ``name``."""
        found = _LOG_LINE.match(line)
        level = found.group(1) if found else ""
        said = line[found.end() :] if found else line
        if level in ("WARN", "ERROR", "FATAL") or name == "starter":
            self.complaints = [*self.complaints[-_KEPT:], f"{name}: {said}"]
            self._print(f"{name}: {said}", "yellow" if level in ("", "WARN") else "red")
        if name == "manager" and not self.look() and not self._bags.metas:
            self._show(said[:_SHOWN])
            if not self._console.is_terminal and level == "INFO":
                self._print(said)

    def look(self) -> bool:
        """Show what has been closed since; whether there was anything."""
        fresh = self._bags.look()
        now_s = time.monotonic()
        if not self._bags.metas:
            # Still being brought up: what the manager says last before the first bag marks the first attempt's start.
            self._began_s = now_s
        if not fresh:
            return False
        done, spent_s = len(self._bags.results), max(1e-3, now_s - self._began_s)
        state = f"{self._bags.tally.text('/', done)} · {self._bags.commands / spent_s:.0f} steps/s"
        self._show(state)
        if not self._console.is_terminal:
            newest = fresh[-1]
            self._print(
                f"attempt {done}/{self._description.episodes}: {newest.outcome.value} "
                f"in {text.duration(newest.duration_s)} · {state}"
            )
        return True

    def _show(self, state: str) -> None:
        self._bar.show(len(self._bags.results), self._description.episodes, state)

    def _print(self, line: str, style: str = "") -> None:
        with aside():
            self._console.print(Text(line, style=style))
