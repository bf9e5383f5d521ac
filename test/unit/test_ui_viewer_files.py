"""The Foxglove layout and the RViz configuration that are shipped: they show what is recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from xrollout_ros.core.modes import Mode, Phase, Source
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.raw_bag import RawTopic
from xrollout_ros.graph.topics import OWN, SYSTEM, resolve
from xrollout_ros.ui.viewers import layouts, rviz
from xrollout_ros.ui.viewers.annotated import OPENED

from ..message_paths import panels_shown, paths_of, topics_of
from ..message_paths import resolve as resolve_path
from .conftest import Messages


@pytest.fixture(scope="module")
def recorded(messages: Messages) -> dict[str, RawTopic]:
    """Every topic of the graph, as a bag has it."""
    found = {}
    for topic in (*OWN, *SYSTEM):
        text, _ = messages.store.generate_msgdef(topic.type, ros_version=2)
        name = resolve(topic.name)
        found[name] = RawTopic(name, topic.type, "cdr", "ros2msg", text.encode(), topic.qos == "latched", True)
    return {**found, OPENED.name: OPENED}


def _layout() -> dict[str, Any]:
    layout: dict[str, Any] = json.loads(layouts.shipped().read_text())
    return layout


def _check(layout: dict[str, Any], recorded: dict[str, RawTopic]) -> None:
    kinds = {panel: {path: resolve_path(path, recorded) for path in paths} for panel, paths in paths_of(layout).items()}
    numbers = {"float32", "float64", "uint8", "uint32", "bool", "number"}
    for panel, found in kinds.items():
        if panel.startswith("Plot!"):
            assert found, panel
            assert set(found.values()) <= numbers, found
        elif panel.startswith("StateTransitions!"):
            assert set(found.values()) <= {"uint8", "string", "bool"}, found
    assert kinds["DiagnosticSummary!diagnostics"] == {"/diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}
    assert kinds["RosOut!log"] == {"/rosout": "rcl_interfaces/msg/Log"}
    assert set(topics_of(layout)) <= set(recorded)
    assert sorted(panels_shown(layout)) == sorted(layout["configById"])


def test_the_layout_shows_topics_and_fields_that_are_recorded(recorded: dict[str, RawTopic]) -> None:
    layout = _layout()
    _check(layout, recorded)
    shown = {panel.partition("!")[0] for panel in panels_shown(layout)}
    assert shown == {
        "3D", "Image", "Plot", "StateTransitions", "RawMessages", "DiagnosticSummary", "RosOut", "Tab",
    }  # fmt: skip
    states = {series["value"]: series for series in layout["configById"]["StateTransitions!states"]["paths"]}
    for path, names in (
        ("/xrollout/supervisor/state.mode", Mode),
        ("/xrollout/command.source", Source),
        ("/xrollout/episode.phase", Phase),
    ):
        labels = {state["value"]: state["label"] for state in states[path]["customStates"]["states"]}
        assert labels == {str(int(each)): each.name for each in names}


def test_a_message_path_that_leads_nowhere_is_found(recorded: dict[str, RawTopic]) -> None:
    for path in ("/no/topic.x", "/xrollout/command.acton", "/xrollout/command.step[0]", "/xrollout/command.stamp.day"):
        with pytest.raises(AssertionError, match=r"^/"):
            resolve_path(path, recorded)


def _with_cameras(robot: RobotSpec) -> RobotSpec:
    document = robot.model_dump(mode="json")
    document["safety"]["detectors"] = [
        {"kind": "score", "score": "ensemble_variance", "threshold": 0.25, "severity": "log"},
        {"kind": "time"},
    ]
    return RobotSpec.model_validate(document)


def test_the_layout_is_fitted_to_the_robot(recorded: dict[str, RawTopic], messages: Messages) -> None:
    robot = _with_cameras(load_robot("metaworld_sawyer"))
    text, _ = messages.store.generate_msgdef("sensor_msgs/msg/Image", ros_version=2)
    names = ["/front/image_raw", "/wrist/image_raw", "/top/image_raw"]
    cameras = {
        name: RawTopic(name, layouts.IMAGE_TYPES[0], "cdr", "ros2msg", text.encode(), False, True) for name in names
    }
    layout = layouts.fit(_layout(), robot, names, ["chunk_consistency", "ensemble_variance"])
    _check(layout, {**recorded, **cameras})
    assert set(names) <= set(topics_of(layout))
    panels = layout["configById"]
    actions = [(series["value"], series["label"]) for series in panels["Plot!command"]["paths"]]
    assert actions == [(f"/xrollout/command.action[{i}]", action.name) for i, action in enumerate(robot.actions)]
    scores = {series["label"]: series["value"] for series in panels["Plot!scores"]["paths"]}
    assert scores == {
        "chunk_consistency": "/xrollout/chunk.score_values[0]",
        "ensemble_variance": "/xrollout/chunk.score_values[1]",
        "ensemble_variance: threshold": "0.25",
    }
    assert "Image!camera" in _layout()["configById"]  # what is shipped stays as it is
    none = layouts.fit(_layout(), None, [], [])
    assert not [panel for panel in panels_shown(none) if panel.startswith("Image!")]
    _check(none, recorded)


def test_rviz_draws_topics_that_are_recorded(recorded: dict[str, RawTopic]) -> None:
    config = yaml.safe_load(rviz.shipped().read_text())
    camera = RawTopic("/front/image_raw", "sensor_msgs/msg/Image", "cdr", "ros2msg", b"", False, True)
    fitted = rviz.fit(config, [recorded["/xrollout/scene"], camera])
    displays = {display["Name"]: display for display in fitted["Visualization Manager"]["Displays"]}
    assert config["Visualization Manager"]["Global Options"]["Fixed Frame"] == "world"
    for display in config["Visualization Manager"]["Displays"]:
        topic = display.get("Topic") or display.get("Description Topic")
        assert topic is None or topic["Value"] in recorded
    assert displays["Scene"]["Enabled"]
    assert not displays["Robot"]["Enabled"]  # nobody describes it in this bag
    assert displays["/front/image_raw"]["Topic"]["Value"] == "/front/image_raw"
