"""What is done to observations before a policy sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.image_processors import crop, normalize_image, resize
from xrollout_ros.runtime.processor_steps import View
from xrollout_ros.runtime.processors import Pipeline, Processing, Ticks, process_rows
from xrollout_ros.runtime.rotations import multiply, rotate, unit, upright

SAWYER = load_robot("metaworld_sawyer")
PERIOD_NS = SAWYER.policy_period_ns
REACH = {"kind": "difference", "name": "reach", "of": "object_position", "minus": "hand_position"}


def with_processors(*processors: dict[str, Any], robot: RobotSpec = SAWYER) -> RobotSpec:
    return RobotSpec.model_validate({**robot.model_dump(), "processors": processors})


def pipeline(*processors: dict[str, Any]) -> Pipeline:
    return Pipeline(with_processors(*processors).processors, SAWYER)


def state(**values: Any) -> np.ndarray[Any, Any]:
    known = {entry.name: np.zeros(entry.shape) for entry in SAWYER.observations}
    return SAWYER.state_vector({**known, "object_orientation": [0.0, 0, 0, 1], **values})


def test_none_is_the_identity() -> None:
    given_state = state(hand_position=[1, 2, 3])
    empty = pipeline()
    assert empty(given_state) is given_state
    assert {name: entry.size for name, entry in empty.outputs.items()} == {
        entry.name: entry.size for entry in SAWYER.observations
    }


def test_a_difference_comes_last_and_keeps_the_unit() -> None:
    steps = pipeline(REACH)
    out = steps(state(hand_position=[1, 2, 3], object_position=[2, 2, 5]))
    assert list(steps.outputs) == [*(entry.name for entry in SAWYER.observations), "reach"]
    assert out[-3:].tolist() == [1, 0, 2]
    assert (steps.outputs["reach"].size, steps.outputs["reach"].unit) == (3, "m")


def test_normalize_scales_value_by_value_and_has_no_unit() -> None:
    steps = pipeline({"kind": "normalize", "observation": "hand_position", "mean": [1.0, 2.0, 3.0], "scale": 2.0})
    assert steps(state(hand_position=[1, 4, 3]))[:3].tolist() == [0, 1, 0]
    assert steps.outputs["hand_position"].unit == "1"


def test_history_holds_the_last_ticks_oldest_first_and_starts_with_the_first() -> None:
    steps = pipeline({"kind": "history", "observation": "gripper_opening", "length": 3})
    seen = [steps(state(gripper_opening=[float(value)]))[3:6].tolist() for value in (1, 2, 3, 4)]
    assert seen == [[1, 1, 1], [1, 1, 2], [1, 2, 3], [2, 3, 4]]
    steps.reset()
    assert steps(state(gripper_opening=[9.0]))[3:6].tolist() == [9, 9, 9]


def test_relative_to_the_start_of_the_attempt() -> None:
    steps = pipeline({"kind": "relative_pose", "position": "hand_position"})
    assert steps(state(hand_position=[1, 2, 3]))[:3].tolist() == [0, 0, 0]
    assert steps(state(hand_position=[2, 2, 3]))[:3].tolist() == [1, 0, 0]
    steps.reset()
    assert steps(state(hand_position=[2, 2, 3]))[:3].tolist() == [0, 0, 0]


def test_a_pose_relative_to_a_turned_one() -> None:
    quarter = [0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]  # x points along the world's y
    steps = pipeline(
        {
            "kind": "relative_pose",
            "position": "hand_position",
            "reference": {"position": "object_position", "orientation": "object_orientation"},
            "keep": True,
        }
    )
    out = steps(state(hand_position=[1, 3, 0], object_position=[1, 1, 0], object_orientation=quarter))
    assert out[:3].tolist() == [1, 3, 0]
    np.testing.assert_allclose(out[-3:], [2, 0, 0], atol=1e-12)


def test_an_orientation_relative_to_its_start() -> None:
    steps = pipeline({"kind": "relative_pose", "position": "object_position", "orientation": "object_orientation"})
    half = np.array([0.0, 0.0, 1.0, 0.0])
    where = SAWYER.state_slices()["object_orientation"]
    np.testing.assert_allclose(steps(state(object_orientation=half))[where], [0, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(steps(state(object_orientation=-half))[where], [0, 0, 0, 1], atol=1e-12)
    # Zeros are how ROS says that none is given.
    assert np.isfinite(steps(state(object_orientation=[0, 0, 0, 0]))).all()


turns = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda turn: np.linalg.norm(turn) > 0.1)
vectors = st.lists(st.floats(-10, 10), min_size=3, max_size=3)


@settings(deadline=None)
@given(turns, turns, vectors)
def test_turns_are_what_scipy_says(first: list[float], second: list[float], vector: list[float]) -> None:
    a, b = unit(np.array(first)), unit(np.array(second))
    np.testing.assert_allclose(rotate(a, np.array(vector)), Rotation.from_quat(a).apply(vector), atol=1e-9)
    theirs = (Rotation.from_quat(a) * Rotation.from_quat(b)).as_matrix()
    np.testing.assert_allclose(Rotation.from_quat(upright(multiply(a, b))).as_matrix(), theirs, atol=1e-9)


def test_steps_build_on_each_other_in_order() -> None:
    steps = pipeline(
        REACH,
        {"kind": "normalize", "observation": "reach", "scale": 0.5},
        {"kind": "history", "observation": "reach", "length": 2},
    )
    assert steps.outputs["reach"].size == 6
    steps(state(object_position=[1, 0, 0]))
    assert steps(state(object_position=[2, 0, 0]))[-6:].tolist() == [2, 0, 0, 4, 0, 0]


@pytest.mark.parametrize(
    ("processor", "said"),
    [
        (
            {**REACH, "of": "nobody"},
            r"\[0\] \(difference\) names observation 'nobody'; there is hand_position",
        ),
        ({**REACH, "name": "hand_position"}, "would make 'hand_position', which there is already"),
        ({**REACH, "minus": "gripper_opening"}, "differ in size or unit"),
        ({"kind": "history", "observation": "hand_position", "length": 1}, "greater than or equal to 2"),
        ({"kind": "normalize", "mean": 0.0}, "wants either `observation` or `camera`"),
        ({"kind": "normalize", "observation": "hand_position", "scale": 0.0}, "greater than 0"),
        ({"kind": "normalize", "observation": "hand_position", "mean": [1.0, 2.0]}, "has 2 values for 'hand_position'"),
        ({"kind": "relative_pose", "position": "gripper_opening"}, "'gripper_opening' has 1 values, a pose needs 3"),
        ({"kind": "crop", "camera": "corner", "x": 300, "y": 0, "width": 21, "height": 9}, "whose images are 320x240"),
        ({"kind": "resize", "camera": "nobody", "width": 8, "height": 8}, "names camera 'nobody'; there is corner"),
        ({"kind": "blur"}, "blur"),
    ],
)
def test_steps_that_do_not_fit_are_refused_when_the_spec_is_loaded(processor: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        with_processors(processor)


def test_what_a_robot_senses_is_the_same_whatever_is_done_to_it() -> None:
    assert with_processors(REACH).interface_hash() == SAWYER.interface_hash()


# --- ticks ------------------------------------------------------------------------------------------------------------


def observation(step: int, stamp_ns: int, episode: str = "e") -> Observation:
    return Observation(episode, step, stamp_ns, state(gripper_opening=[float(step)]))


def processing() -> Processing:
    return Processing(pipeline({"kind": "history", "observation": "gripper_opening", "length": 2}), SAWYER)


def test_an_observation_that_comes_again_is_no_new_tick() -> None:
    process = processing()
    for step in (0, 0, 1, 1, 1, 2):
        seen = process(observation(step, step * PERIOD_NS))
        assert seen is not None
        assert seen.state[3:5].tolist() == [max(0, step - 1), step]


def test_an_attempt_begins_afresh() -> None:
    process = processing()
    process(observation(5, 5 * PERIOD_NS))
    seen = process(observation(7, PERIOD_NS, "next"))
    assert seen is not None
    assert seen.state[3:5].tolist() == [7, 7]


def test_without_processors_every_observation_passes() -> None:
    process = Processing(pipeline(), SAWYER)
    given_observation = observation(0, 0)
    assert [process(given_observation) for _ in range(3)] == [given_observation] * 3


@pytest.mark.parametrize("share", [1, 2, 5, 7])
def test_sensors_faster_than_the_policy_give_one_tick_each_period(share: int) -> None:
    ticks = Ticks(PERIOD_NS)
    jitter = np.random.default_rng(0).uniform(-0.2, 0.2, 100 * share) / share
    stamps = ((np.arange(100 * share) / share + jitter) * PERIOD_NS).astype(np.int64)
    stamps[0] = 0
    assert sum(ticks.new(int(stamp)) for stamp in stamps) in (100, 101)


def test_recorded_rows_go_through_as_they_did_live() -> None:
    random = np.random.default_rng(0)
    robot = with_processors(
        REACH,
        {"kind": "relative_pose", "position": "hand_position"},
        {"kind": "history", "observation": "reach", "length": 3},
    )
    steps = Pipeline(robot.processors, robot)
    rows = random.normal(size=(40, robot.state_dim))
    # Two rows for each period, as of a supervisor that ticks faster than the policy.
    stamps = np.arange(40) * (PERIOD_NS // 2) + 5 * 10**9
    inputs, ticked = process_rows(steps, robot, rows, stamps)
    live = Processing(Pipeline(robot.processors, robot), robot)
    seen = [live(Observation("e", row, int(stamps[row]), rows[row])) for row in range(40)]
    assert ticked.tolist() == [one is not None for one in seen]
    assert 19 <= ticked.sum() <= 21
    for row, one in enumerate(seen):
        if one is not None:
            assert inputs[row].tobytes() == one.state.tobytes()


# --- images -----------------------------------------------------------------------------------------------------------


def test_crop_takes_the_part_asked_for() -> None:
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(crop(image, 1, 2, 3, 2), image[2:4, 1:4])
    with pytest.raises(ValueError, match="reaches beyond"):
        crop(image, 3, 0, 3, 2)


@pytest.mark.parametrize("size", [(8, 6), (3, 2), (5, 4), (11, 9), (1, 1)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_resize_is_what_torch_does(size: tuple[int, int], kind: Any) -> None:
    torch = pytest.importorskip("torch")

    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(kind)
    width, height = size
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None], (height, width), mode="bilinear"
    )[0].permute(1, 2, 0)
    found = resize(image, width, height)
    assert found.dtype == image.dtype
    assert found.shape == (height, width, 3)
    if kind is np.uint8:
        assert np.abs(found.astype(int) - np.rint(theirs.numpy())).max() <= 1
    else:
        np.testing.assert_allclose(found, theirs.numpy(), atol=1e-3)


def test_normalized_images_are_float32() -> None:
    image = np.full((2, 2, 3), 255, dtype=np.uint8)
    found = normalize_image(image, [0.5, 0.5, 0.0], [0.5, 0.25, 1.0])
    assert found.dtype == np.float32
    assert found[0, 0].tolist() == [1, 2, 1]


def test_images_go_through_the_same_pipeline() -> None:
    steps = pipeline(
        {"kind": "crop", "camera": "corner", "x": 40, "y": 0, "width": 240, "height": 240},
        {"kind": "resize", "camera": "corner", "width": 84, "height": 84},
        {"kind": "normalize", "camera": "corner", "mean": [0.5, 0.5, 0.5], "scale": 0.5},
        REACH,
    )
    image = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    values = {entry.name: np.zeros(entry.size) for entry in SAWYER.observations}
    out = steps.view(View(values, {"corner": image}))
    assert steps.images == {"corner": (84, 84)}
    assert (out.images["corner"].shape, out.images["corner"].dtype) == ((84, 84, 3), np.float32)
    assert np.abs(out.images["corner"]).max() <= 1
    assert "reach" in out.state
    # A policy of states alone does not miss them.
    assert steps(state()).shape == (SAWYER.state_dim + 3,)
