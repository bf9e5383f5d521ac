"""Repairs a data folder's torn bags in a process of its own, at the least priority."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.aside import Aside
from xrollout_ros.episodes.recovery import has_work, repair_all


def repair_aside(data: Path, say: Callable[[str], None]) -> Aside:
    """Begin to repair a data folder's torn bags; ``say`` is told of each, from a thread."""
    return Aside(__name__, data, say, lambda: has_work(data))


def main() -> None:
    """``python -m xrollout_ros.episodes.background_repair DATA``: one line for each bag, at the least priority."""
    os.nice(19)
    with suppress(KeyboardInterrupt):  # Ctrl-C in the terminal is for whoever started this; the next one goes on
        for result in repair_all(Path(sys.argv[1]), SystemClock()):
            if isinstance(result, BagError):
                print(f"not repaired: {result}", flush=True)
            else:
                print(f"repaired: {result.path} ({result.messages} messages)", flush=True)


if __name__ == "__main__":
    main()
