"""Descriptors of failures, and groups of alike ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.mining.clusters import cluster, project
from xrollout_ros.mining.descriptors import descriptors

from .test_mining_rules import dropped, never_reached, under_way


def groups(sizes: list[int], apart: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.concatenate(
        [random.standard_normal((size, 4)) + apart * np.eye(4)[number] for number, size in enumerate(sizes)]
    )


def test_separate_groups_are_found_with_medoids_and_what_is_like_nothing_is_left_out() -> None:
    values = np.concatenate([groups([20, 15, 12], 12.0), [[30.0, 30, 30, 30], [-30, -30, 0, 0]]])
    found = cluster(values)
    assert [len(each.members) for each in found.clusters] == [20, 15, 12]
    assert set(found.unclustered) == {47, 48}
    labels = found.labels(len(values))
    for number, each in enumerate(found.clusters):
        assert each.medoid in each.members
        assert each.stability > 0.8
        assert (labels[list(each.members)] == number).all()


@pytest.mark.parametrize("seed", range(6))
def test_one_mode_yields_no_invented_clusters(seed: int) -> None:
    found = cluster(groups([40], 0.0, seed), seed=seed)
    assert found.clusters == ()
    assert len(found.unclustered) == 40


@pytest.mark.parametrize("shape", ["uniform", "exponential", "long"])
def test_one_mode_of_another_shape_yields_none_either(shape: str) -> None:
    split = 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        values = {
            "uniform": random.uniform(size=(40, 4)),
            "exponential": random.exponential(size=(40, 4)),
            "long": random.standard_normal((40, 2)) @ random.standard_normal((2, 4)),
        }[shape]
        split += bool(cluster(values, seed=seed).clusters)
    assert split <= 2


def test_groups_that_differ_by_less_than_is_worth_telling_are_one() -> None:
    values = groups([30, 20], 12.0)
    assert len(cluster(values, resolution=np.full(4, 1.0)).clusters) == 2
    assert cluster(values, resolution=np.full(4, 10.0)).clusters == ()


def test_what_differs_by_less_than_its_resolution_is_not_made_larger() -> None:
    values = np.random.default_rng(0).standard_normal((30, 2))
    assert np.abs(project(values, np.full(2, 100.0))).max() < 0.1
    with pytest.raises(DataError, match="resolution"):
        project(values, np.ones(3))


@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(4, 25), min_size=1, max_size=4), apart=st.floats(0, 20), seed=st.integers(0, 99))
def test_every_row_is_in_one_cluster_or_in_none(sizes: list[int], apart: float, seed: int) -> None:
    found = cluster(groups(sizes, apart, seed), resolution=np.full(4, 0.5), seed=seed)
    rows = [row for each in found.clusters for row in each.members] + list(found.unclustered)
    assert sorted(rows) == list(range(sum(sizes)))
    assert all(each.medoid in each.members and len(each.members) >= 8 for each in found.clusters)


def test_too_few_are_no_cluster() -> None:
    assert cluster(groups([7, 7], 12.0)).clusters == ()
    assert cluster(np.zeros((30, 4))).clusters == ()


def test_a_seed_gives_the_same_clusters() -> None:
    values = groups([12, 12, 12], 6.0)
    assert cluster(values, seed=3) == cluster(values, seed=3)


def test_units_do_not_matter() -> None:
    values = groups([20, 15], 12.0)
    assert np.abs(project(values)) == pytest.approx(np.abs(project(values * np.geomspace(1e-6, 1e6, 4))), abs=1e-6)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        cluster(np.array([[np.nan]]))
    with pytest.raises(DataError, match="0 episodes"):
        descriptors([], [])


def test_descriptors_end_at_the_moment(bags: Any) -> None:
    episode = dropped(bags)
    both = descriptors([episode, episode], [None, 0.1])
    assert np.isfinite(both.values).all()
    column = dict(zip(both.names, both.values.T, strict=True))
    assert column["losses"].tolist() == [1.0, 0.0]
    assert column["lag_s"][0] == column["lag_s"][1]  # how it answers is of the whole attempt
    assert both.resolution.shape == (len(both.names),)


def test_a_robot_without_hand_and_object_has_descriptors_too(bags: Any) -> None:
    bags.task = bags.task.model_copy(update={"reach": None, "tagging": TaggingSpec()})
    found = descriptors([never_reached(bags), under_way(bags)], [None, None])
    assert np.isfinite(found.values).all()
    assert any(name.startswith("state0_") for name in found.names)


def test_several_tasks_at_once_are_refused(bags: Any) -> None:
    one = never_reached(bags)
    other = never_reached(bags, task="push")
    with pytest.raises(DataError, match="several tasks"):
        descriptors([one, other], [None, None])
