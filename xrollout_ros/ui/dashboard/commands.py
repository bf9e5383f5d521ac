"""Runs xrollout's own commands for a page, at low priority and in processes of their own: the robot goes first."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from typing import Any

from xrollout_ros.core.errors import DataError

NICE = 10
_LINK = re.compile(r"https?://\S+")


def _command(*words: str) -> list[str]:
    return ["nice", "-n", str(NICE), sys.executable, "-c", "from xrollout_ros.ui.cli import main; main()", *words]


async def answer(*words: str) -> Any:
    """What a command prints as JSON.

    Raises:
        DataError: it ends with an error, which is repeated.
    """
    process = await asyncio.create_subprocess_exec(
        *_command(*words, "--json"), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        lines = err.decode(errors="replace").strip().splitlines()
        said = " ".join(line.strip() for line in lines if line.startswith(("error: ", "Error: ", "  → ")))
        raise DataError(said or f"xrollout {' '.join(words)} ended with status {process.returncode}", "")
    return json.loads(out)


class Viewers:
    """Bags that are served to a viewer, until the dashboard ends."""

    def __init__(self) -> None:
        self._serving: dict[str, tuple[asyncio.subprocess.Process, str]] = {}

    async def foxglove(self, episode_id: str, data: str) -> str:
        """The link under which an episode is opened; served once.

        Raises:
            DataError: it cannot be served.
        """
        if episode_id in self._serving:
            process, link = self._serving[episode_id]
            if process.returncode is None:
                return link
        process = await asyncio.create_subprocess_exec(
            *_command("episodes", "open", episode_id, "--data", data, "--no-browser", "--port", "0"),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        said = b""
        while line := await process.stdout.readline():
            said += line
            found = _LINK.search(line.decode(errors="replace"))
            if found:
                self._serving[episode_id] = (process, found.group())
                return found.group()
        raise DataError(f"{episode_id} cannot be served: {said.decode(errors='replace').strip()}", "")

    def close(self) -> None:
        """Serve no more."""
        for process, _ in self._serving.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        self._serving.clear()
