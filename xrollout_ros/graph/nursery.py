"""Where the starter's processes come from: one that has imported what the nodes need becomes each of them by a fork.

Seven interpreters that each import the same would take most of a graph's start. The nursery has one thread and does
nothing else, so that a fork finds everything in order, whatever the starter's own process is busy with.

The starter asks over a socket, a JSON object in each line, with the file that takes the output beside it; the nursery
answers with the process id and, later, with how the process ended.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import gc
import importlib
import json
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

NURSERY = "nursery"
LINE_BYTES = 2**20
"""Longest line of output that is passed on."""
_REQUEST_BYTES = 2**18
_READABLE = {"SPT_NOENV": "1"}
"""Lets setproctitle leave what ``/proc/<pid>/environ`` shows as it is."""
_GONE = "the process that makes the nodes has ended"
_UNKNOWN = 1
"""Exit status of what ended after the nursery, which alone could have said."""
_TITLE = "xrollout "
"""How ``ps`` shows a node; its name follows."""


def made_by(starter: int) -> dict[str, int]:
    """Process id by name of each node that runs, and of the nursery: what the kernel says of a starter's children.

    Args:
        starter: process id of ``xrollout up``.
    """
    parents, titles = dict[int, int](), dict[int, str]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
        except (OSError, IndexError):
            continue
    return {
        title.removeprefix(_TITLE): pid
        for pid, title in titles.items()
        if title.startswith(_TITLE) and starter in (parents[pid], parents.get(parents[pid]))
    }


class NodeProcess:
    """A process that the nursery has made.

    Attributes:
        pid: its id, also of its session and process group.
        returncode: exit status, a signal's number below 0; None: it runs.
        output: what it writes, standard error too.
    """

    def __init__(self, pid: int, output: asyncio.StreamReader) -> None:
        self.pid, self.output = pid, output
        self.returncode: int | None = None
        self._over = asyncio.Event()

    def ended(self, status: int) -> None:
        """It has ended."""
        self.returncode = status
        self._over.set()

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode


class Nursery:
    """The starter's side. Used in the thread of a running event loop.

    Args:
        modules: what to import beforehand.
        environment: of all processes.
        on_gone: called when the nursery has ended by itself. What it made runs on; how it ends is not known then.
    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str], on_gone: Callable[[], None]) -> None:
        self._on_gone = on_gone
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", __name__, str(other.fileno()), *modules],
            stdin=subprocess.DEVNULL, pass_fds=[other.fileno()], start_new_session=True,
            env={**environment, **_READABLE},
        )  # fmt: skip
        other.close()
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)
        self._rest = b""
        self._asked: list[tuple[asyncio.Future[NodeProcess], asyncio.StreamReader]] = []
        self._nodes: dict[int, NodeProcess] = {}

    async def born(self, name: str, module: str, arguments: Sequence[str]) -> NodeProcess:
        """Have a process made that runs ``main`` of a module, in a session of its own.

        Args:
            name: shown by ``ps`` and the like.
            module: of the node.
            arguments: what follows the program's name on the command line.

        Raises:
            ChildProcessError: the nursery is gone.
        """
        mine, its = os.pipe()
        output = asyncio.StreamReader(limit=LINE_BYTES)
        await self._loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), os.fdopen(mine, "rb", buffering=0)
        )
        request = json.dumps({"name": name, "module": module, "arguments": list(arguments)}).encode() + b"\n"
        answer: asyncio.Future[NodeProcess] = self._loop.create_future()
        self._asked.append((answer, output))
        try:
            sent = socket.send_fds(self._socket, [request], [its])
            await self._loop.sock_sendall(self._socket, request[sent:])
        except OSError as error:
            raise ChildProcessError(f"{_GONE} ({error})") from error
        finally:
            os.close(its)
        return await answer

    async def close(self) -> None:
        """Make no more; processes that run go on, and nobody knows how they end."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    def _read(self) -> None:
        try:
            got = self._socket.recv(2**16)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:
            self._gone()
            return
        *lines, self._rest = (self._rest + got).split(b"\n")
        for line in lines:
            said: dict[str, int] = json.loads(line)
            pid = said["pid"]
            if "status" in said:
                self._nodes.pop(pid).ended(said["status"])
                continue
            answer, output = self._asked.pop(0)
            self._nodes[pid] = node = NodeProcess(pid, output)
            if not answer.done():
                answer.set_result(node)

    def _gone(self) -> None:
        self._loop.remove_reader(self._socket)
        for pid, node in self._nodes.items():
            self._wait_for(pid, node)
        self._nodes.clear()
        for answer, _ in self._asked:
            if not answer.done():
                answer.set_exception(ChildProcessError(_GONE))
        self._asked.clear()
        self._on_gone()

    def _wait_for(self, pid: int, node: NodeProcess) -> None:
        """Have a node know when it has ended, though it is nobody's child any more."""
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            node.ended(_UNKNOWN)
            return

        def over() -> None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
            node.ended(_UNKNOWN)

        self._loop.add_reader(descriptor, over)


class _Served:
    """The nursery's side."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._born: dict[int, int] = {}
        """Process ids by the descriptor that says when they end."""

    def until_born(self) -> str:
        """Serve; in a process that was made, the name of the module to run. Empty: the starter is gone."""
        rest, files = b"", array.array("i")
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._born:
                    self._ended(key.fd)
                    continue
                got, fresh, _, _ = socket.recv_fds(self._socket, _REQUEST_BYTES, 16)
                if not got:
                    return ""
                files.extend(fresh)
                *lines, rest = (rest + got).split(b"\n")
                for line in lines:
                    module = self._make(json.loads(line), files.pop(0))
                    if module:
                        return module

    def _make(self, request: dict[str, Any], output: int) -> str:
        ready, its = os.pipe()
        pid = os.fork()
        if pid:
            os.close(output)
            # A signal to its group reaches nobody before it has one.
            os.close(its)
            os.read(ready, 1)
            os.close(ready)
            descriptor = os.pidfd_open(pid)
            self._born[descriptor] = pid
            self._selector.register(descriptor, selectors.EVENT_READ)
            self._say(pid=pid)
            return ""
        os.setsid()
        os.close(ready)
        os.close(its)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        self._selector.close()
        self._socket.close()
        for descriptor in self._born:
            os.close(descriptor)
        sys.argv = [request["module"], *request["arguments"]]
        setproctitle(f"{_TITLE}{request['name']}")
        return str(request["module"])

    def _ended(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        os.close(descriptor)
        pid = self._born.pop(descriptor)
        _, status = os.waitpid(pid, 0)
        self._say(pid=pid, status=os.waitstatus_to_exitcode(status))

    def _say(self, **values: int) -> None:
        # A starter that was killed listens no more; that is seen at the next turn.
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(values).encode() + b"\n")


def main() -> None:
    """``python -m xrollout_ros.graph.nursery DESCRIPTOR MODULE …``."""
    descriptor, *modules = sys.argv[1:]
    setproctitle(f"{_TITLE}{NURSERY}")
    for name in modules:
        # What cannot be imported says so where it is needed.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Nothing that is shared is copied because a collection has looked at it.
    gc.freeze()
    module = _Served(int(descriptor)).until_born()
    if module:
        gc.unfreeze()
        importlib.import_module(module).main()


if __name__ == "__main__":
    main()
