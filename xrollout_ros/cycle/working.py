"""Runs a cycle's work in a process of its own, and follows it."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from os import getpid
from pathlib import Path
from typing import IO, Any

from xrollout_ros.cycle.ports import Told, WorkFailedError

_PERIOD_S = 0.2
_GRACE_S = 5.0
_RETRIES = 2
"""Times that work is begun again which was killed by a signal: it goes on where it was."""


def work(job: str, folder: Path, told: Told, turn: Callable[[], None]) -> None:
    """Run one of ``cycle.jobs``.

    Args:
        job: its name.
        folder: of the cycle.
        told: how far it is.
        turn: called several times a second; what it raises ends the work, which can be gone on with later.

    Raises:
        WorkFailedError: it came to nothing, or was killed again and again.
    """
    for left in reversed(range(_RETRIES + 1)):
        status, said = _once(job, folder, told, turn)
        if status == 0:
            return
        if status > 0 and "error" in said:
            raise WorkFailedError(said["kind"], said["error"], said["remedy"])
        if not left:
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            last = f"; the last it said: {said['line']}" if "line" in said else ""
            raise WorkFailedError(
                "", f"the process that was to {job} ended {how}, {_RETRIES + 1} times{last}",
                "Look for what killed it (memory?); then `xrollout flywheel run` goes on where it was.",
            )  # fmt: skip


def _once(job: str, folder: Path, told: Told, turn: Callable[[], None]) -> tuple[int, dict[str, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "xrollout_ros.cycle.jobs", job, str(folder), str(getpid())],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        # Ctrl-C is for whoever waits for it.
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), name=f"reads {job}", daemon=True).start()
    said: dict[str, Any] = {}
    try:
        while process.poll() is None:
            turn()
            _take(lines, said, told, _PERIOD_S)
    except BaseException:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    _take(lines, said, told, _PERIOD_S)
    return process.returncode, said


def _read(stream: IO[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)


def _take(lines: queue.Queue[str], said: dict[str, Any], told: Told, wait_s: float) -> None:
    """What it has said until now."""
    while True:
        try:
            line = lines.get(timeout=wait_s)
        except queue.Empty:
            return
        wait_s = 0.01
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            said["line"] = line.strip()
        elif "error" in found:
            said.update(found)
        else:
            told(found["what"], found["done"], found["total"])
