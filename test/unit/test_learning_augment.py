"""Windows that are varied while training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

pytest.importorskip("torch")

import torch
from torch import Tensor

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.mirror import MirrorSpec
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.learning.augment.inputs import Inputs
from xrollout_ros.learning.augment.moves import Warp, leading
from xrollout_ros.learning.augment.spec import AugmentSpec, make_augmenter
from xrollout_ros.learning.augment.windows import Augmenter
from xrollout_ros.runtime.processors import Pipeline

from .robots import JOINTS, SMOOTH, dim, robot

SAWYER = load_robot("metaworld_sawyer")
HAND = SAWYER.state_slices()["hand_position"]
MIRROR = MirrorSpec.model_validate(
    {
        "observations": {
            "hand_position": {"signs": [-1, 1, 1]},
            "object_position": {"signs": [-1, 1, 1]},
            "object_orientation": {"signs": [1, -1, -1, 1]},
            "goal_position": {"signs": [-1, 1, 1]},
        },
        "actions": {"dx": {"sign": -1}},
    }
)
REACH = {"kind": "difference", "name": "reach", "of": "object_position", "minus": "hand_position"}
FROM_START = {"kind": "relative_pose", "position": "hand_position", "keep": True}
ALL: dict[str, Any] = {"state_noise": 0.005, "action_noise": 0.1, "time_warp": 1.5, "mirror": True}
SEEDS = st.integers(0, 2**32)


def made(spec: dict[str, Any], robot: RobotSpec = SAWYER, mirror: MirrorSpec | None = MIRROR) -> Augmenter:
    augmenter = make_augmenter(AugmentSpec.model_validate(spec), robot, mirror, robot.processors)
    assert augmenter is not None
    return augmenter


def with_processors(*processors: dict[str, Any]) -> RobotSpec:
    return RobotSpec.model_validate({**SAWYER.model_dump(), "processors": processors})


def batch(robot: RobotSpec, seed: int, size: int = 16, horizon: int = 8, limit: float = 1.0) -> tuple[Tensor, ...]:
    """States, actions within this share of their limits, and mask, in which padding repeats the last row."""
    random = np.random.default_rng(seed)
    state = random.normal(size=(size, robot.state_dim))
    middle, half = (robot.lower + robot.upper) / 2, (robot.upper - robot.lower) / 2
    values = np.clip(random.normal(scale=0.7, size=(size, horizon, robot.action_dim)), -limit, limit)
    rows = random.integers(1, horizon + 1, size=size)
    index = np.minimum(np.arange(horizon), rows[:, None] - 1)
    actions = (middle + half * values)[np.arange(size)[:, None], index]
    mask = np.arange(horizon) < rows[:, None]
    return tuple(torch.tensor(each, dtype=torch.float32) for each in (state, actions, mask))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_is_varied_unless_asked_for() -> None:
    assert make_augmenter(AugmentSpec(), SAWYER) is None
    assert make_augmenter(AugmentSpec(image_crop=0.1, image_color=0.2), SAWYER) is None
    assert make_augmenter(AugmentSpec(observation_noise={"goal_position": 0.0}), SAWYER) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"state_noise": -0.1},
        {"state_noise": float("nan")},
        {"action_noise": 0.6},
        {"time_warp": 0.9},
        {"mirror": "sometimes"},
        {"image_crop": 0.5},
        {"noise": 1.0},
    ],
)
def test_documents_that_are_wrong(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AugmentSpec.model_validate(wrong)


@given(SEEDS)
@settings(max_examples=20)
def test_the_generator_alone_is_random_and_what_is_given_is_kept(seed: int) -> None:
    given_batch = batch(SAWYER, seed)
    before = [each.clone() for each in given_batch]
    augmenter = made(ALL)
    first, again = (augmenter(*given_batch, generator(seed)) for _ in range(2))
    other = augmenter(*given_batch, generator(seed + 1))
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert all(torch.equal(*pair) for pair in zip(given_batch, before, strict=True))


@given(SEEDS, st.sampled_from([SAWYER, JOINTS, SMOOTH]), st.integers(1, 9))
@settings(max_examples=60)
def test_limits_are_kept_and_padding_stays(seed: int, robot: RobotSpec, horizon: int) -> None:
    state, actions, mask = batch(robot, seed, horizon=horizon)
    spec = {**ALL, "mirror": robot is SAWYER, "time_warp": 1.5 if robot is SAWYER else 1.0}
    new_state, new_actions, new_mask = made(spec, robot)(state, actions, mask, generator(seed))
    assert torch.isfinite(new_state).all()
    assert (new_actions >= torch.tensor(robot.lower) - 1e-6).all()
    assert (new_actions <= torch.tensor(robot.upper) + 1e-6).all()
    grippers = [place for place, dim in enumerate(robot.actions) if dim.kind.value == "gripper"]
    if robot is not SAWYER:
        assert torch.equal(new_mask, mask)
        assert torch.equal(new_actions[mask == 0], actions[mask == 0])
        assert torch.equal(new_actions[..., grippers], actions[..., grippers])
        for order, limit in enumerate(robot.derivative_limits, start=1):
            if horizon <= order:
                continue
            bound = torch.tensor(limit / robot.policy_rate_hz**order)
            real = mask[:, order:, None] == 1
            broken = new_actions.diff(order, 1).abs() > torch.maximum(bound, actions.diff(order, 1).abs()) * 1.001
            assert not (broken & real & (new_actions != actions)[:, order:]).any()


@given(SEEDS, st.integers(1, 9), st.floats(0.0, 0.02))
@settings(max_examples=40)
def test_after_state_noise_the_deltas_lead_back(seed: int, horizon: int, deviation: float) -> None:
    state, actions, mask = batch(SAWYER, seed, horizon=horizon)
    if deviation == 0:
        return
    new_state, new_actions, _ = made({"state_noise": deviation})(state, actions, mask, generator(seed))
    displaced = new_state - state
    noise = displaced[:, HAND]
    assert (displaced[:, HAND.stop :] == 0).all()
    added = new_actions - actions
    assert (added[mask == 0] == 0).all()
    assert (added[..., 3] == 0).all()
    moved = 0.01 * added[..., :3].sum(1)
    # Never past the demonstrated path, and short of it only where every row does what it can.
    assert ((moved + noise).abs() <= noise.abs() + 1e-5).all()
    short = (moved + noise).abs() > 1e-5
    spent = (new_actions[..., :3].abs() > 1 - 1e-5) | (mask == 0)[..., None]
    assert spent.all(1)[short].all()


def test_small_noise_leads_back_whole() -> None:
    state, actions, mask = batch(SAWYER, 3, size=256, limit=0.5)
    new_state, new_actions, _ = made({"state_noise": 0.001})(state, actions, mask, generator())
    noise = (new_state - state)[:, HAND]
    assert noise.std() == pytest.approx(0.001, rel=0.1)
    assert (new_actions - actions)[..., :3].sum(1).numpy() == pytest.approx(-noise.numpy() / 0.01, abs=1e-4)


def test_positions_are_where_to_be_whatever_is_measured() -> None:
    state, actions, mask = batch(JOINTS, 1)
    new_state, new_actions, _ = made({"state_noise": 0.01}, JOINTS)(state, actions, mask, generator())
    assert torch.equal(new_actions, actions)
    changed = (new_state != state).any(0)
    assert changed.tolist() == [False, True], "only what measures a position"


@given(SEEDS, st.integers(1, 9))
@settings(max_examples=40)
def test_action_noise_is_made_up_for(seed: int, horizon: int) -> None:
    state, actions, mask = batch(SAWYER, seed, horizon=horizon)
    same, new_actions, _ = made({"action_noise": 0.1})(state, actions, mask, generator(seed))
    assert torch.equal(same, state)
    assert torch.allclose(new_actions.sum(1), actions.sum(1), atol=1e-5)
    assert torch.equal(new_actions[..., 3], actions[..., 3])
    assert torch.equal(new_actions[mask.sum(1) == 1], actions[mask.sum(1) == 1]), "nothing comes after"


def test_noise_on_a_position_is_of_one_row() -> None:
    arm = robot([dim("shoulder", "position", "measured", measured={"observation": "joints", "index": 0})])
    state, actions, mask = batch(arm, 5, size=64)
    _, new_actions, _ = made({"action_noise": 0.1}, arm)(state, actions, mask, generator())
    rows = (new_actions != actions).any(2).sum(1)
    assert rows.max() == 1
    assert (rows[mask.sum(1) > 1] == 1).float().mean() > 0.9


@given(SEEDS, st.floats(0.5, 2.0), st.integers(1, 9))
@settings(max_examples=60)
def test_a_warped_window_passes_through_the_same_places(seed: int, factor: float, horizon: int) -> None:
    _, actions, mask = batch(SAWYER, seed, horizon=horizon)
    asked = torch.full((len(actions), 1), factor)
    warped, new_mask = Warp(SAWYER)(actions, mask, asked)
    rows = leading(mask)
    assert torch.equal(warped[new_mask == 0], actions[new_mask == 0])
    for number in range(len(actions)):
        n, real = int(rows[number]), int(new_mask[number].sum())
        # How fast it was really played: limits may have forbidden more, but never less than was asked for below 1.
        used = (actions[number, :, :3].abs()).max()
        real_factor = min(factor, max(1.0, float(1 / used))) if factor > 1 else factor
        way = np.concatenate([np.zeros((1, 3)), actions[number, :n, :3].numpy().cumsum(0)])
        times = real_factor * np.arange(real + 1)
        assert times[-1] <= n + 1e-3, "nothing beyond what is known"
        expected = np.stack([np.interp(times, np.arange(n + 1), way[:, axis]) for axis in range(3)], 1)
        assert warped[number, :real, :3].numpy().cumsum(0) == pytest.approx(expected[1:], abs=1e-4)
        nearest = np.minimum(np.rint(real_factor * np.arange(real)), n - 1).astype(int)
        close = np.abs(real_factor * np.arange(real) % 1 - 0.5) > 1e-3
        assert (warped[number, :real, 3].numpy() == actions[number, nearest, 3].numpy())[close].all()


def test_positions_go_along_the_same_line() -> None:
    line = robot([dim("shoulder", "position", "measured", measured={"observation": "joints", "index": 0})])
    actions = torch.linspace(0, 0.7, 8)[None, :, None]
    warped, mask = Warp(line)(actions, torch.ones(1, 8), torch.tensor([[1.5]]))
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0, 0, 0]]
    assert warped[0, :5, 0].tolist() == pytest.approx([0, 0.15, 0.3, 0.45, 0.6])
    assert warped[0, 5:, 0].tolist() == actions[0, 5:, 0].tolist()


def test_a_window_with_a_gap_keeps_its_pace() -> None:
    _, actions, _ = batch(SAWYER, 0)
    mask = torch.ones(actions.shape[:2])
    mask[:, 3] = 0
    warped, same = Warp(SAWYER)(actions, mask, torch.full((len(actions), 1), 0.8))
    assert torch.equal(warped, actions)
    assert torch.equal(same, mask)


def test_half_of_the_windows_are_mirrored() -> None:
    state, actions, mask = batch(SAWYER, 0, size=512)
    new_state, new_actions, _ = made({"mirror": True})(state, actions, mask, generator())
    turned = new_state[:, 0] != state[:, 0]
    assert 0.4 < turned.float().mean() < 0.6
    assert torch.equal(new_state[~turned], state[~turned])
    assert torch.equal(new_actions[turned], actions[turned] * torch.tensor([-1.0, 1, 1, 1]))
    signs = torch.tensor([-1.0, 1, 1, 1, -1, 1, 1, 1, -1, -1, 1, -1, 1, 1])
    assert torch.equal(new_state[turned], state[turned] * signs)


def test_what_would_break_a_limit_in_the_mirror_is_not_mirrored() -> None:
    arm = robot([dim("turn", "position", "measured", upper=0.5, measured={"observation": "joints", "index": 0})])
    spec = MirrorSpec.model_validate(
        {"observations": {"joints": {"signs": [-1, 1]}}, "actions": {"turn": {"sign": -1}}}
    )
    state, actions, mask = batch(arm, 0, size=512)
    _, new_actions, _ = made({"mirror": True}, arm, spec)(state, actions, mask, generator())
    turned = (new_actions != actions).any(2).any(1)
    assert 0 < turned.sum() < 256
    assert (new_actions <= 0.5).all()


PIPELINES: list[list[dict[str, Any]]] = [
    [],
    [REACH],
    [REACH, {"kind": "history", "observation": "reach", "length": 3}],
    [{"kind": "history", "observation": "hand_position", "length": 2}, FROM_START | {"position": "object_position"}],
    [FROM_START, {"kind": "normalize", "observation": "hand_position", "mean": [0.5, 0, 0], "scale": [2.0, 1, 3]}],
    [
        {
            "kind": "relative_pose",
            "position": "object_position",
            "reference": {"position": "hand_position"},
        }
    ],
]


@pytest.mark.parametrize("processors", PIPELINES)
def test_what_processors_make_of_it(processors: list[dict[str, Any]]) -> None:
    robot = with_processors(*processors)
    random = np.random.default_rng(0)
    path = random.normal(size=(6, robot.state_dim))

    def seen(states: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        pipeline = Pipeline(robot.processors, robot)
        return np.array([pipeline(each) for each in states])

    inputs = Inputs(robot, robot.processors)
    displaced, noise = path.copy(), random.normal(size=3)
    displaced[1:, HAND] += noise
    expected = seen(displaced)[-1] - seen(path)[-1]
    assert noise @ inputs.displaced([0, 1, 2], "noise") == pytest.approx(expected)

    of_state = MIRROR.of_state({entry.name: entry.size for entry in robot.observations})
    reflection, added = inputs.mirrored(of_state)
    mirrored = seen(of_state.sign * path[:, of_state.source])[-1]
    assert reflection.sign * seen(path)[-1][reflection.source] + added == pytest.approx(mirrored)


def refused(spec: dict[str, Any], robot: RobotSpec = SAWYER, **values: Any) -> str:
    with pytest.raises(SpecError) as caught:
        make_augmenter(AugmentSpec.model_validate(spec), robot, processors=robot.processors, **values)
    assert caught.value.remedy
    return str(caught.value)


def test_what_cannot_be_done_is_refused() -> None:
    turned = with_processors(
        {"kind": "relative_pose", "position": "hand_position", "orientation": "object_orientation"}
    )
    remembered = with_processors({"kind": "history", "observation": "hand_position", "length": 3})
    alone = robot([dim("dx", "delta"), dim("grip", "gripper", "keep")])
    car, base = load_robot("gym_mountain_car"), load_robot("diff_drive")
    for text, said in {
        "processors[0] (relative_pose) makes 'hand_position'": refused({"state_noise": 0.1}, turned),
        "augment.mirror: processors[0]": refused({"mirror": True}, turned, mirror=MIRROR),
        "pace of the past (hand_position)": refused({"time_warp": 1.2}, remembered),
        "(linear_velocity, angular_velocity)": refused({"time_warp": 1.2}, base),
        "what an effort (force) does": refused({"time_warp": 1.2}, car),
        "make up for an effort (force)": refused({"action_noise": 0.1}, car),
        "(force is a effort)": refused({"state_noise": 0.1}, car),
        "(linear_x is a velocity, angular_z is a velocity)": refused({"state_noise": 0.1}, base),
        "(dx is a delta, grip is a gripper)": refused({"state_noise": 0.1}, alone),
        "no actions but grippers": refused({"action_noise": 0.1}, robot([dim("grip", "gripper", "keep")])),
        "names 'elbow', which robot": refused({"observation_noise": {"elbow": 0.1}}),
        "'hand_position', which state_noise is about": refused(
            {"state_noise": 0.1, "observation_noise": {"hand_position": 0.1}}
        ),
        "the TaskSpec does not say": refused({"mirror": True}),
        "does not fit robot 'test_robot'": refused({"mirror": True}, alone, mirror=MIRROR),
        "the policy sees images (corner)": refused({"state_noise": 0.1}, cameras=["corner"]),
        "augment.mirror: the policy sees images": refused({"mirror": True}, mirror=MIRROR, cameras=["corner"]),
    }.items():
        assert text in said


def test_sides_of_which_only_one_is_seen_alike() -> None:
    two_arms = robot(
        [dim("left", "velocity"), dim("right", "velocity")],
        observations=[
            {**SAWYER.observations[0].model_dump(), "name": name, "topic": f"/{name}"}
            for name in ("left_hand", "right_hand", "object")
        ],
    )
    swap = MirrorSpec.model_validate(
        {
            "observations": {
                "left_hand": {"signs": [-1, 1, 1], "of": "right_hand"},
                "right_hand": {"signs": [-1, 1, 1], "of": "left_hand"},
                "object": {"signs": [-1, 1, 1]},
            },
            "actions": {"left": {"of": "right"}, "right": {"of": "left"}},
        }
    )
    state, actions, mask = batch(two_arms, 0, size=64)
    new_state, new_actions, _ = made({"mirror": True}, two_arms, swap)(state, actions, mask, generator())
    turned = new_state[:, 1] != state[:, 1]
    assert torch.equal(new_actions[turned], actions[turned].flip(2))
    assert torch.equal(new_state[turned][:, :3], state[turned][:, 3:6] * torch.tensor([-1.0, 1, 1]))
    half_seen = RobotSpec.model_validate(
        {
            **two_arms.model_dump(),
            "processors": [{"kind": "difference", "name": "reach", "of": "object", "minus": "left_hand"}],
        }
    )
    assert "what becomes of 'reach'" in refused({"mirror": True}, half_seen, mirror=swap)


def test_noise_of_a_sensor_moves_nothing_else() -> None:
    robot = with_processors(REACH)
    state, actions, mask = batch(SAWYER, 0, size=256)
    state = torch.cat([state, state[:, 4:7] - state[:, 0:3]], 1)
    new_state, new_actions, _ = made({"observation_noise": {"object_position": 0.01}}, robot)(
        state, actions, mask, generator()
    )
    noise = new_state - state
    assert torch.equal(new_actions, actions)
    assert noise[:, 4:7].std() == pytest.approx(0.01, rel=0.1)
    assert torch.allclose(noise[:, 14:17], noise[:, 4:7], atol=1e-6), "the difference sees it too"
    assert (noise[:, [0, 1, 2, 3, 7, 8, 9, 10, 11, 12, 13]] == 0).all()
