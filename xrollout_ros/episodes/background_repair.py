"""Repairs a data folder's torn bags in a process of its own, at the least priority."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.recovery import has_work, repair_all


class BackgroundRepair:
    """Repairs a data folder's torn bags without disturbing whoever records into it: in a process of the least
    priority, since in a thread its work on each message would hold up the callbacks.
    """

    def __init__(self, data: Path, say: Callable[[str], None]) -> None:
        """Begin.

        Args:
            data: the data folder.
            say: told of each bag, from a thread.
        """
        self._data, self._say = data, say
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="repair", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it; what was under way is begun again by the next one."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.terminate()
        self._thread.join(1.0)

    def wait(self, timeout_s: float) -> bool:
        """Wait until all is done; whether it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        if not has_work(self._data):
            return
        with self._lock:
            if self._stopped:
                return
            command = [sys.executable, "-m", __name__, str(self._data)]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        with self._process as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._say(line.rstrip())


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
