"""The rosbag2 side of a bag: ``metadata.yaml`` (version 9, as Jazzy writes it), QoS, and the episode in both."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import BagError, ForeignBagError
from xrollout_ros.core.files import sync
from xrollout_ros.core.ros_distro import WHEELS, ros_distro

METADATA_FILE = "metadata.yaml"
EPISODE = "xrollout.episode"
"""Name of the metadata record, and in it and in ``custom_data`` the key of the whole EpisodeMeta as JSON."""
ROBOT = "xrollout.robot"
"""Name of the attachment that holds the RobotSpec as JSON."""
TASK = "xrollout.task"
"""Name of the attachment that holds the TaskSpec as JSON."""
RECORD = "rosbag2"
"""Name of the metadata record in which rosbag2 keeps its own metadata, for a file that has lost its folder."""
_INFORMATION = "rosbag2_bagfile_information"
_VERSION = 9
_FOREVER = {"sec": 9223372036, "nsec": 854775807}
"""What rmw calls an infinite duration, as rosbag2 writes it."""
_SafeLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Reliability(str, Enum):
    """QoS reliability, in rosbag2's words."""

    RELIABLE = "reliable"
    BEST_EFFORT = "best_effort"


class Durability(str, Enum):
    """QoS durability, in rosbag2's words."""

    VOLATILE = "volatile"
    TRANSIENT_LOCAL = "transient_local"


@lru_cache(maxsize=64)
def qos_yaml(reliability: Reliability, durability: Durability, depth: int) -> str:
    """One keep-last profile as the YAML list that ``offered_qos_profiles`` holds."""
    profile = {
        "history": "keep_last",
        "depth": depth,
        "reliability": reliability.value,
        "durability": durability.value,
        "deadline": dict(_FOREVER),
        "lifespan": dict(_FOREVER),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_FOREVER),
        "avoid_ros_namespace_conventions": False,
    }
    return yaml.safe_dump([profile], sort_keys=False)


@lru_cache(maxsize=64)  # dozens of topics share a few profiles, and every episode adds them all
def parse_qos(text: str) -> Sequence[Mapping[str, Any]]:
    """The profiles of an ``offered_qos_profiles`` text; none for an empty one.

    Raises:
        BagError: it is not a YAML list of profiles.
    """
    try:
        profiles = yaml.load(text, Loader=_SafeLoader) or []
    except yaml.YAMLError as error:
        raise BagError(f"the QoS profiles {text!r} are not YAML: {error}", "Give what `qos_yaml` makes.") from error
    if not isinstance(profiles, list) or not all(isinstance(item, dict) for item in profiles):
        raise BagError(f"the QoS profiles {text!r} are not a list", "Give what `qos_yaml` makes.")
    return tuple(profiles)


def describe(meta: EpisodeMeta) -> dict[str, str]:
    """The episode as strings by key: each field by its name, and the whole as JSON under :data:`EPISODE`."""
    whole = meta.model_dump_json()
    flat = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in json.loads(whole).items()
    }
    return {**flat, EPISODE: whole}


def episode_of(values: Mapping[str, str], origin: Path) -> EpisodeMeta:
    """The episode from what :func:`describe` made.

    Raises:
        ForeignBagError: the bag was not written by XRollout.
        BagError: it says things this version does not know.
    """
    text = values.get(EPISODE)
    if text is None:
        raise ForeignBagError(
            f"{origin} is a foreign bag: it has no {EPISODE!r} metadata",
            "Only bags recorded by XRollout can be read as episodes.",
        )
    try:
        return EpisodeMeta.model_validate_json(text)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'document'}: {item['msg']}" for item in error.errors())
        raise BagError(
            f"{origin} describes its episode in a way that this version does not know ({fields})",
            "Read it with the version of XRollout that wrote it.",
        ) from error


@dataclass(frozen=True)
class TopicRecord:
    """One topic of a bag, as ``metadata.yaml`` lists it."""

    name: str
    type_name: str
    type_hash: str
    qos: Sequence[Mapping[str, Any]]
    messages: int


def bag_information(
    file_name: str, topics: Sequence[TopicRecord], start_ns: int, end_ns: int, meta: EpisodeMeta
) -> dict[str, Any]:
    """The ``rosbag2_bagfile_information`` of a bag with one MCAP file.

    Args:
        file_name: name of the MCAP file inside the bag's folder.
        topics: the topics that have messages.
        start_ns: first receive time, ns since the epoch; 0 for a bag without messages.
        end_ns: last receive time, ns since the epoch; 0 for a bag without messages.
        meta: what is known of the episode.
    """
    starting = {"nanoseconds_since_epoch": start_ns}
    duration = {"nanoseconds": end_ns - start_ns}
    count = sum(topic.messages for topic in topics)
    return {
        "version": _VERSION,
        "storage_identifier": "mcap",
        "duration": duration,
        "starting_time": starting,
        "message_count": count,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.type_name,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [dict(profile) for profile in topic.qos],
                    "type_description_hash": topic.type_hash,
                },
                "message_count": topic.messages,
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file_name],
        "files": [
            {"path": file_name, "starting_time": starting, "duration": duration, "message_count": count},
        ],
        "custom_data": describe(meta),
        "ros_distro": ros_distro() or WHEELS[0],
    }


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes shared values out each time: rosbag2 and people need no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(document: object) -> str:
    """YAML in block style, keys in the given order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=2**31 - 1)
    return text


def from_record(serialized: str) -> str:
    """The text of ``metadata.yaml`` for the YAML in a file's :data:`RECORD`, as :func:`write_metadata` makes it."""
    return f"{_INFORMATION}:\n  {serialized.strip().replace(chr(10), chr(10) + '  ')}\n"


def write_metadata(folder: Path, information: Mapping[str, Any]) -> None:
    """Write ``metadata.yaml`` so that it is either absent or whole, also after a power cut.

    Raises:
        OSError: the disk refuses.
    """
    text = to_yaml({_INFORMATION: dict(information)})
    handle, temporary = tempfile.mkstemp(prefix=f".{METADATA_FILE}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / METADATA_FILE)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(folder)


def read_metadata(folder: Path) -> dict[str, Any]:
    """The ``rosbag2_bagfile_information`` of a bag.

    Raises:
        BagError: there is none, or it is damaged.
    """
    path = folder / METADATA_FILE
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)
        information = document[_INFORMATION]
        if not isinstance(information, dict):
            raise TypeError("rosbag2_bagfile_information is not a mapping")
    except FileNotFoundError as error:
        raise BagError(f"{folder} has no {METADATA_FILE}", "Give the folder of a closed bag.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BagError(f"{path} is damaged ({error!r})", "Restore the bag from a copy.") from error
    return information


def custom_data(information: Mapping[str, Any]) -> dict[str, str]:
    """The ``custom_data`` of a bag; empty where there is none."""
    values = information.get("custom_data")
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def as_seconds(ns: int, origin_ns: int) -> float:
    """Time since ``origin_ns`` in s, without losing precision to the size of epoch times."""
    return (ns - origin_ns) / NS
