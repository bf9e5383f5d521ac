"""What a training draws: weights by class, priorities, curriculum, the systematic draw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

import torch

from xrollout_ros.core.errors import SpecError
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.training.curriculum import LEAST, Curriculum
from xrollout_ros.learning.training.replay import REPLAYS, Prioritized, Weighted, make_replay, systematic
from xrollout_ros.learning.training.weights import SCHEMES, class_shares, window_weights
from xrollout_ros.learning.windows import Windows, windows

DEMONSTRATION, ROLLOUT, INTERVENTION = Frame.DEMONSTRATION, Frame.ROLLOUT, Frame.INTERVENTION


def episode(name: str, frames: list[Frame], **values: object) -> TrainingEpisode:
    count = len(frames)
    state = np.arange(count, dtype=float)[:, None]
    made = TrainingEpisode(name, "task", state, state, np.ones(count, bool), frame=np.array(frames, np.uint8))
    return replace(made, **values)  # type: ignore[arg-type]


def data(*episodes: TrainingEpisode) -> tuple[Windows, tuple[TrainingEpisode, ...]]:
    return windows(episodes, 2), episodes


def share_of(weights: np.ndarray, samples: Windows, frame: Frame) -> float:
    return float(weights[samples.frame == frame].sum() / weights.sum())


def test_interventions_are_half_and_demonstrations_keep_their_share() -> None:
    samples, episodes = data(episode("a", [DEMONSTRATION] * 20), episode("b", [ROLLOUT] * 70 + [INTERVENTION] * 10))
    sirius = window_weights(samples, episodes, "sirius")
    assert share_of(sirius, samples, INTERVENTION) == pytest.approx(0.5)
    assert share_of(sirius, samples, DEMONSTRATION) == pytest.approx(0.2)
    assert share_of(sirius, samples, ROLLOUT) == pytest.approx(0.3)
    iwr = window_weights(samples, episodes, "iwr")
    assert share_of(iwr, samples, INTERVENTION) == pytest.approx(0.5)
    assert share_of(iwr, samples, DEMONSTRATION) == pytest.approx(0.5 * 20 / 90)
    assert np.ptp(window_weights(samples, episodes, "uniform")) == 0


def test_without_interventions_every_row_counts_the_same() -> None:
    samples, episodes = data(episode("a", [DEMONSTRATION] * 5), episode("b", [ROLLOUT] * 3))
    assert np.allclose(window_weights(samples, episodes, "sirius"), 1.0)


def test_weights_of_episodes_hold_within_their_class() -> None:
    samples, episodes = data(
        episode("a", [DEMONSTRATION] * 4, weight=3.0),
        episode("b", [DEMONSTRATION] * 4),
        episode("c", [INTERVENTION] * 2),
    )
    weights = window_weights(samples, episodes, "sirius")
    assert weights[0] == pytest.approx(3 * weights[4])
    assert share_of(weights, samples, INTERVENTION) == pytest.approx(0.5)


@given(
    st.dictionaries(
        st.sampled_from([Frame.DEMONSTRATION, Frame.ROLLOUT, Frame.INTERVENTION]), st.integers(1, 99), min_size=1
    ),
    st.sampled_from(SCHEMES),
)
def test_shares_are_shares(counts: dict[Frame, int], scheme: str) -> None:
    total = sum(counts.values())
    natural = {frame: count / total for frame, count in counts.items()}
    found = class_shares(natural, scheme)  # type: ignore[arg-type]
    assert sum(found.values()) == pytest.approx(1)
    assert found.keys() == natural.keys()
    assert min(found.values()) >= 0
    if scheme != "uniform" and Frame.INTERVENTION in counts and len(counts) > 1:
        assert found[Frame.INTERVENTION] >= 0.5 - 1e-12


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40).filter(any), st.integers(1, 60), st.floats(0, 0.999))
def test_a_systematic_draw_is_as_often_as_the_weights_say(weights: list[float], count: int, offset: float) -> None:
    found = systematic(np.array(weights), count, offset)
    assert len(found) == count
    drawn = np.bincount(found, minlength=len(weights))
    expected = np.array(weights) / sum(weights) * count
    assert (np.abs(drawn - expected) < 1 + 1e-6).all()


def test_equal_weights_give_each_window_once() -> None:
    samples, episodes = data(episode("a", [DEMONSTRATION] * 9))
    order, correction = make_replay("weighted", samples, episodes).epoch(0.0, torch.Generator().manual_seed(1))
    assert sorted(order.tolist()) == list(range(9))
    assert correction is None
    assert torch.equal(order, torch.randperm(9, generator=torch.Generator().manual_seed(1)))


def test_what_is_not_learned_is_drawn_more_and_weighed_less() -> None:
    replay = Prioritized(np.ones(100), np.zeros(100, np.uint8))
    generator = torch.Generator().manual_seed(0)
    order, correction = replay.epoch(0.0, generator)
    assert correction is None
    losses = torch.where(order < 10, 1.0, 0.01)
    replay.learned(order, losses)
    order, correction = replay.epoch(0.5, generator)
    hard = order < 10
    assert hard.sum() > 40
    assert correction is not None
    assert correction[hard].max() < correction[~hard].min()
    assert correction.max() <= 1


@pytest.mark.parametrize("name", sorted(REPLAYS))
def test_swapping_the_replay_changes_what_is_trained_on(name: str) -> None:
    """The stage goes by its name: another draws other windows from the same data, and its counts say so."""
    samples, episodes = data(episode("a", [DEMONSTRATION] * 40), episode("b", [ROLLOUT] * 30 + [INTERVENTION] * 10))
    drawn = {}
    for other in REPLAYS:
        replay = make_replay(other, samples, episodes)
        generator = torch.Generator().manual_seed(0)
        for epoch in range(4):
            order, _ = replay.epoch(epoch / 4, generator)
            replay.learned(order, torch.where(order < 5, 5.0, 0.1))
        drawn[other] = replay.counts()
        assert drawn[other]["stage"] == other
        assert sum(each["drawn"] for each in drawn[other]["classes"].values()) == drawn[other]["drawn"] == 4 * 80
    assert all(drawn[name]["classes"] != drawn[other]["classes"] for other in REPLAYS if other != name)
    with pytest.raises(SpecError, match=r"unknown replay 'all'.*weighted"):
        make_replay("all", samples, episodes)


def test_state_goes_on_where_it_was() -> None:
    one, two = Prioritized(np.ones(20), np.zeros(20, np.uint8)), Prioritized(np.ones(20), np.zeros(20, np.uint8))
    generator = torch.Generator().manual_seed(3)
    order, _ = one.epoch(0.0, generator)
    one.learned(order, torch.rand(20, generator=generator))
    two.restore(one.state())
    state = generator.get_state()
    first, weighed = one.epoch(0.5, generator)
    generator.set_state(state)
    second, too = two.epoch(0.5, generator)
    assert torch.equal(first, second)
    assert weighed is not None
    assert torch.equal(weighed, too)
    assert one.counts() == two.counts()


def test_the_best_level_comes_first_and_all_count_in_the_end() -> None:
    samples, episodes = data(*(episode(str(level), [DEMONSTRATION] * 3, level=level) for level in (1, 2, 3, 4)))
    curriculum = Curriculum("levels", samples, episodes)
    begin, end = curriculum.factors(0.0), curriculum.factors(1.0)
    assert begin.reshape(4, 3)[:, 0].tolist() == [LEAST, LEAST, LEAST, 1.0]
    assert (end == 1).all()
    middle = curriculum.factors(0.35).reshape(4, 3)[:, 0]
    assert (np.diff(middle) >= 0).all()
    assert LEAST < middle[1] < 1 or LEAST < middle[2] <= 1


def test_easy_starts_come_first() -> None:
    samples, episodes = data(*(episode(str(hard), [DEMONSTRATION] * 2, difficulty=hard) for hard in (0.0, 1.0, None)))
    factors = Curriculum("difficulty", samples, episodes).factors(0.0).reshape(3, 2)[:, 0]
    assert factors[0] == 1.0
    assert factors[1] == factors[2] == LEAST
    one = Curriculum("difficulty", *data(episode("a", [DEMONSTRATION] * 2)))
    assert not one.active
    weighted = Weighted(np.ones(2), np.zeros(2, np.uint8), one.factors)
    assert sorted(weighted.epoch(0.0, torch.Generator())[0].tolist()) == [0, 1]
