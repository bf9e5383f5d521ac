"""How quickly bags become training data: the first build of a pyramid, and builds after a few more.

python benchmarks/shards.py --like BAG [--episodes 500] [--workers 1,2]

BAG is a recorded episode, which is written again as often as is asked, each time with an id, seed and time of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from common import table
from mcap.reader import make_reader

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.paths import episode_dir
from xrollout_ros.learning.pyramid.build import BuildOptions, Built, build
from xrollout_ros.learning.shards.reader import open_dataset

MORE = 10
"""Bags that are recorded between two builds."""


def write_again(data: Path, count: int, like: Path, first: int = 0) -> None:
    """The same messages, with another episode's id in them."""
    original, clock = open_bag(like), SystemClock()
    known = original.meta.episode_id.encode()
    with original.file.open("rb") as file:
        messages = list(make_reader(file).iter_messages())
    for number in range(first, first + count):
        started_at = f"2026-01-{1 + number % 28:02d}T{number // 28 % 24:02d}:00:00+00:00"
        fresh = {"episode_id": new_id(), "seed": number, "started_at": started_at, "topics": {}}
        meta = original.meta.model_copy(update=fresh)
        folder = episode_dir(data, meta)
        with BagWriter.open(folder, folder.name, meta, clock, original.robot, original.task) as bag:
            for schema, channel, message in messages:
                about = channel.metadata
                assert schema is not None
                kind, hashed, qos = schema.data.decode(), about["topic_type_hash"], about["offered_qos_profiles"]
                bag.add_topic(channel.topic, schema.name, kind, hashed, qos)
                content = message.data.replace(known, meta.episode_id.encode())
                while not bag.write(channel.topic, content, message.log_time):
                    time.sleep(0.01)
            bag.close(meta)


def processor_s() -> float:
    """Time that this process and those it has started and that have ended were computed, s."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def timed(data: Path, output: Path, workers: int) -> tuple[float, float, Built]:
    """A build as the command makes it, with the look at every bag: s by the clock, s of the processor."""
    begin, computed = time.perf_counter(), processor_s()
    with Catalog(data) as catalog:
        catalog.update(every=True)
        built = build(catalog, BuildOptions(data, output, workers=workers))
    return time.perf_counter() - begin, processor_s() - computed, built


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--like", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--workers", default="1,2")
    given = parser.parse_args()
    workers = [int(each) for each in given.workers.split(",")]
    with tempfile.TemporaryDirectory(prefix="xrollout-benchmark-") as scratch:
        data = Path(scratch) / "raw_rollouts"
        write_again(data, given.episodes, given.like)
        with Catalog(data) as catalog:
            catalog.update()
        size = sum(file.stat().st_size for file in data.rglob("*.mcap")) / given.episodes
        rows: list[list[object]] = []
        for count in workers:
            output = Path(scratch) / f"pyramid{count}"
            taken, computed, built = timed(data, output, count)
            assert built.read == given.episodes
            what = f"from nothing, {count} process{'es' * (count > 1)}"
            rates = [f"{given.episodes / each:,.0f}" for each in (taken, computed)]
            rows.append([what, given.episodes, f"{taken:.1f}", f"{computed:.1f}", *rates])
        versions = {each: open_dataset(Path(scratch) / f"pyramid{each}" / "level1").manifest for each in workers}
        assert len({each.dataset_version for each in versions.values()}) == 1
        taken, computed, built = timed(data, output, workers[-1])
        rows.append(["again, nothing new", built.read, f"{taken:.1f}", f"{computed:.1f}", "–", "–"])
        write_again(data, MORE, given.like, first=given.episodes)
        taken, computed, built = timed(data, output, workers[-1])
        assert built.read == MORE
        rows.append([f"again, {MORE} bags more", built.read, f"{taken:.1f}", f"{computed:.1f}", "–", "–"])
        begin = time.perf_counter()
        opened = open_dataset(output / "level1").training_set()
        rows.append(["opening level 1", len(opened.episodes), f"{time.perf_counter() - begin:.2f}", "–", "–", "–"])
        shards = sum(file.stat().st_size for file in (output / "shards").rglob("*.npy")) / len(opened.episodes)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        # Links are counted once: a level costs its manifest.
        blocks = {(stat.st_dev, stat.st_ino): stat.st_size for each in output.rglob("*") if (stat := each.stat())}
        table(
            f"Building a pyramid: bags of {size / 1e3:.0f} kB and {opened.episodes[0].state.shape[0]} rows, "
            f"{shards / 1e3:.0f} kB each in shards, {sum(blocks.values()) / 1e6:.0f} MB in all, "
            f"{peak:.0f} MiB at the most in the process that builds",
            ["", "bags read", "s", "processor s", "bags/s", "bags/processor s"],
            rows,
        )
        shutil.rmtree(output)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
