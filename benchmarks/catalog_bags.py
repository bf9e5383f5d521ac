"""Real bags for the catalog's benchmark: made by the project's own writer, indexed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from mcap.reader import make_reader

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.paths import episode_dir
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml


def meta(**values: Any) -> EpisodeMeta:
    known: dict[str, Any] = {
        "episode_id": new_id(),
        "kind": "evaluation",
        "task": "pick_and_place",
        "robot": "metaworld_sawyer",
        "scene": "scene_1",
        "start": "wide",
        "strategy": "episodic",
        "policy_id": "01M7X4ECVD7V6QG80379KR5YVF",
        "software_version": "0.1.0",
        "started_at": "2027-01-01T00:00:00.000+00:00",
        "duration_s": 4.2,
        "outcome": "failure",
        "outcome_source": "time_limit",
        "tags": ["evaluation"],
        "parameters": {"drive": "stepped"},
    }
    return EpisodeMeta.model_validate({**known, **values})


def a_bag(data: Path) -> Path:
    """A small bag, for where no recorded one is given."""
    robot, task, clock = load_robot("metaworld_sawyer"), load_task("pick_and_place"), SystemClock()
    qos = qos_yaml(Reliability.RELIABLE, Durability.VOLATILE, 10)
    known = meta()
    folder = episode_dir(data, known)
    with BagWriter.open(folder, folder.name, known, clock, robot, task) as bag:
        for topic in ("/a", "/b", "/c"):
            bag.add_topic(topic, "std_msgs/msg/String", "string data\n", "RIHS01_" + "0" * 64, qos)
            for step in range(10):
                bag.write(topic, b"\x00\x01\x00\x00\x05\x00\x00\x00four\x00", step)
        bag.close(known)
    return folder


def make_bags(data: Path, count: int, like: Path) -> None:
    """Write bags as the recorder does, with all messages of another one, and each with its own id, seed and time."""
    original = open_bag(like)
    robot, task, clock = original.robot, original.task, SystemClock()
    with next(like.glob("*.mcap")).open("rb") as file:
        messages = [
            (schema, channel, message.data, message.log_time)
            for schema, channel, message in make_reader(file).iter_messages()
        ]
    for number in range(count):
        started_at = f"2026-01-{1 + number % 28:02d}T{number // 28 % 24:02d}:00:00+00:00"
        fresh = {"episode_id": new_id(), "seed": number, "started_at": started_at, "topics": {}}
        known = original.meta.model_copy(update=fresh)
        folder = episode_dir(data, known)
        with BagWriter.open(folder, folder.name, known, clock, robot, task) as bag:
            for schema, channel, content, time_ns in messages:
                about = channel.metadata
                bag.add_topic(
                    channel.topic,
                    schema.name,
                    schema.data.decode(),
                    about["topic_type_hash"],
                    about["offered_qos_profiles"],
                )
                bag.write(channel.topic, content, time_ns)
            bag.close(known)


def indexing(data: Path, count: int, like: Path) -> list[list[object]]:
    begin = time.perf_counter()
    make_bags(data, count, like)
    print(f"made {count} bags in {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
    rows: list[list[object]] = [["real bags", f"{count:,}", f"{size / count / 1e3:.0f} kB each", "–"]]
    for what, aim in (("index, all bags", "–"), ("index, nothing changed", "–")):
        begin = time.perf_counter()
        with Catalog(data) as catalog:
            assert catalog.update(every=True).episodes == count
        taken = time.perf_counter() - begin
        rows.append([f"{what}, {count}", f"{taken:.2f} s", f"{count / taken:,.0f} bags/s", aim])
    return rows
