"""Runs xrollout's own commands for a page, at low priority and in processes of their own: the robot goes first."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from xrollout_ros.core.errors import DataError

NICE = 10


async def answer(*words: str) -> Any:
    """What a command prints as JSON.

    Raises:
        DataError: it ends with an error, which is repeated.
    """
    process = await asyncio.create_subprocess_exec(
        "nice", "-n", str(NICE), sys.executable, "-m", "xrollout_ros.ui.cli", *words, "--json",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
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
