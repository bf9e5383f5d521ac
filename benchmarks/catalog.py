"""The catalog at scale: generated episodes in the live store and its snapshots, writers beside questions, real bags."""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from catalog_bags import a_bag, indexing, meta
from common import table

from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.columns import EPISODES, names
from xrollout_ros.episodes.catalog.compaction import compact
from xrollout_ros.episodes.catalog.filters import parse
from xrollout_ros.episodes.catalog.live import FILE, SqliteStore
from xrollout_ros.episodes.catalog.query import Question
from xrollout_ros.episodes.catalog.rows import row_of
from xrollout_ros.episodes.catalog.snapshots import Snapshots

CHUNK = 200_000
BATCH = 5_000
KILLS = 20
PACE_S = 0.05
"""Each writer appends one episode in this time."""
_ALPHABET = np.frombuffer(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", np.uint8)
_EPOCH_MS = 1_767_225_600_000
COLUMNS = tuple(name for name in names(EPISODES) if name not in ("row", "change"))


def generated(rows: int, seed: int = 0) -> Iterator[list[tuple[Any, ...]]]:
    """Rows of all columns, by chunks: 12 tasks, 40 policies of each, 5 scenes, 3 starts, ids that sort by time."""
    random_ = np.random.default_rng(seed)
    template = row_of(meta(), "x", 0, 0, [])
    for begin in range(0, rows, CHUNK):
        count = min(CHUNK, rows - begin)
        index = np.arange(begin, begin + count)
        stamps = _EPOCH_MS + index * 3_000
        text = _ALPHABET[random_.integers(0, 32, (count, 26))]
        text[:, :10] = _ALPHABET[(stamps[:, None] >> (5 * np.arange(9, -1, -1))) & 31]
        ids = text.view("S26").ravel().astype("U26").tolist()
        task, policy = random_.integers(0, 12, count), random_.integers(0, 40, count)
        success = random_.random(count) < 0.15 + policy / 50
        days = (np.datetime64("2026-01-01", "ms") + index * 3_000).astype("datetime64[ms]").astype(str).tolist()
        modes = np.array(["never_reached", "timeout", "dropped", "grasp_failure"])[random_.integers(0, 4, count)]
        made: dict[str, Any] = {
            "episode_id": ids,
            "task": [f"task_{each}" for each in task.tolist()],
            "policy_id": [
                f"01M7X4ECVD7V6QG80379{a:03d}{b:03d}" for a, b in zip(task.tolist(), policy.tolist(), strict=True)
            ],
            "scene": [f"scene_{each}" for each in random_.integers(0, 5, count).tolist()],
            "start": np.array(["nominal", "wide", "far"])[random_.integers(0, 3, count)].tolist(),
            "seed": random_.integers(0, 1_000_000, count).tolist(),
            "started_at": [f"{each}+00:00" for each in days],
            "duration_s": random_.uniform(1, 30, count).round(3).tolist(),
            "outcome": np.where(success, "success", "failure").tolist(),
            "failure_mode": np.where(success, "", modes).tolist(),
            "attempt": [1] * count,
            "success": success.astype(int).tolist(),
            "path": [f"2026/{each}" for each in ids],
            "messages": random_.integers(500, 5_000, count).tolist(),
            "bytes": random_.integers(100_000, 900_000, count).tolist(),
        }
        columns = [made[name] if name in made else itertools.repeat(template[name]) for name in COLUMNS]
        yield list(zip(*columns, strict=False))  # some repeat for ever


def load(data: Path, rows: int) -> tuple[float, float]:
    """Fill a catalog as indexing does, in larger writes; s of that and of the first snapshot."""
    begin = time.perf_counter()
    store = SqliteStore(data / FOLDER / FILE)
    done = 0
    for chunk in generated(rows):
        for first in range(0, len(chunk), BATCH):
            with store.write() as writing:
                for values in chunk[first : first + BATCH]:
                    writing.put("episodes", dict(zip(COLUMNS, values, strict=True)))
        done += len(chunk)
        print(f"{done:,} episodes, {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    with store.write() as writing:
        writing.run("INSERT INTO folders VALUES ('', 0)", [()])
    with store.read() as reading:
        ((identity,),) = reading.rows("SELECT value FROM state WHERE name = 'catalog'")
    loaded = time.perf_counter()
    assert compact(store, Snapshots(data / FOLDER), identity)
    store.close()
    return loaded - begin, time.perf_counter() - loaded


def writer(file: Path, seconds: float) -> None:
    """Append episodes at a pace; prints the time of each in s."""
    store, until = SqliteStore(file), time.perf_counter() + seconds
    row = row_of(meta(), "x", 0, 0, [])
    due = time.perf_counter() + random.random() * PACE_S
    while due < until:
        time.sleep(max(0.0, due - time.perf_counter()))
        name = new_id()
        fresh = {**row, "episode_id": name, "path": name}
        begin = time.perf_counter()
        with store.write() as writing:
            writing.put("episodes", fresh)
        print(time.perf_counter() - begin, flush=True)
        due = max(due + PACE_S, time.perf_counter())


def acknowledged(file: Path) -> None:
    """Append episodes as fast as it goes; prints the id of each when it is durable."""
    store, row = SqliteStore(file), row_of(meta(), "x", 0, 0, [])
    while True:
        name = new_id()
        with store.write() as writing:
            writing.put("episodes", {**row, "episode_id": name, "path": name})
        print(name, flush=True)


def child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)


def timed(what: Callable[[], object], times: int = 7) -> tuple[float, float]:
    """Median and largest, s."""
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        what()
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken)), max(taken)


QUESTIONS: tuple[tuple[str, str, Callable[[Catalog], object]], ...] = (
    (
        "success by task, policy, scene",
        "≤ 0.5 s",
        lambda c: c.groups(Question(by=("task", "policy", "scene"), ids=False)),
    ),
    (
        "the same by DuckDB (with a filter on the duration)",
        "≤ 0.5 s",
        lambda c: c.groups(Question(by=("task", "policy", "scene"), where=(parse("duration_s>0"),), ids=False)),
    ),
    (
        "--success-rate-lt 0.5 --min-attempts 10",
        "≤ 0.2 s",
        lambda c: c.groups(Question(by=("task", "policy", "scene"), rate_lt=0.5, min_attempts=10, ids=False)),
    ),
    (
        "task and outcome, 100 newest",
        "≤ 10 ms",
        lambda c: c.episodes(["task=task_3", "outcome=failure"], limit=100),
    ),
    ("failure mode, 100 newest", "≤ 10 ms", lambda c: c.episodes(["failure=dropped"], limit=100)),
)


def questions(data: Path, load_: str) -> list[list[object]]:
    rows: list[list[object]] = []
    with Catalog(data) as catalog:
        for name, aim, ask in QUESTIONS:
            ask(catalog)
            median, worst = timed(lambda ask=ask: ask(catalog))
            rows.append([f"{name}{load_}", f"{median * 1e3:.1f} ms", f"{worst * 1e3:.1f} ms", aim])
    return rows


def beside_writers(data: Path, seconds: float, *, asked: bool) -> list[list[object]]:
    """Four processes append, alone or while one question after the other is asked."""
    processes = [child("--writer", str(data / FOLDER / FILE), "--seconds", str(seconds)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(process.communicate) for process in processes]
        time.sleep(min(2.0, seconds / 4))
        rows = questions(data, ", 4 writers") if asked else []
        taken = np.array([float(line) for each in waiting for line in each.result()[0].split()]) * 1e3
    p50, p99 = np.percentile(taken, [50, 99])
    asking = ", beside questions without a pause" if asked else ""
    append = f"append, 4 writers, {len(taken) / seconds:.0f}/s in all{asking}"
    return [[append, f"{p50:.1f} ms", f"p99 {p99:.1f}, max {taken.max():.1f} ms", "p99 ≤ 10 ms"], *rows]


def kills(data: Path) -> list[object]:
    """A writer is killed, again and again; what it had told must be there."""
    file, told, lost = data / FOLDER / FILE, 0, 0
    Catalog(data).close()
    for _ in range(KILLS):
        process = child("--acknowledged", str(file))
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(random.uniform(0.05, 0.4))
        process.send_signal(signal.SIGKILL)
        names_ = [first.strip(), *(line.strip() for line in process.stdout if line.endswith("\n"))]
        process.wait()
        store = SqliteStore(file)
        with store.read() as reading:
            there = {name for (name,) in reading.rows("SELECT episode_id FROM episodes")}
            ((whole,),) = reading.rows("PRAGMA integrity_check")
            ((counted,),) = reading.rows("SELECT sum(episodes) FROM rollup")
        store.close()
        assert whole == "ok" and counted == len(there)
        told += len(names_)
        lost += sum(name not in there for name in names_)
    return [f"kill -9 of a writer, {KILLS} times", f"{told} acknowledged", f"{lost} lost", "0 lost"]


def start_up(data: Path) -> list[list[object]]:
    """Wall and processor time of the README's question, the interpreter's start included."""
    rows: list[list[object]] = []
    ask = ["query", "--data", str(data), "--task", "pick_and_place", "--success-rate-lt", "0.5", "--min-attempts", "10"]
    for name, more in (("from what is counted", []), ("by DuckDB", ["--by", "failure"])):
        wall, cpu = [], []
        for _ in range(7):
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            command = [sys.executable, "-m", "xrollout_ros.ui.cli", *ask, *more]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall.append(time.perf_counter() - begin)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        shown = f"{np.median(wall):.2f} s", f"{min(wall):.2f} s at least, {np.median(cpu):.2f} s of processor"
        rows.append([f"`xrollout query`, {name}", *shown, "≤ 0.5 s"])
    return rows


def generated_catalog(large: Path, rows: int, seconds: float) -> list[list[object]]:
    found: list[list[object]] = []
    if not (large / FOLDER).is_dir():
        large.mkdir(parents=True, exist_ok=True)
        loaded_s, snapshot_s = load(large, rows)
        size = sum(file.stat().st_size for file in (large / FOLDER).iterdir())
        parquet = sum(file.stat().st_size for file in (large / FOLDER).glob("*.parquet"))
        disk = f"{size / 1e9:.2f} GB, {parquet / 1e9:.2f} of them Parquet"
        found += [["bulk load", f"{loaded_s:.0f} s", disk, "–"], ["first snapshot", f"{snapshot_s:.1f} s", "", "–"]]
    found += questions(large, "")
    for asked in (False, True):
        found += beside_writers(large, seconds, asked=asked)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="generated episodes; 0: only the real bags")
    parser.add_argument("--bags", type=int, default=500, help="real bags to index")
    parser.add_argument("--like", type=Path, help="a recorded bag that these are to be like")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the writers run")
    parser.add_argument("--keep", type=Path, help="put the generated catalog there, or use the one that is there")
    parser.add_argument("--writer", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--acknowledged", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.writer or given.acknowledged:
        writer(given.writer, given.seconds) if given.writer else acknowledged(given.acknowledged)
        return
    with tempfile.TemporaryDirectory(prefix="xrollout-catalog-") as scratch:
        folder = Path(scratch)
        large = given.keep or folder / "large"
        rows: list[list[object]] = []
        if given.rows:
            rows += generated_catalog(large, given.rows, given.seconds)
        (folder / "small").mkdir()
        (folder / "killed").mkdir()
        rows += indexing(folder / "small", given.bags, given.like or a_bag(folder))
        rows += start_up(folder / "small")
        rows.append(kills(folder / "killed"))
        table(f"Catalog of {given.rows:,} episodes", ("what", "median", "worst, or more", "aim"), rows)


if __name__ == "__main__":
    main()
