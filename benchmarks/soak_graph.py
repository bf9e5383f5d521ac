"""The soak's graphs: started as a user does, their processes found by what the kernel says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from xrollout_ros.graph.nursery import NURSERY, made_by

COMMAND = [sys.executable, "-c", "from xrollout_ros.ui.cli import main; main()"]
DEATH = re.compile(r"\[starter\] (\w+) (?:ended|died).*?(by signal \w+|with status \d+)")
END_S = 20.0


class Graph:
    """``xrollout up deploy`` in a process of its own, its output in a file."""

    def __init__(self, arguments: dict[str, str], log: Path) -> None:
        words = [f"{name}:={value}" for name, value in arguments.items()]
        self.log = log
        self.begun_s = time.monotonic()
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "deploy", *words], stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )

    def nodes(self) -> dict[str, int]:
        """Process id of each node that runs."""
        return {name: pid for name, pid in made_by(self.process.pid).items() if name != NURSERY}

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def deaths(self) -> list[tuple[str, str]]:
        """Every node that the starter saw die, and how."""
        return DEATH.findall(self.output())

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def wait(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
        return self.ended

    def end(self) -> bool:
        """End it as Ctrl-C does; whether it ended by itself in time."""
        nodes = self.nodes()
        for pid in nodes.values():  # one that is stopped cannot end
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        if self.ended:
            return True
        self.process.send_signal(signal.SIGINT)
        if self.wait(END_S):
            return True
        for pid in (*self.nodes().values(), self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return False
