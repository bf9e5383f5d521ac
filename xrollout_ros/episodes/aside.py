"""Work on a data folder beside whoever records into it: in a process of its own, which is given the least priority."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path


class Aside:
    """Runs ``python -m MODULE DATA``, once. In a thread its work on each message would hold up the callbacks."""

    def __init__(self, module: str, data: Path, say: Callable[[str], None], wanted: Callable[[], bool]) -> None:
        """Begin.

        Args:
            module: what is run; it lowers its own priority.
            data: the data folder.
            say: told each line that it prints, from a thread.
            wanted: whether there is anything to do; asked in that thread.
        """
        self._command = [sys.executable, "-m", module, str(data)]
        self._say, self._wanted = say, wanted
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=module.rpartition(".")[2], daemon=True)
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
        if not self._wanted():
            return
        with self._lock:
            if self._stopped:
                return
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        with self._process as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._say(line.rstrip())
