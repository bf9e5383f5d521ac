"""Opens an episode in a viewer beside the review, and ends it with the review."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

_SETTLE_S = 3.0
_POLL_S = 0.05
_END_S = 5.0
_SHOWN_BYTES = 4096


class Viewer:
    """One viewer at a time: `xrollout episodes open` in a process of its own; a context manager."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._files = ExitStack()
        self._said: int | None = None

    def __enter__(self) -> Viewer:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self, episode_id: str) -> str:
        """Start the default viewer at the moment that counts.

        Returns:
            What it said until it was up, or why it is not.
        """
        self.close()
        said = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (it outlives this call)
        command = [sys.executable, "-m", "xrollout_ros.ui.cli", "episodes", "open", episode_id]
        self._process = subprocess.Popen(
            [*command, "--data", str(self._data)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._said = said.fileno()
        until_s = time.monotonic() + _SETTLE_S
        while time.monotonic() < until_s and self._process.poll() is None and not self._told():
            time.sleep(_POLL_S)
        told = self._told()
        if self._process.poll():
            return told or f"the viewer ended with exit code {self._process.returncode}"
        return told or "the viewer is starting"

    def _told(self) -> str:
        if self._said is None:
            return ""
        # Not by reading the file: the viewer writes at the place where we would have left it.
        return os.pread(self._said, _SHOWN_BYTES, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """End the viewer."""
        if self._process is not None and self._process.poll() is None:
            # The group: what the command has started ends with it.
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._files.close()
        self._process, self._said = None, None
