"""Reading bags: joint states against other readers, an episode against decoding one by one, listing a data folder.

python benchmarks/reader.py [--messages 200000] [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import scratch, table
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.core.safety import SafetyLimits
from xrollout_ros.episodes import by_columns, by_message, rosbag2
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.columns import iter_columns, read_columns
from xrollout_ros.episodes.definitions import load_definition
from xrollout_ros.episodes.reader import COMMAND_TOPIC, read_episode
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml
from xrollout_ros.episodes.store import find_episodes

TOPIC, JOINT_STATE, COMMAND = "/joint_states", "sensor_msgs/msg/JointState", "xrollout/msg/Command"
JOINTS = [f"panda_joint{number}" for number in range(1, 8)]
FIELDS = ("header.stamp.sec", "header.stamp.nanosec", "position", "velocity", "effort")
BEGIN_NS = 1_700_000_000 * NS
COMMANDS, BAGS, TOPICS = 6000, 100, 12


def store() -> Any:
    types = get_typestore(Stores.ROS2_JAZZY)
    path = share_dir() / "msg" / "Command.msg"
    types.register(get_types_from_msg(path.read_text(), COMMAND))
    return types


def open_writer(path: Path, robot: Any) -> tuple[BagWriter, EpisodeMeta]:
    meta = EpisodeMeta.model_validate(
        {
            "episode_id": new_id(),
            "kind": "attempt",
            "task": "pick_and_place",
            "robot": robot.id,
            "start": "nominal",
            "seed": 0,
            "strategy": "sentry",
            "software_version": "benchmark",
            "started_at": "2026-01-31T12:00:00+00:00",
        }
    )
    task = load_task("pick_and_place")
    return BagWriter.open(path, path.name, meta, SystemClock(), robot, task, queue_bytes=2**31), meta


def add(writer: BagWriter, topic: str, type_name: str) -> None:
    found = load_definition(type_name)
    qos = qos_yaml(Reliability.RELIABLE, Durability.VOLATILE, 10)
    writer.add_topic(topic, found.type_name, found.text, found.type_hash, qos)


def joint_state(types: Any, time_ns: int, values: Any) -> bytes:
    stamp = types.types["builtin_interfaces/msg/Time"](time_ns // NS, time_ns % NS)
    header = types.types["std_msgs/msg/Header"](stamp, "base")
    message = types.types[JOINT_STATE](header, JOINTS, values[:7], values[7:14], values[14:])
    return bytes(types.serialize_cdr(message, JOINT_STATE))


def joint_bag(path: Path, count: int) -> Path:
    """Joint states at 1 kHz, smooth as a robot's: 7 joints with position, velocity and effort."""
    types = store()
    values = np.cumsum(np.random.default_rng(0).normal(size=(count, 21)), axis=0) * 1e-3
    writer, meta = open_writer(path, load_robot("metaworld_sawyer"))
    add(writer, TOPIC, JOINT_STATE)
    for number in range(count):
        time_ns = BEGIN_NS + number * 1_000_000
        writer.write(TOPIC, joint_state(types, time_ns, values[number]), time_ns)
    writer.close(meta, 120.0)
    return path


def episode_bag(path: Path, commands: int) -> Path:
    """An attempt at 100 Hz: one observation and one command in turn."""
    types = store()
    rng = np.random.default_rng(0)
    sawyer = load_robot("metaworld_sawyer")
    joints = sawyer.observations[0].model_copy(
        update={"type": JOINT_STATE, "field": "position", "shape": (7,), "topic": TOPIC, "name": "joints"}
    )
    robot = sawyer.model_copy(update={"observations": (joints,), "sim": None, "safety": SafetyLimits()})
    writer, meta = open_writer(path, robot)
    add(writer, TOPIC, JOINT_STATE)
    add(writer, COMMAND_TOPIC, COMMAND)
    blank = types.types["builtin_interfaces/msg/Time"](0, 0)
    fields = [name for name, _ in types.fielddefs[COMMAND][1]]
    for step in range(commands):
        time_ns = BEGIN_NS + step * 10_000_000
        writer.write(TOPIC, joint_state(types, time_ns, rng.normal(size=21)), time_ns)
        given = {
            "stamp": types.types["builtin_interfaces/msg/Time"](time_ns // NS, time_ns % NS),
            "episode_id": meta.episode_id,
            "step": step,
            "accepted": blank,
            "action": rng.normal(size=robot.action_dim),
            "clipped": np.zeros(robot.action_dim, dtype=bool),
        }
        message = types.types[COMMAND](**{name: given.get(name, 0) for name in fields})
        writer.write(COMMAND_TOPIC, bytes(types.serialize_cdr(message, COMMAND)), time_ns)
    writer.close(meta)
    return path


def small_bag(path: Path, types: Any) -> None:
    """As many topics as a graph has, and hardly a message: listing looks at no message."""
    writer, meta = open_writer(path, load_robot("metaworld_sawyer"))
    for number in range(TOPICS):
        add(writer, f"{TOPIC}_{number}", JOINT_STATE)
        writer.write(f"{TOPIC}_{number}", joint_state(types, BEGIN_NS, np.zeros(21)), BEGIN_NS)
    writer.close(meta)


def by_mcap_ros2(path: Path) -> Any:
    values = []
    with next(path.glob("*.mcap")).open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for _, _, _, message in reader.iter_decoded_messages([TOPIC]):
            values.append((message.position, message.velocity, message.effort))
    return np.array(values)


def by_raw_mcap(path: Path) -> Any:
    with next(path.glob("*.mcap")).open("rb") as stream:
        return sum(1 for _ in make_reader(stream, validate_crcs=True).iter_messages([TOPIC]))


def by_rosbags(path: Path, types: Any) -> Any:
    values = []
    with Reader(path) as reader:
        for _, _, data in reader.messages(connections=reader.connections):
            message = types.deserialize_cdr(data, JOINT_STATE)
            values.append((message.position, message.velocity, message.effort))
    return np.array(values)


def in_columns(path: Path) -> Any:
    found = read_columns(open_bag(path), TOPIC, FIELDS)
    return np.stack([found["position"], found["velocity"], found["effort"]], axis=1)


def in_blocks(path: Path) -> Any:
    return sum(len(block) for block in iter_columns(open_bag(path), TOPIC, FIELDS))


def parse_all(folder: Path) -> None:
    """What listing took before: the whole of each metadata.yaml."""
    for path in folder.iterdir():
        rosbag2.episode_of(rosbag2.custom_data(rosbag2.read_metadata(path)), path)


class Spent(NamedTuple):
    """Medians, s."""

    wall_s: float
    cpu_s: float
    """Hardly depends on what else the machine does."""


def timed(work: dict[str, Callable[[], Any]], runs: int) -> dict[str, Spent]:
    """Medians of each, all of them in turn, so that they see the same machine."""
    spent: dict[str, list[Spent]] = {name: [] for name in work}
    for _ in range(runs):
        for name, call in work.items():
            wall_s, cpu_s = time.perf_counter(), time.process_time()
            call()
            spent[name].append(Spent(time.perf_counter() - wall_s, time.process_time() - cpu_s))
    return {name: Spent(*map(statistics.median, zip(*values, strict=True))) for name, values in spent.items()}


def rows(what: str, count: int, unit: str, spent: dict[str, Spent]) -> list[list[str]]:
    """The first of the readers is what the others are compared with."""
    base = next(iter(spent.values()))
    return [
        [
            what,
            name,
            f"{took.wall_s * 1e3:.1f}",
            f"{took.cpu_s * 1e3:.1f}",
            f"{count / took.wall_s:,.0f} {unit}/s",
            f"{base.wall_s / took.wall_s:.1f}×",
            f"{base.cpu_s / took.cpu_s:.1f}×",
        ]
        for name, took in spent.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with scratch() as folder:
        joints = joint_bag(folder / "joints", options.messages)
        size = sum(file.stat().st_size for file in joints.glob("*.mcap")) / 1e6
        expected = by_mcap_ros2(joints)
        types = store()
        for found in (by_rosbags(joints, types), in_columns(joints)):
            if found.tobytes() != expected.tobytes():
                raise RuntimeError("the readers disagree on the values")
        states = timed(
            {
                "mcap-ros2-support": lambda: by_mcap_ros2(joints),
                "rosbags": lambda: by_rosbags(joints, types),
                "mcap, not decoded": lambda: by_raw_mcap(joints),
                "read_columns": lambda: in_columns(joints),
                "iter_columns": lambda: in_blocks(joints),
            },
            options.runs,
        )
        attempt = open_bag(episode_bag(folder / "episode", COMMANDS))
        episode = timed(
            {
                "decoded one by one": lambda: by_message.read(attempt),
                "columns": lambda: by_columns.read(attempt),
                "read_episode, all of it": lambda: read_episode(attempt.path),
            },
            options.runs,
        )
        data = folder / "data"
        for number in range(BAGS):
            small_bag(data / f"bag_{number}", types)
        listing = timed(
            {"metadata.yaml parsed": lambda: parse_all(data), "find_episodes": lambda: find_episodes(data)},
            options.runs,
        )
    table(
        f"Reading, medians of {options.runs} runs in turn; the {options.messages:,} joint states fill {size:.0f} MB",
        ["what", "reader", "ms", "CPU ms", "rate", "faster than the first", "by CPU time"],
        [
            *rows("joint states", options.messages, "messages", states),
            *rows(f"episode of {COMMANDS:,} commands", COMMANDS, "commands", episode),
            *rows(f"list of {BAGS} bags of {TOPICS} topics", BAGS, "bags", listing),
        ],
    )


if __name__ == "__main__":
    main()
