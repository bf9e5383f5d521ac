"""The dashboard beside a graph at 100 Hz with three cameras: page load, updates, processor time, late ticks; memory.

python benchmarks/dashboard.py [--seconds 40] [--hours 8]
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import cpu_s, percentiles, random_policy, run_graph, scratch, table
from control import RATE_HZ, filming, specs

from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.episodes.trace import Trace, trace

HERE = Path(__file__).parent
PORT = 8643


@dataclass
class Watched:
    """What a dashboard and who looked at it have told."""

    cpu_share: float = 0.0
    loads: list[float] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)


@contextmanager
def looked_at(seconds: float, folder: Path) -> Iterator[Watched]:
    """A dashboard, and a page of it that is open for so long."""
    watched = Watched()
    command = [sys.executable, "-m", "xrollout_ros.ui.cli", "monitor", "--dashboard", "--port", str(PORT)]
    dashboard = subprocess.Popen([*command, "--data", folder / "data"], stdout=subprocess.PIPE, text=True)
    assert dashboard.stdout is not None
    link = dashboard.stdout.readline().split()[-1]

    def look() -> None:
        looker = subprocess.Popen(
            [sys.executable, HERE / "dashboard_looker.py", link, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        assert looker.stdout is not None
        line = looker.stdout.readline()
        if not line:
            return
        watched.loads = json.loads(line)["loads"]
        begun_s = cpu_s(dashboard.pid)
        watched.seen = json.loads(looker.stdout.readline())
        watched.cpu_share = (cpu_s(dashboard.pid) - begun_s) / seconds
        looker.wait()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watched
        thread.join()
    finally:
        dashboard.send_signal(signal.SIGINT)
        dashboard.wait(20)


def control(seconds: float, looks: bool) -> tuple[Trace, Watched]:
    """One attempt of so many seconds, with a page open meanwhile or without."""
    with scratch() as folder:
        robot, task = specs(folder, seconds, "jpeg")
        model = random_policy(folder / "checkpoint.pt", str(robot), "drive")
        arguments = {
            "model": str(model), "robot": str(robot), "task": str(task), "drive": "real_time", "episodes": "1",
            "data": str(folder / "data"),
        }  # fmt: skip
        watched = Watched()
        with filming("jpeg", seconds + 80):
            if looks:
                # Loaded in the seconds in which the graph starts and the attempt begins, open to its end.
                with looked_at(seconds * 0.6, folder) as watched:
                    run_graph("deploy", arguments, recorder={"cameras": True})
            else:
                run_graph("deploy", arguments, recorder={"cameras": True})
        (entry,) = find_episodes(folder / "data")
        return trace(entry.path), watched


def made_up(*words: str) -> Iterator[dict[str, Any]]:
    """What the dashboard of a made-up graph tells, and who looks at it."""
    command = [sys.executable, HERE / "dashboard_made_up.py", str(PORT)]
    served = subprocess.Popen([*command, *words], stdout=subprocess.PIPE, text=True)
    assert served.stdout is not None
    link = json.loads(served.stdout.readline())["link"]
    seconds = "20" if not words else "100000"
    heap = ["--heap"] if words else []
    looker = subprocess.Popen(
        [sys.executable, HERE / "dashboard_looker.py", link, seconds, "--loads", "1", *heap],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert looker.stdout is not None
    kept: list[dict[str, Any]] = []

    def gather() -> None:
        assert looker.stdout is not None
        kept.extend(json.loads(line) for line in looker.stdout)

    try:
        if words:
            threading.Thread(target=gather, daemon=True).start()
            for line in served.stdout:
                yield {**json.loads(line), "page": kept[-1] if kept else {}}
        else:
            yield from (json.loads(line) for line in looker.stdout)
    finally:
        for process in (looker, served):
            process.send_signal(signal.SIGINT)
            process.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--hours", type=float, default=8.0, help="of a compressed run for memory; 0: none")
    options = parser.parse_args()
    rows: list[list[object]] = []
    for looks in (False, True):
        found, watched = control(options.seconds, looks)
        tick = next(stage for stage in found.stages if stage.name == "tick")
        name = "page open, three cameras shown" if looks else "no dashboard"
        rows.append([name, *percentiles(tick.seconds), found.late, found.commands])
        if looks:
            shown = [f"{watched.cpu_share:.0%}", f"{watched.seen['changes'] / (0.6 * options.seconds):.1f}"]
    table(
        f"Control at {RATE_HZ:g} Hz, {options.seconds:g} s, three cameras as jpeg, all nodes up and recording",
        ["tick: scheduled → published, ms", "p50", "p99", "max", "late", "ticks"],
        rows,
    )
    table(
        "The dashboard beside it, one page open in Chromium on the same two cores",
        ["", "p50", "p99", "max", "count"],
        [
            ["page load, nothing cached, s", *percentiles(watched.loads, 1.0), len(watched.loads)],
            ["CPU of a core with 3 cameras", shown[0], "", "", ""],
            ["updates of the page per second", shown[1], "", "", ""],
        ],
    )
    late: list[float] = []
    for told in made_up():
        late = told.get("late_ms", late)
        if late:
            break
    table(
        "From a look at the graph until it is seen (a made-up graph, nothing else running)",
        ["", "p50", "p99", "max", "count"],
        [["looked → in the page, ms", *percentiles(late, 1.0, 1), len(late)]],
    )
    if options.hours:
        memory: list[list[object]] = []
        for told in made_up("--hours", str(options.hours)):
            page = told["page"]
            kept = [f"{page['heap_mib']:.1f}", page["nodes"]] if "heap_mib" in page else ["", ""]
            memory.append([f"{told['hours']:g}", f"{told['mib']:.0f}", *kept, f"{told['s']:.0f}"])
            if told["hours"] >= options.hours:
                break
        columns = ["hours", "server: resident, MiB", "page: heap after collection, MiB", "page: nodes", "took, s"]
        table(f"{options.hours:g} h of a page that is open", columns, memory)


if __name__ == "__main__":
    main()
