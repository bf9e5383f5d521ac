"""Starts a graph's processes where ``launch_ros`` is not installed, restarts what dies, and ends all in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from xrollout_ros.core.errors import INTERRUPTED, GraphError
from xrollout_ros.graph.description import GraphDescription, Process
from xrollout_ros.graph.middleware import middleware
from xrollout_ros.graph.nursery import NodeProcess, Nursery

RESTARTS_PER_MINUTE = 3
FIRST_DELAY_S = 0.25
LONGEST_DELAY_S = 2.0
MANAGER_GRACE_S = 2.5
"""How long the manager has to close the bag and take the nodes down."""
NODE_GRACE_S = 4.0
"""How long after the beginning of the end the nodes have."""
TERM_GRACE_S = 0.4

Line = Callable[[str, str], None]
"""Called with a process's name and one line of its output."""


def print_line(name: str, line: str) -> None:
    """One line of output with the name of who wrote it."""
    sys.stdout.write(f"[{name}] {line}\n")
    sys.stdout.flush()


def run(description: GraphDescription, on_line: Line = print_line) -> int:
    """Start the graph and stay until it ends.

    Args:
        description: what to start.
        on_line: takes the output of the processes, line by line, and the starter's own under the name ``starter``.

    Returns:
        The manager's exit status; ``INTERRUPTED`` after Ctrl-C.

    Raises:
        GraphError: a process died too often, or another graph runs in this ROS domain.
    """
    with only_one():
        return asyncio.run(_Starter(description, on_line).run())


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold the ROS domain on this machine: two graphs of the same names would answer for each other.

    Raises:
        GraphError: it is held.
    """
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    path = Path(tempfile.gettempdir()) / f"xrollout-{os.getuid()}-domain-{domain}.lock"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GraphError(
                f"a graph is running already in ROS domain {domain}",
                "End it, or start this one in another domain: ROS_DOMAIN_ID=<0 to 101>.",
            ) from error
        yield


def arguments_of(process: Process) -> list[str]:
    """What a process is given on its command line."""
    arguments = ["--ros-args"]
    for name, value in process.parameters.items():
        # An empty string is YAML's null, which is no string: quote what would be read as something else.
        text = yaml.safe_dump(value, default_style='"' if isinstance(value, str) else None, width=10**6)
        arguments += ["-p", f"{name}:={text.removesuffix('...').strip().removesuffix('...').strip()}"]
    return arguments


@dataclass
class _Child:
    process: Process
    handle: NodeProcess | None = None
    born_s: list[float] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self.handle is not None and self.handle.returncode is None


class _Starter:
    def __init__(self, description: GraphDescription, on_line: Line) -> None:
        self._children = [_Child(process) for process in description.processes]
        self._on_line = on_line
        self._ending = asyncio.Event()
        self._interrupted = False
        self._failure: GraphError | None = None
        self._middleware = middleware()
        self._log_dir = description.data / "log" / time.strftime("%Y%m%d-%H%M%S")

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        watchers = []
        nursery = self._nursery = Nursery(
            [child.process.module for child in self._children], {**os.environ, **self._middleware.variables},
            self._nursery_gone,
        )  # fmt: skip
        try:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            if self._middleware.warning:
                self._say(self._middleware.warning)
            for child in self._children:
                await self._start(child)
                watchers.append(asyncio.create_task(self._watch(child)))
            await self._ending.wait()
        finally:
            self._ending.set()
            await self._end()
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            await nursery.close()
        if self._failure is not None:
            raise self._failure
        if self._interrupted:
            return INTERRUPTED
        manager = self._children[-1].handle
        return manager.returncode or 0 if manager is not None else 1

    def _say(self, line: str) -> None:
        self._on_line("starter", line)

    def _interrupt(self) -> None:
        if not self._interrupted:
            self._say("ending: closing the bag, taking the nodes down")
        self._interrupted = True
        self._ending.set()

    def _nursery_gone(self) -> None:
        self._failure = GraphError("the process that makes the nodes has ended", "Start the graph again.")
        self._say(f"{self._failure.what}; ending: closing the bag, taking the nodes down")
        self._ending.set()

    async def _start(self, child: _Child) -> None:
        process = child.process
        # A session of its own: Ctrl-C in the terminal reaches the starter alone, which ends them in order.
        try:
            child.handle = await self._nursery.born(process.name, process.module, arguments_of(process))
        except ChildProcessError as error:
            raise GraphError(f"{process.name} cannot be started: {error}", "Start the graph again.") from error
        child.born_s.append(time.monotonic())
        child.reader = asyncio.create_task(self._read(child.handle, process.name))

    async def _read(self, handle: NodeProcess, name: str) -> None:
        while True:
            try:
                raw = await handle.output.readline()
            except ValueError:
                continue  # longer than the limit: that line is dropped, the next one is read
            if not raw:
                return
            line = raw.decode(errors="replace").rstrip("\n")
            self._log(name, line)
            self._on_line(name, line)

    def _log(self, name: str, line: str) -> None:
        # A disk that is full must not end the reading: a node whose output nobody takes comes to a halt.
        with contextlib.suppress(OSError), (self._log_dir / f"{name}.log").open("a", encoding="utf-8") as log:
            log.write(line + "\n")

    async def _watch(self, child: _Child) -> None:
        """Wait for the end of a process; bring it back, or end everything."""
        delay_s = FIRST_DELAY_S
        name = child.process.name
        while True:
            assert child.handle is not None
            status = await child.handle.wait()
            if child.reader is not None:
                await child.reader
            if self._ending.is_set():
                return
            if not child.process.managed:
                self._ending.set()
                return
            why = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            recent = [born_s for born_s in child.born_s if time.monotonic() - born_s < 60.0]
            if len(recent) > RESTARTS_PER_MINUTE and not child.process.vital:
                self._say(f"{name} died {len(recent)} times within a minute, the last time {why}; going on without it")
                return
            if len(recent) > RESTARTS_PER_MINUTE:
                self._failure = GraphError(
                    f"{name} died {len(recent)} times within a minute, the last time {why}",
                    f"Its output is in {self._log_dir / (name + '.log')}.",
                )
                self._say(str(self._failure))
                self._ending.set()
                return
            self._say(f"{name} ended {why}; starting it again in {delay_s:g} s")
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ending.wait(), delay_s)
                return
            delay_s = min(LONGEST_DELAY_S, 2 * delay_s)
            await self._start(child)

    async def _end(self) -> None:
        """The manager first, which closes the bag and takes the nodes down; then the others, ever more firmly."""
        *others, manager = self._children
        begin_s = time.monotonic()
        await self._signal([manager], signal.SIGINT, MANAGER_GRACE_S)
        await self._signal(others, signal.SIGINT, NODE_GRACE_S - (time.monotonic() - begin_s))
        await self._signal(self._children, signal.SIGTERM, TERM_GRACE_S)
        await self._signal(self._children, signal.SIGKILL, TERM_GRACE_S)

    async def _signal(self, children: list[_Child], number: signal.Signals, grace_s: float) -> None:
        handles = [child.handle for child in children if child.alive and child.handle is not None]
        for handle in handles:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(handle.pid, number)
        if number in (signal.SIGTERM, signal.SIGKILL):
            for child in children:
                if child.alive:
                    self._say(f"{child.process.name} does not end; sending {number.name}")
        if handles:
            await asyncio.wait([asyncio.create_task(handle.wait()) for handle in handles], timeout=grace_s)
