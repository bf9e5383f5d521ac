"""What the pyramid's recipe of a cycle is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.resources import load_task
from xrollout_ros.cycle.curating import recipe_changes
from xrollout_ros.cycle.recipe import FlywheelRecipe, recipe_from
from xrollout_ros.cycle.record import CycleRecord, Stage
from xrollout_ros.learning.pyramid.recipe import changed_recipe, merged


def record_of(stage: Stage = Stage.MINING, **given: Any) -> CycleRecord:
    recipe = recipe_from(given, "recipe") if given else FlywheelRecipe()
    return CycleRecord.model_construct(recipe=recipe, stage=stage)


@pytest.mark.parametrize(
    ("task", "given", "mirrored"),
    [
        ("push", {}, True),
        ("peg_insert", {}, False),
        ("push", {"pyramid": {"augment": {"mirror": False}}}, False),
        ("push", {"pyramid": {"augment": {"time_warp": 1.25}}}, True),
        ("push", {"train": {"options": {"cameras": ["corner"]}}}, False),
    ],
)
def test_what_may_be_mirrored_is(task: str, given: dict[str, Any], mirrored: bool) -> None:
    changes = recipe_changes(record_of(**given), load_task(task))
    assert changes.get("augment", {}).get("mirror", False) is mirrored
    for name, value in given.get("pyramid", {}).get("augment", {}).items():
        assert changes["augment"][name] == value


def test_a_policy_that_teaches_itself_is_curated_by_a_rule_more() -> None:
    own = {"rules": [{"name": "mine", "level": 4, "about": "", "when": [{"fact": "outcome", "is": "success"}]}]}
    record = record_of(Stage.AUTO_LABELS, pyramid=own)
    recipe = changed_recipe(recipe_changes(record, load_task("push")), Path("recipe"))
    assert {"own_success", "mine"} <= {rule.name for rule in recipe.rules}
    assert recipe.augment.mirror


def test_changes_are_put_together_and_the_later_ones_count() -> None:
    one = {"rules": [{"name": "a"}], "levels": {4: {"frames": ["x"]}}, "d": [1]}
    other = {"rules": [{"name": "b"}], "levels": {4: {"filter": "all"}, 3: {}}, "name": "mine", "d": [2]}
    assert merged(one, other) == {
        "rules": [{"name": "a"}, {"name": "b"}], "levels": {4: {"frames": ["x"], "filter": "all"}, 3: {}},
        "name": "mine", "d": [2],
    }  # fmt: skip
