"""RobotSpec, TaskSpec, field paths: what is accepted, and what an error says."""

from __future__ import annotations

import copy
from array import array
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.fields import assign, extract
from xrollout_ros.core.ids import check_id, new_id
from xrollout_ros.core.resources import load_robot, load_task, robot_ids, share_dir, task_ids
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import ObservationSpec

ROBOT = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())


def edited(path: list[Any], value: Any) -> dict[str, Any]:
    document: Any = copy.deepcopy(ROBOT)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document  # type: ignore[no-any-return]


def written(tmp_path: Path, document: Any) -> str:
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.parametrize("name", robot_ids())
def test_shipped_robots_load_under_their_own_name(name: str) -> None:
    assert load_robot(name).id == name


@pytest.mark.parametrize("name", task_ids())
def test_shipped_tasks_load_and_name_a_robot_that_fits(name: str) -> None:
    task = load_task(name)
    robot = load_robot(task.robot)
    assert task.id == name
    if task.reach is not None:
        assert {task.reach.hand, task.reach.object} <= set(robot.state_slices())


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["actions", 0, "max_acceleration"], 2.0, "'dx' is a delta and has no max_acceleration: it follows no path"),
        (["actions", 0, "max_jerk"], 2.0, "'dx' is a delta and has no max_jerk"),
        (["actions", 3, "max_jerk"], 2.0, "'gripper' has a max_jerk but no max_acceleration"),
        (["motion"], {"interpolation": "quintic"}, "motion.interpolation"),
        (["motion"], {"fade_out_s": -0.1}, "motion.fade_out_s"),
        (["actions", 0, "lower"], 2.0, "limits of 'dx' are inverted: lower 2.0 is not below upper 1.0"),
        (["actions", 0, "upper"], float("nan"), "actions.0.upper"),
        (["actions", 0, "hold"], "measured", "names no `measured` observation"),
        (["actions", 0, "kind"], "magic", "'position', 'velocity', 'delta', 'effort' or 'gripper'"),
        (["actions", 1, "name"], "dx", "actions named twice: dx"),
        (["control_rate_hz"], 100.0, "must be a whole multiple"),
        (["control_rate_hz"], -1, "control_rate_hz (value -1)"),
        (["observations", 2, "shape"], [4], "sim.observation['object_position']"),
        (["observations", 0, "max_age_s"], 0.001, "shorter than one period"),
        (["observations", 1, "names"], ["a", "b"], "2 joint names for shape (1,)"),
        (["observations", 0, "type"], "PointStamped", "observations.0.type"),
        (["observations", 0, "topic"], "/a b", "observations.0.topic"),
        (["sim", "observation", "extra"], [0, 1], "names no observation: extra"),
        (["colour"], "red", "colour"),
    ],
)
def test_a_wrong_robot_names_the_field_the_value_and_what_is_allowed(
    tmp_path: Path, path: list[Any], value: Any, said: str
) -> None:
    with pytest.raises(SpecError) as error:
        load_robot(written(tmp_path, edited(path, value)))
    assert said in str(error.value)
    assert "robot.yaml" in str(error.value)


def test_unknown_names_list_those_known() -> None:
    with pytest.raises(SpecError, match=r"unknown robot 'r2d2'.*metaworld_sawyer"):
        load_robot("r2d2")
    with pytest.raises(SpecError, match=r"unknown task 'juggle'.*pick_and_place"):
        load_task("juggle")


def test_files_that_are_missing_or_no_yaml_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.yaml cannot be read"):
        load_robot(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [1,")
    with pytest.raises(SpecError, match=r"bad\.yaml is not YAML"):
        load_task(str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(SpecError, match=r"list\.yaml is not valid"):
        load_task(str(tmp_path / "list.yaml"))


def test_state_vector_is_flat_in_the_order_of_the_spec_and_refuses_what_does_not_fit() -> None:
    robot = load_robot("metaworld_sawyer")
    values = {entry.name: np.full(entry.shape, number) for number, entry in enumerate(robot.observations)}
    state = robot.state_vector(values)
    assert state.shape == (robot.state_dim,)
    for number, span in enumerate(robot.state_slices().values()):
        assert set(state[span]) == {number}
    with pytest.raises(SpecError, match="'goal_position' is missing"):
        robot.state_vector({name: value for name, value in values.items() if name != "goal_position"})
    with pytest.raises(SpecError, match="'goal_position' has 2 values"):
        robot.state_vector({**values, "goal_position": np.zeros(2)})


def test_the_interface_hash_follows_what_a_policy_sees_and_sends_only() -> None:
    same = RobotSpec.model_validate(edited(["description"], "another"))
    other = RobotSpec.model_validate(edited(["actions", 0, "unit"], "m"))
    own = RobotSpec.model_validate(ROBOT).interface_hash()
    assert same.interface_hash() == own
    assert other.interface_hash() != own


def entry(field: str, shape: list[int], **values: Any) -> ObservationSpec:
    known = {
        "name": "seen",
        "topic": "/t",
        "type": "a/msg/B",
        "unit": "m",
        "rate_hz": 10,
        "max_age_s": 1,
        "field": field,
        "shape": shape,
    }
    return ObservationSpec.model_validate({**known, **values})


def test_fields_of_points_quaternions_arrays_numbers_and_joints() -> None:
    point = SimpleNamespace(x=1.0, y=2.0, z=3.0)
    turn = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    message = SimpleNamespace(
        pose=SimpleNamespace(position=point, orientation=turn), range=4.5, name=["b", "a"], position=[10.0, 20.0]
    )
    assert extract(message, entry("pose.position", [3])).tolist() == [1, 2, 3]
    assert extract(message, entry("pose.orientation", [4])).tolist() == [0, 0, 0, 1]
    assert extract(message, entry("range", [1])).tolist() == [4.5]
    assert extract(message, entry("position", [2], names=["a", "b"])).tolist() == [20, 10]
    with pytest.raises(SpecError, match=r"has no field 'pose.speed'"):
        extract(message, entry("pose.speed", [1]))
    with pytest.raises(SpecError, match="has no joint c"):
        extract(message, entry("position", [1], names=["c"]))
    with pytest.raises(SpecError, match="gives 3 values"):
        extract(message, entry("pose.position", [2]))


@pytest.mark.parametrize(
    ("field", "names", "what"),
    [
        ("frame", [], "'frame' of a/msg/B on /t holds no numbers, but 'base'"),
        ("digits", [], "'digits' of a/msg/B on /t holds no numbers, but '4.5'"),
        ("pose", [], "'pose' of a/msg/B on /t holds no numbers, but 'namespace"),
        ("poses", [], "'poses' of a/msg/B on /t holds no numbers"),
        ("rows", [], "'rows' of a/msg/B on /t holds no numbers, but '..1.0., .2.0, 3.0..'"),
        ("cloud", [], "'cloud' of a/msg/B on /t holds no numbers"),
        ("frame", ["a"], "'frame' of a/msg/B on /t holds no numbers, but 'base'"),
        ("velocity", ["a"], "/t names 2 joints but gives 0 values in 'velocity'"),
        ("short", ["b"], "/t names 2 joints but gives 1 values in 'short'"),
        ("range", ["b"], "/t names 2 joints but gives 1 values in 'range'"),
        ("velocity", [], "/t gives 0 values in 'velocity'"),
        ("single.value", ["a"], "has no joint a"),
    ],
)
def test_a_field_that_cannot_be_observed_is_named_with_what_it_holds(field: str, names: list[str], what: str) -> None:
    pose = SimpleNamespace(position=SimpleNamespace(y=1.0))
    message = SimpleNamespace(
        frame="base", digits="4.5", pose=pose, poses=[pose, pose], rows=[[1.0], [2.0, 3.0]], name=["a", "b"],
        cloud=SimpleNamespace(x=pose), velocity=array("d"), short=[1.0], range=4.5,
        single=SimpleNamespace(name=7, value=1.0),
    )  # fmt: skip
    with pytest.raises(SpecError, match=f"observation 'seen': .*{what}"):
        extract(message, entry(field, [1], names=names))


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.builds(SimpleNamespace, x=inner, name=inner),
        max_leaves=8,
    ),
    names=st.sampled_from([[], ["a"]]),
)
def test_whatever_a_message_holds_it_is_extracted_or_refused(value: Any, names: list[str]) -> None:
    message = SimpleNamespace(value=value, name=["b", "a"])
    try:
        found = extract(message, entry("value", [1], names=names))
    except SpecError:
        return
    assert (found.shape, found.dtype) == ((1,), np.float64)


def test_what_is_assigned_is_extracted() -> None:
    message = SimpleNamespace(point=SimpleNamespace(x=0.0, y=0.0, z=0.0), data=0.0, name=[], position=[])
    for spec, values in (
        (entry("point", [3]), [1.0, 2.0, 3.0]),
        (entry("data", [1]), [7.0]),
        (entry("position", [2], names=["a", "b"]), [4.0, 5.0]),
    ):
        assign(message, spec, values)
        assert extract(message, spec).tolist() == values


def test_ids() -> None:
    assert check_id(new_id())
    with pytest.raises(SpecError, match="is not a ULID"):
        check_id("../../etc/passwd")
