"""Opens an episode in a viewer beside a review or the dashboard, and ends it with them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from xrollout_ros.ui.commands.episodes_open import PORT

_PATIENCE_S = 10.0
_QUIET_S = 1.0
_POLL_S = 0.05
_END_S = 5.0
_SHOWN_BYTES = 4096


class Viewer:
    """One viewer at a time: `xrollout episodes open` in a process of its own; a context manager.

    Args:
        data: folder of the bags.
        browser: it opens one; else it only says the links.
    """

    def __init__(self, data: Path, *, browser: bool = True) -> None:
        self._data, self._browser = data, browser
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._files = ExitStack()
        self._said: int | None = None

    def __enter__(self) -> Viewer:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def open(self, episode_id: str, at_s: float | None = None, without_layers: Sequence[str] = ()) -> str:
        """Start the default viewer, in the place of the one before.

        Args:
            episode_id: ULID.
            at_s: where to open it, s since the start; None: at the moment that counts.
            without_layers: what was said in these is not shown.

        Returns:
            What it said until it was up, or why it is not.
        """
        self.close()
        said = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (it outlives this call)
        command = [sys.executable, "-m", "xrollout_ros.ui.cli", "episodes", "open", episode_id]
        self._process = subprocess.Popen(
            [
                *command,
                "--data",
                str(self._data),
                "--port",
                str(self._port),
                *([] if self._browser else ["--no-browser"]),
                *([] if at_s is None else ["--at", f"{at_s:.3f}"]),
                *(word for layer in without_layers for word in ("--without-layer", layer)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        self._said = said.fileno()
        self._wait_until_told(self._process)
        told = self._told()
        if self._process.poll():
            return told or f"the viewer ended with exit code {self._process.returncode}"
        with_whom = "the review" if self._browser else "the dashboard"
        return f"{told or 'the viewer is starting'}\n(it ends when another is opened, and with {with_whom})"

    def _wait_until_told(self, process: subprocess.Popen[bytes]) -> None:
        """Until it has ended, or has said something and then nothing more for a while."""
        begun_s = changed_s = time.monotonic()
        told = ""
        while process.poll() is None and (now_s := time.monotonic()) < begun_s + _PATIENCE_S:
            if (more := self._told()) != told:
                told, changed_s = more, now_s
            if told and now_s > changed_s + _QUIET_S:
                return
            time.sleep(_POLL_S)

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


def _free_port() -> int:
    """The usual one, or any where somebody else has that. The same for the whole review: Foxglove connects again."""
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return PORT
