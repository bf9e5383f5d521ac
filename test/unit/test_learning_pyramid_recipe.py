"""Recipes, conditions and balance: pure, without bags."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from xrollout_ros.core.errors import SpecError
from xrollout_ros.learning.pyramid.balance import Cost, Item, mode_weight, select, weights
from xrollout_ros.learning.pyramid.conditions import Condition, Spread, spread_of
from xrollout_ros.learning.pyramid.recipe import Balance, load_recipe
from xrollout_ros.learning.pyramid.scores import mutual_information
from xrollout_ros.learning.shards.smoothness import spectral_arc_length

from .pyramid_data import shipped

# --- conditions -------------------------------------------------------------------------------------------------------

USUAL = {"sparc": Spread(-2.0, 0.1, 10), "idle_s": Spread(1.0, 0.0, 10)}


@pytest.mark.parametrize(
    ("asked", "value", "passed", "words"),
    [
        ({"fact": "outcome", "is": "success"}, "success", True, "outcome success"),
        ({"fact": "outcome", "is": ["failure", "abort"]}, "unknown", False, "wanted failure or abort"),
        ({"fact": "verified", "is": True}, False, False, "verified no, wanted yes"),
        ({"fact": "tags", "has": ["a", "b"]}, ("b", "c"), True, "tags b"),
        ({"fact": "tags", "has": "a"}, ("b",), False, "tags without a"),
        ({"fact": "gap", "at_most": 5}, 5.0, True, "gap 5, at most 5 asked"),
        ({"fact": "gap", "at_most": 5}, 5.1, False, "gap 5.1 is above 5"),
        ({"fact": "difficulty", "at_least": 0.5}, 0.4, False, "difficulty 0.4 is below 0.5"),
        ({"fact": "difficulty", "at_least": 0.5}, None, False, "difficulty is not known"),
        ({"fact": "difficulty", "at_least": 0.5, "unknown": "passes"}, None, True, "difficulty is not known"),
        # The worse side of what is usual: smoother is never refused, and the slack holds where nothing varies.
        ({"fact": "sparc", "deviations": 3}, -2.31, False, "sparc -2.31 is below -2.3 (demonstrations: median -2,"),
        ({"fact": "sparc", "deviations": 3}, -0.1, True, "at least -2.3 asked"),
        ({"fact": "sparc", "deviations": 3, "slack": 0.5}, -2.9, True, "at least -3 asked"),
        ({"fact": "idle_s", "deviations": 3}, 1.01, False, "idle_s 1.01 is above 1"),
        ({"fact": "idle_s", "deviations": 3, "at_most": 2}, 1.9, True, "at most 2 asked"),  # the wider limit counts
        ({"fact": "clipped_share", "deviations": 3}, 0.9, True, "clipped_share 0.9"),  # too few to compare with
    ],
)
def test_conditions(asked: dict[str, Any], value: Any, passed: bool, words: str) -> None:
    condition = Condition.model_validate(asked)
    verdict = condition.judge({condition.fact: value}, USUAL)
    assert (verdict.passed, words in verdict.words) == (passed, True), verdict


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"fact": "nix", "is": True}, "unknown fact 'nix'; known are kind, outcome"),
        ({"fact": "gap", "is": "large"}, "is a number: ask it by at_least, at_most, deviations"),
        ({"fact": "gap"}, "is a number: ask it by"),
        ({"fact": "tags", "is": "a"}, "is a set of tags: ask it by has"),
        ({"fact": "verified", "is": "yes"}, "must be true or false"),
        ({"fact": "outcome", "is": True}, "must be text"),
    ],
)
def test_a_condition_that_makes_no_sense_says_what_would(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Condition.model_validate(asked)
    assert words in str(caught.value)


def test_few_demonstrations_are_no_standard() -> None:
    assert spread_of([1.0] * 7) is None
    found = spread_of([0.0, 1, 2, 3, 4, 5, 6, 100])
    assert found is not None
    assert (found.median, found.mad, found.count) == (3.5, pytest.approx(1.4826 * 2), 8)


# --- recipes ----------------------------------------------------------------------------------------------------------


def test_a_file_need_only_name_what_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: mine\nlevels: {4: {filter: successes, balance: {most: 50}}}\naugment: {time_warp: 1.2}\n")
    found, before = load_recipe(path), shipped()
    assert (found.name, found.levels[4].filter, found.augment.time_warp) == ("mine", "successes", 1.2)
    assert found.levels[4].gates == before.levels[4].gates
    assert found.levels[4].balance == before.levels[4].balance.model_copy(update={"most": 50})  # type: ignore[union-attr]
    assert (found.levels[3], found.rules) == (before.levels[3], before.rules)
    path.write_text("levels: {'3': {balance: null}}")
    assert load_recipe(path).levels[3].balance is None


def test_rules_and_gates_are_changed_added_and_removed_by_name(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "rules: [{name: rollout, level: 4, when: [{fact: by_policy, is: true}]}, {name: hard_start, remove: true}]\n"
        "levels: {4: {gates: [{name: smooth, remove: true}, {name: not_idle, at_most: 9}]}}\n"
    )
    found, before = load_recipe(path), shipped()
    assert [rule.name for rule in found.rules] == [
        *(rule.name for rule in before.rules if rule.name != "hard_start"), "rollout",
    ]  # fmt: skip
    gates = {gate.name: gate for gate in found.levels[4].gates}
    assert set(gates) == {gate.name for gate in before.levels[4].gates} - {"smooth"}
    assert (gates["not_idle"].at_most, gates["not_idle"].fact) == (9, "idle_s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: [{name: odd, level: 4, when: [{fact: luck, is: true}]}]", "unknown fact 'luck'"),
        ("rules: [{name: odd, level: 1, when: [{fact: helped, is: true}]}]", "rules.odd.level (value 1)"),
        ("levels: {4: {filter: magic}}", "unknown filter 'magic'; known are gates, successes, all"),
        ("levels: {4: {frames: [dream]}}", "unknown frames dream"),
        ("levels: {5: {filter: all}}", "levels.5"),
        ("levels: {4: {balance: {cluster_share: 0}}}", "cluster_share"),
        ("nix: 1", "nix"),
        ("- 1", "is no mapping"),
        ("a: [", "is not YAML"),
        ("augment: {mirror: maybe}", "augment.mirror"),
        ("levels: {4: {gates: [{name: a, fact: mutual_information, deviations: 2}]}}", "mutual_information: true"),
        (
            "levels: {4: {gates: [{name: a, fact: gap, at_most: 1}, {name: a, fact: gap, at_most: 2}]}}",
            "named twice: a",
        ),
    ],
)
def test_a_recipe_that_is_not_valid_names_the_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_recipe(path)
    assert words in caught.value.what
    assert str(path) in caught.value.what


def test_the_shipped_recipe_survives_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(shipped().model_dump(mode="json", by_alias=True)))
    assert load_recipe(path) == shipped()


# --- balance ----------------------------------------------------------------------------------------------------------


def item(number: int, rows: int, shown: bool, cluster: str, stratum: str) -> Item:
    return Item(f"{number:03d}", stratum, cluster, rows, rows if shown else 0, (float(number),))


ITEMS = st.lists(
    st.tuples(
        st.integers(0, 50), st.booleans(), st.sampled_from(["", "dropped", "timeout"]), st.sampled_from(["a", "b", "c"])
    ),
    max_size=12,
).map(lambda found: [item(number, *each) for number, each in enumerate(found)])


@given(ITEMS, st.floats(0, 0.9), st.floats(0.1, 1), st.floats(0, 1))
def test_weights_keep_the_shares_where_that_can_be(items: list[Item], shown: float, cap: float, strata: float) -> None:
    balance = Balance(demonstrations=shown, cluster_share=cap, strata=strata)
    costs = {"dropped": Cost(5, 20, 0.6), "timeout": Cost(3, 20, 0.3)}
    found = weights(items, balance, costs)
    assert set(found) == {each.id for each in items}
    assert all(value >= 0 and math.isfinite(value) for value in found.values())
    trained = [each for each in items if each.rows]
    if not trained:
        return
    mass = {each.id: each.rows * found[each.id] for each in trained}
    total = sum(mass.values())
    assert total == pytest.approx(sum(each.rows for each in trained), rel=1e-6)  # the mean of a row is 1
    demonstrated = sum(mass[each.id] for each in trained if each.demonstrated)
    if any(each.demonstrated for each in trained) and not any(each.demonstrated and each.cluster for each in trained):
        assert demonstrated >= shown * total * (1 - 1e-6)
    for name in ("dropped", "timeout"):
        own = sum(mass[each.id] for each in trained if each.cluster == name)
        plain = any(not each.cluster and each.demonstrated for each in trained)
        if plain and not any(each.cluster and each.demonstrated for each in trained):
            assert own <= max(cap, 1e-9) * total * (1 + 1e-6)


@given(ITEMS, st.randoms(use_true_random=False))
def test_the_order_of_episodes_changes_nothing(items: list[Item], random: Any) -> None:
    balance = Balance(most=5, most_per_cluster=2)
    other = list(items)
    random.shuffle(other)
    assert select(items, balance) == select(other, balance)


@given(ITEMS, st.integers(1, 8), st.integers(1, 4))
def test_caps_cut_to_what_they_say(items: list[Item], most: int, per_cluster: int) -> None:
    cut = select(items, Balance(most=most, most_per_cluster=per_cluster))
    kept = [each for each in items if each.id not in cut]
    assert len(kept) <= most
    for name in ("dropped", "timeout"):
        assert sum(each.cluster == name for each in kept) <= per_cluster
    loose = select(items, Balance(most=most))
    assert len(items) - len(loose) == min(most, len(items))
    strata = [each.stratum for each in items if each.id not in loose]
    cut_from = {each.stratum for each in items if each.id in loose}
    counts = [strata.count(name) for name in cut_from]
    assert not counts or max(strata.count(name) for name in set(strata)) - min(counts) <= 1 or len(set(strata)) == 1


def test_a_cap_keeps_starts_that_lie_far_apart() -> None:
    items = [Item(f"{number}", "a", "", 5, 5, (place,)) for number, place in enumerate((0.0, 0.01, 0.02, 1.0, 0.5))]
    cut = select(items, Balance(most=3))
    assert {each.id for each in items} - set(cut) == {"0", "3", "4"}
    assert "cap: 3 episodes of the level, there are 5" in cut["1"]


def test_costly_failures_weigh_more() -> None:
    costs = {"dropped": Cost(10, 40, 0.6), "timeout": Cost(10, 40, 0.3)}
    balance = Balance(failure_gain=2.0, modes={"collision": 7.0})
    assert mode_weight("dropped", balance, costs) == pytest.approx(3.0)
    assert mode_weight("timeout", balance, costs) == pytest.approx(2.0)
    assert (mode_weight("", balance, costs), mode_weight("collision", balance, costs)) == (1.0, 7.0)
    items = [item(0, 10, True, "", "a"), item(1, 10, False, "dropped", "a"), item(2, 10, False, "timeout", "a")]
    found = weights(items, Balance(demonstrations=0, cluster_share=1, strata=1, failure_gain=2), costs)
    assert found["001"] / found["002"] == pytest.approx(1.5)
    assert found["001"] / found["000"] == pytest.approx(3.0)


# --- scores -----------------------------------------------------------------------------------------------------------


def test_spectral_arc_length_of_a_smooth_reach_is_that_of_its_authors() -> None:
    """A minimum-jerk reach of 1 s: near -1.4 (Balasubramanian et al. 2015, figure 2); the more halts, the less."""
    time = np.linspace(0, 1, 100)
    reach = 30 * time**2 * (1 - time) ** 2
    smooth = spectral_arc_length(reach, 0.01)
    assert smooth == pytest.approx(-1.41, abs=0.03)
    assert spectral_arc_length(7.5 * reach, 0.01) == pytest.approx(smooth)
    halting = spectral_arc_length(np.concatenate([reach] * 4), 0.01)
    shaking = spectral_arc_length(reach * (1 + 0.5 * np.sin(2 * np.pi * 6 * time)), 0.01)
    assert halting < smooth - 1
    assert shaking < smooth - 0.2
    for nothing in (np.zeros(50), np.ones(3), np.full(50, np.nan)):
        assert math.isnan(spectral_arc_length(nothing, 0.01))


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_mutual_information_is_that_of_normal_values(correlation: float) -> None:
    rng = np.random.default_rng(1)
    pairs = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=3000)
    episodes = [(part[:, :1], part[:, 1:]) for part in np.split(pairs, 10)]
    scores = mutual_information(episodes, chunk=1)
    assert scores.shape == (10,)
    assert scores.mean() == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.05)


def test_an_episode_whose_actions_do_not_follow_from_its_states_scores_least() -> None:
    rng = np.random.default_rng(2)
    episodes = []
    for number in range(6):
        state = np.cumsum(rng.normal(size=(80, 3)), axis=0)
        action = rng.normal(size=(80, 2)) if number == 4 else state[:, :2] + rng.normal(0, 0.1, (80, 2))
        episodes.append((state, action))
    assert int(np.argmin(mutual_information(episodes))) == 4
