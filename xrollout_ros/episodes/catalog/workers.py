"""Reads many bags at once, in processes of their own: what a damaged bag does there, the caller survives."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from xrollout_ros.episodes.catalog.bags import look

ALONE = 200
"""So few are read quicker than processes start."""
_WAITING = 1000
R = TypeVar("R")


def look_at(data: Path, paths: Sequence[str], workers: int = 0) -> Iterator[dict[str, Any]]:
    """What :func:`look` finds of each bag, in any order.

    Args:
        data: the data folder.
        paths: the bags' folders, below it.
        workers: processes; 0: one for each processor core, and none for a few bags.
    """
    if not workers:
        workers = 0 if len(paths) <= ALONE else len(os.sched_getaffinity(0))
    if not workers:
        yield from (look(data, path) for path in paths)
        return
    for path, found in served([sys.executable, "-m", __name__, str(data)], paths, workers):
        ended = {"path": path, "problem": "reading it ended the process that did", "bytes": 0, "mtime_ns": 0}
        yield ended if found is None else found


def served(command: Sequence[str], requests: Sequence[R], workers: int) -> Iterator[tuple[R, dict[str, Any] | None]]:
    """Each request with the answer of a process, in any order; None: the process died of it, and another took over.

    Args:
        command: of the process, which reads requests as JSON and writes an object for each, line by line.
        requests: values that JSON knows.
        workers: so many processes.
    """
    todo: queue.SimpleQueue[R] = queue.SimpleQueue()
    for request in requests:
        todo.put(request)
    done: queue.Queue[tuple[R, dict[str, Any] | None]] = queue.Queue(_WAITING)
    stop = threading.Event()
    threads = [threading.Thread(target=_serve, args=(command, todo, done, stop), daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for _ in requests:
            yield done.get()
    finally:
        stop.set()
        while any(thread.is_alive() for thread in threads):
            while not done.empty():
                done.get()
            threads[0].join(0.01)
            threads = [thread for thread in threads if thread.is_alive()] or threads


def _serve(
    command: Sequence[str],
    todo: queue.SimpleQueue[R],
    done: queue.Queue[tuple[R, dict[str, Any] | None]],
    stop: threading.Event,
) -> None:
    process: subprocess.Popen[str] | None = None
    try:
        while not stop.is_set():
            try:
                request = todo.get_nowait()
            except queue.Empty:
                return
            try:
                process = process or _start(command)
            except OSError:
                done.put((request, None))
                continue
            found = _ask(process, request)
            if found is None:
                process.kill()
                process.wait()
                process = None
            done.put((request, found))
    finally:
        if process is not None:
            assert process.stdin is not None
            with suppress(OSError):
                process.stdin.close()
            process.wait()


def _start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def _ask(process: subprocess.Popen[str], request: object) -> dict[str, Any] | None:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        found = json.loads(line) if line.endswith("\n") else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def main() -> None:
    """``python -m xrollout_ros.episodes.catalog.workers DATA``: paths as JSON in, rows as JSON out, line by line."""
    data = Path(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(look(data, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
