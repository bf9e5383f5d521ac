"""Definitions and hashes as rosidl installs them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.definitions import ament_prefixes, load_definition

SEPARATOR = "=" * 80


def test_nested_types_are_concatenated_once_each(messages: Any) -> None:
    messages.install("geometry_msgs/msg/PoseStamped")
    definition = load_definition("geometry_msgs/msg/PoseStamped", [messages.prefix])
    own, *nested = re.split(rf"^{SEPARATOR}\n", definition.text, flags=re.MULTILINE)
    assert "geometry_msgs/Pose pose" in own or "Pose pose" in own
    assert sorted(part.split("\n")[0] for part in nested) == [
        "MSG: builtin_interfaces/Time",
        "MSG: geometry_msgs/Point",
        "MSG: geometry_msgs/Pose",
        "MSG: geometry_msgs/Quaternion",
        "MSG: std_msgs/Header",
    ]
    assert definition.type_hash == messages.store.hash_rihs01("geometry_msgs/msg/PoseStamped")


INSTALLED = [prefix for prefix in (Path(sys.prefix), *ament_prefixes()) if (prefix / "share/std_msgs/msg").is_dir()]


@pytest.mark.skipif(not INSTALLED, reason="no ROS messages are installed")
@pytest.mark.parametrize(
    "type_name",
    [
        "sensor_msgs/msg/JointState",
        "sensor_msgs/msg/Image",
        "visualization_msgs/msg/MarkerArray",
        "diagnostic_msgs/msg/DiagnosticArray",
        "trajectory_msgs/msg/JointTrajectory",
    ],
)
def test_installed_definitions_decode_what_another_library_encodes(messages: Any, type_name: str) -> None:
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    definition = load_definition(type_name, INSTALLED)
    assert definition.type_hash == messages.store.hash_rihs01(type_name)
    fresh = get_typestore(Stores.EMPTY)
    fresh.register(get_types_from_msg(definition.text, type_name))
    cdr = messages.cdr(type_name)
    assert bytes(fresh.serialize_cdr(fresh.deserialize_cdr(cdr, type_name), type_name)) == cdr


def test_what_is_missing_is_named(messages: Any, tmp_path: Path) -> None:
    with pytest.raises(BagError, match="package 'my_msgs' is not installed") as caught:
        load_definition("my_msgs/msg/Thing", [tmp_path])
    assert "AMENT_PREFIX_PATH" in caught.value.remedy
    messages.install("std_msgs/msg/String")
    with pytest.raises(BagError, match=r"package 'std_msgs' has no Thing.json"):
        load_definition("std_msgs/msg/Thing", [messages.prefix])


@pytest.mark.parametrize("name", ["String", "std_msgs/String", "std_msgs/srv/String", "../x/msg/y", "a/msg/../b", ""])
def test_names_that_are_no_types_are_refused(name: str) -> None:
    with pytest.raises(BagError, match="not the name of a message type"):
        load_definition(name)


@pytest.mark.parametrize("text", ["", "{}", '{"type_hashes": [{"type_name": "other"}]}', "[]"])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "share" / "p" / "msg"
    folder.mkdir(parents=True)
    (folder / "T.json").write_text(text)
    (folder / "T.msg").write_text("int8 a\n")
    with pytest.raises(BagError, match=r"T.json cannot be used"):
        load_definition("p/msg/T", [tmp_path])


def test_the_environment_names_the_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/one::/two:/one")
    assert ament_prefixes() == (Path("/one"), Path("/two"), Path(sys.prefix))
