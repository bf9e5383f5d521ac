"""Soak: real graphs at 50 Hz, strategies in turn, random faults; what must never happen is counted.

python benchmarks/soak.py --minutes 60 [--seed 0] [--data DIR]

Exit status 1 where something happened that must not; its details are printed and its files kept.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from common import random_policy, table
from soak_bags import Bags
from soak_faults import Faults
from soak_graph import Graph
from soak_table import rows
from soak_watcher import Limits, Watch, now_text, watching

from xrollout_ros.core.episode import Strategy
from xrollout_ros.core.resources import share_dir
from xrollout_ros.graph.domains import hold_domain

RATE_HZ = 50.0
MAX_RATE = 4.0
LOWER, UPPER = -1.0, 1.0
ATTEMPT_S = 8.0
TURN_S = 150.0
START_S = 60.0
STUCK_S = 75.0
"""Without a command of the policy for this long, whatever was done to the graph: it does not come back."""
BY_ITSELF_S = 20.0
"""How long a graph has to end after its manager was killed."""
BETWEEN_S = (1.0, 6.0)
"""Time between two faults."""
DISK_MIB = 24
DISK = "small disk"
VARIANTS = (("effort", RATE_HZ), ("velocity", RATE_HZ / 2))
"""Kind of the car's action, and rate of the policy: one is sent once for each row, the other interpolated."""
DEAD_URL = "ftp://127.0.0.1:9/bags"
"""Nobody listens on that port."""


def specs(folder: Path, kind: str, policy_rate_hz: float) -> tuple[Path, Path, Path]:
    """Robot, task and model: a car that never reaches its goal, so that only time and faults end an attempt."""
    config = share_dir() / "config"
    robot = yaml.safe_load((config / "robots/gym_mountain_car.yaml").read_text())
    robot |= {"id": f"car_{kind}", "control_rate_hz": RATE_HZ, "policy_rate_hz": policy_rate_hz}
    robot["actions"][0] |= {"kind": kind, "lower": LOWER, "upper": UPPER, "max_rate": MAX_RATE}
    robot["sim"]["make"] = {"max_episode_steps": 10**6, "goal_velocity": 1.0}
    for entry in robot["observations"]:
        entry["rate_hz"] = policy_rate_hz
    task = yaml.safe_load((config / "tasks/mountain_car.yaml").read_text())
    task |= {"id": "soak", "robot": robot["id"], "time_limit_s": ATTEMPT_S, "success": {"signal": "human"}}
    paths = (folder / f"{kind}_robot.yaml", folder / f"{kind}_task.yaml")
    for path, document in zip(paths, (robot, task), strict=True):
        path.write_text(yaml.safe_dump(document))
    return *paths, random_policy(folder / f"{kind}.pt", str(paths[0]), "soak")


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A disk of some MiB; none where this process may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)


class Soak:
    """The turns, one graph after the other."""

    def __init__(self, folder: Path, watch: Watch, faults: Faults, chance: random.Random, until_s: float) -> None:
        self.folder, self.watch, self.faults, self.chance, self.until_s = folder, watch, faults, chance, until_s
        self.begun_s = time.monotonic()
        self.bags = Bags(watch)
        self.graphs = 0
        self.restarts: Counter[str] = Counter()
        """Of nodes by the starter, by us of graphs."""
        self.full = 0
        self._said_min = 0

    def turn(self, strategy: str, files: tuple[Path, Path, Path], data: Path, disk: Path | None, for_s: float) -> None:
        """Run graphs of one strategy for a while; one that ends as it should is started again in the same folder."""
        ends_s = min(self.until_s, time.monotonic() + for_s)
        while time.monotonic() < ends_s:
            self._graph(strategy, files, data, disk, ends_s)

    def _graph(
        self, strategy: str, files: tuple[Path, Path, Path], data: Path, disk: Path | None, ends_s: float
    ) -> None:
        robot, task, model = files
        known = set(self.watch.attempts)
        kills_before = {node: len(times) for node, times in self.faults.kills.items()}
        arguments = {
            "model": str(model),
            "robot": str(robot),
            "task": str(task),
            "drive": "real_time",
            "episodes": "100000",
            "data": str(data),
            "strategy": strategy,
        }
        if strategy == Strategy.SENTRY.value:
            arguments["upload"] = DEAD_URL
        self.watch.begin(Limits(LOWER, UPPER, MAX_RATE / RATE_HZ))
        self.graphs += 1
        graph = Graph(arguments, self.folder / f"graph{self.graphs:03d}_{strategy}.log")
        self.faults.begin(graph, strategy, disk)
        try:
            self._run(graph, ends_s)
        finally:
            self.faults.settle()
            if not graph.end():
                self.watch.violation("graph did not end", f"within its time after Ctrl-C: {graph.log}")
        self._judge(graph, kills_before)
        time.sleep(0.5)  # what was sent last is still on its way to the watcher
        with self.watch.lock:
            attempts = [attempt for name, attempt in self.watch.attempts.items() if name not in known]
        self.bags.account(data, strategy, attempts, self.faults.kills, self.faults.full)

    def _run(self, graph: Graph, ends_s: float) -> None:
        """Faults at random until the turn is over, or the graph has ended."""
        begun_s = time.monotonic()
        next_s: float | None = None
        while (now_s := time.monotonic()) < ends_s and not graph.ended:
            self._progress()
            self.faults.work()
            driven_s = self.watch.driven_s
            if next_s is None:
                if driven_s > begun_s:
                    next_s = now_s + self.chance.uniform(*BETWEEN_S)
                elif now_s > begun_s + START_S:
                    self.watch.violation(
                        "graph did not come back", f"it did not start within {START_S:g} s: {graph.log}"
                    )
                    return
            elif now_s > next_s:
                self._note(graph, self.faults.inject())
                next_s = now_s + self.chance.uniform(*BETWEEN_S)
            if next_s is not None and now_s - driven_s > STUCK_S:
                self.watch.violation(
                    "graph did not come back", f"the policy has not driven for {STUCK_S:g} s: {graph.log}"
                )
                return
            if self._manager_killed_s(graph) > BY_ITSELF_S:
                self.watch.violation("graph did not end", f"{BY_ITSELF_S:g} s after its manager's death: {graph.log}")
                return
            time.sleep(0.02)

    def _manager_killed_s(self, graph: Graph) -> float:
        times = [
            at_s
            for at_s in self.faults.kills.get("manager", ())
            if time.time() - at_s < time.monotonic() - graph.begun_s
        ]
        return time.time() - times[-1] if times else 0.0

    def _note(self, graph: Graph, fault: str) -> None:
        if fault:
            with graph.log.with_suffix(".faults").open("a") as file:
                file.write(f"{time.time():.3f} {now_text()} {fault}\n")

    def _judge(self, graph: Graph, kills_before: dict[str, int]) -> None:
        """Why the graph ended, and who died of themselves."""
        output = graph.output()
        killed = {node: len(times) - kills_before.get(node, 0) for node, times in self.faults.kills.items()}
        deaths = Counter(node for node, _ in graph.deaths())
        for node, count in deaths.items():
            self.restarts[node] += count
            if count > killed.get(node, 0):
                ways = ", ".join(how for name, how in graph.deaths() if name == node)
                self.watch.violation(
                    "died by itself", f"{node}: {ways}, of which we killed {killed.get(node, 0)}: {graph.log}"
                )
        tracebacks = output.count("Traceback") - len(re.findall(r"^\[\w+\] KeyboardInterrupt$", output, re.MULTILINE))
        if tracebacks > 0:
            self.watch.violation("traceback", f"{tracebacks} in {graph.log}")
        if graph.process.returncode in (0, 130):
            return
        self.restarts["graph"] += 1
        full = any(end > time.time() - (time.monotonic() - graph.begun_s) for _, end in self.faults.full)
        if killed.get("manager"):
            return
        if full and "cannot be recorded" in output:
            self.full += 1
            return
        last = "\n    ".join(output.splitlines()[-6:])
        self.watch.violation(
            "graph did not come back", f"it ended with status {graph.process.returncode}: {graph.log}\n    {last}"
        )

    def _progress(self) -> None:
        minutes = int((time.monotonic() - self.begun_s) / 60)
        if minutes > self._said_min:
            self._said_min = minutes
            closed = sum(attempt.closed_s > 0 for attempt in list(self.watch.attempts.values()))
            print(
                f"{minutes} min: {closed} attempts closed, {self.faults.counts.total()} faults, "
                f"{self.restarts.total()} restarts, {len(self.watch.violations)} violations",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder of the bags and outputs, kept; else a temporary one")
    parser.add_argument("--strategy", action="append", choices=[each.value for each in Strategy], help="only this one")
    options = parser.parse_args()
    held = socket.socket()  # open as long as this process runs
    os.environ["ROS_DOMAIN_ID"] = str(hold_domain(held))
    folder = (options.data or Path(tempfile.mkdtemp(prefix="xrollout-soak-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(options.seed)
    strategies = options.strategy or [strategy.value for strategy in Strategy]
    begun_s = time.monotonic()
    until_s = begun_s + 60 * options.minutes
    files = [specs(folder, kind, rate_hz) for kind, rate_hz in VARIANTS]
    print(f"seed {options.seed}, files in {folder}, strategies in turn: {', '.join(strategies)}, {DISK}", flush=True)
    with watching("/car/command") as (watch, node), small_disk(folder / "disk") as disk:
        faults = Faults(chance, watch, node, "/car/joint_states")
        soak = Soak(folder, watch, faults, chance, until_s)
        turns = [*strategies, *([DISK] if disk is not None and not options.strategy else [])]
        turn_s = min(TURN_S, 60 * options.minutes / len(turns))
        if disk is None:
            print(f"{DISK}: not tried, since this process may not mount one", flush=True)
        for number, turn in enumerate(itertools.cycle(turns)):
            if time.monotonic() > until_s - 15.0:
                break
            small = turn == DISK
            strategy = Strategy.EPISODIC.value if small else turn
            data = disk / "data" if small and disk is not None else folder / f"data_{strategy}"
            soak.turn(
                strategy, files[(number + number // len(turns)) % len(files)], data, disk if small else None, turn_s
            )
        soak.bags.look_again()
        ran_min = (time.monotonic() - begun_s) / 60
        table(
            f"Soak, {ran_min:.0f} min at {RATE_HZ:g} Hz, seed {options.seed}, strategies in turn: {', '.join(turns)}",
            ["", "", "aim"],
            rows(soak.bags, faults, soak.restarts, soak.graphs, soak.full),
        )
        if disk is None:
            print(f"\n{DISK}: not tried")
        violations = list(watch.violations)
        if violations and disk is not None:
            shutil.copytree(disk, folder / "disk_kept", dirs_exist_ok=True)
    if violations:
        print(f"\n{len(violations)} violations, seed {options.seed}, files kept in {folder}")
        for found in violations:
            print(f"  {found.at} {found.kind}: {found.what}")
        return 1
    if options.data is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
