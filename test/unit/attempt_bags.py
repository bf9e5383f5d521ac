"""Bags of attempts, written by the project's own writer without a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, InterventionSpan, Outcome, OutcomeSource, Strategy
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.paths import episode_dir
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml

ROOT = Path(__file__).parents[2]
ROBOT, TASK = load_robot("metaworld_sawyer"), load_task("pick_and_place")
CLOCK = SystemClock()
QOS = qos_yaml(Reliability.RELIABLE, Durability.VOLATILE, 100)
START_NS = 1_700_000_000 * NS

STORE = get_typestore(Stores.ROS2_JAZZY)
STORE.register(get_types_from_msg((ROOT / "msg" / "Command.msg").read_text(), "xrollout/msg/Command"))
TYPES = STORE.types
HEADER = TYPES["std_msgs/msg/Header"]
TIME = TYPES["builtin_interfaces/msg/Time"]
POINT = TYPES["geometry_msgs/msg/Point"]


def _stamp(ns: int) -> Any:
    return TIME(sec=ns // NS, nanosec=ns % NS)


def _messages(step: int, episode_id: str, hand: Any, thing: Any) -> list[tuple[str, str, Any]]:
    stamp = _stamp(START_NS + step * ROBOT.control_period_ns)
    header = HEADER(stamp=stamp, frame_id="world")
    gripper = TYPES["sensor_msgs/msg/JointState"](
        header=header, name=["gripper"], position=np.array([1.0]), velocity=np.array([]), effort=np.array([])
    )
    pose = TYPES["geometry_msgs/msg/Pose"](
        position=POINT(*thing), orientation=TYPES["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    )
    command = TYPES["xrollout/msg/Command"](
        stamp=stamp,
        episode_id=episode_id,
        step=step,
        source=0,
        mode=1,
        chunk_sequence=step // 4,
        chunk_index=step % 4,
        accepted=stamp,
        late_s=0.0,
        action=np.zeros(4),
        help_wanted=False,
        recovery="",
        clipped=np.zeros(4, dtype=bool),
    )
    point, posed = "geometry_msgs/msg/PointStamped", "geometry_msgs/msg/PoseStamped"
    return [
        ("/sawyer/hand", point, TYPES[point](header=header, point=POINT(*hand))),
        ("/sawyer/gripper", "sensor_msgs/msg/JointState", gripper),
        ("/scene/object", posed, TYPES[posed](header=header, pose=pose)),
        ("/scene/goal", point, TYPES[point](header=header, point=POINT(0.1, 0.8, 0.2))),
        ("/xrollout/command", "xrollout/msg/Command", command),
    ]


HELP = InterventionSpan(operator="joy", begin_s=0.1, end_s=0.2)


def write_bag(
    data: Path,
    number: int,
    outcome: Outcome,
    kind: EpisodeKind = EpisodeKind.EVALUATION,
    interventions: tuple[InterventionSpan, ...] = (),
    start: str = "wide",
    **fields: Any,
) -> EpisodeMeta:
    """One attempt of 20 steps, in which the hand goes to the object, or 0.1 m beside it when it fails.

    ``fields`` are those of its metadata that differ from the usual ones.
    """
    meta = EpisodeMeta(
        episode_id=new_id(),
        kind=kind,
        task=TASK.id,
        robot=ROBOT.id,
        start=start,
        seed=100 + number,
        strategy=Strategy.EPISODIC,
        software_version="0.1.0",
        started_at=f"2026-01-02T03:{4 + number // 60:02d}:{number % 60:02d}+00:00",
        duration_s=0.25,
        outcome=outcome,
        outcome_source=OutcomeSource.ROBOT if outcome is Outcome.SUCCESS else OutcomeSource.TIME_LIMIT,
        tags=["evaluation"],
        policy_id="" if kind is EpisodeKind.DEMONSTRATION else "01J00000000000000000000000",
        interventions=list(interventions),
    ).model_copy(update=fields)
    folder = episode_dir(data, meta)
    thing = np.array([0.01 * number, 0.65, 0.02])
    goal = thing if outcome is Outcome.SUCCESS else thing + np.array([0.1, 0.0, 0.0])
    with BagWriter.open(folder, folder.name, meta, CLOCK, ROBOT, TASK) as writer:
        for step in range(20):
            hand = np.array([0.0, 0.6, 0.2]) * (1 - step / 19) + goal * step / 19
            for topic, kind_name, message in _messages(step, meta.episode_id, hand, thing):
                definition, _ = STORE.generate_msgdef(kind_name, ros_version=2)
                type_hash = STORE.hash_rihs01(kind_name)
                writer.add_topic(topic, kind_name, definition, type_hash, QOS)
                receipt_ns = START_NS + step * ROBOT.control_period_ns
                assert writer.write(topic, bytes(STORE.serialize_cdr(message, kind_name)), receipt_ns)
        writer.close(meta)
    return meta
