"""Runs xrollout's own commands for a page, at low priority and in processes of their own: the robot goes first."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from nicegui import background_tasks

from xrollout_ros.core.errors import DataError, XRolloutError

NICE = 10


async def answer(*words: str) -> Any:
    """What a command prints as JSON.

    Raises:
        DataError: it ends with an error, which is repeated.
    """
    process = await asyncio.create_subprocess_exec(
        "nice", "-n", str(NICE), sys.executable, "-m", "xrollout_ros.ui.cli", *words, "--json",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    found = json.loads(out) if out else {"error": {}}
    if process.returncode != 0:
        error = found.get("error", {})
        ended = f"xrollout {' '.join(words)} ended with status {process.returncode}"
        raise DataError(error.get("what", ended), error.get("remedy", "Run it in a terminal: it says more there."))
    return found


class Question:
    """A command whose answer is shown to all that look.

    Args:
        words: of the command.
    """

    def __init__(self, *words: str) -> None:
        self._words = words
        self.found: Any = None
        """The answer; None: there is none yet."""
        self.problem = ""
        self.busy = False

    def ask(self) -> None:
        """Ask again; pages see the answer when it is there."""
        if not self.busy:
            self.busy = True
            background_tasks.create(self._ask(), name=self._words[0])

    async def _ask(self) -> None:
        try:
            self.found, self.problem = await answer(*self._words), ""
        except XRolloutError as error:
            self.problem = str(error)
        finally:
            self.busy = False
