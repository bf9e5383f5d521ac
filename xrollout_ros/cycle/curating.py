"""What a policy is trained from: the cycle's changes to the pyramid's recipe, and the pyramid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.cycle.ports import Told
from xrollout_ros.cycle.record import Curated, CycleRecord, Stage

_OWN_SUCCESSES: dict[str, Any] = {
    "rules": [
        {
            "name": "own_success",
            "level": 4,
            "about": "the policy's own success, made for training, which somebody who can know vouches for",
            "when": [
                {"fact": "by_policy", "is": True},
                {"fact": "outcome", "is": "success"},
                {"fact": "verified", "is": True},
                {"fact": "tags", "has": "generated"},
            ],
        }
    ],
    "levels": {4: {"frames": ["demonstration", "intervention", "rollout"]}},
}
"""Changes to the pyramid's recipe where the policy teaches itself."""


def curate(record: CycleRecord, folder: Path, told: Told) -> Curated:
    """Bring the pyramid up to date, and say what its level holds."""
    from xrollout_ros.episodes.catalog.api import Catalog
    from xrollout_ros.learning.pyramid.build import BuildOptions, build
    from xrollout_ros.learning.pyramid.recipe import changed_recipe
    from xrollout_ros.learning.pyramid.report import report_of
    from xrollout_ros.mining.tagging import tag_missing

    data, place = Path(record.data), folder.parent.parent / "pyramid"
    task = load_task(record.task)
    changes = recipe_changes(record, task)
    tag_missing(data, SystemClock())
    with Catalog(data) as catalog:
        if not catalog.read_only:
            catalog.update(every=True)
        options = BuildOptions(
            data=data, output=place, task=task.id,
            recipe=changed_recipe(changes, Path("pyramid")) if changes else None, workers=1,
        )  # fmt: skip
        built = build(catalog, options, told)
    report = report_of(built)
    level = next(each for each in report["levels"] if each["level"] == record.recipe.train.level)
    if not level["training_rows"]:
        raise DataError(f"level {level['level']} of the pyramid holds nothing to train from: {level['missing']}")
    return Curated(
        dataset=str(place / level["folder"]),
        dataset_version=level["dataset_version"],
        episodes=level["training_episodes"],
        rows=level["training_rows"],
        levels={str(each["level"]): each["episodes"] for each in report["levels"]},
        left_out=level["left_out"],
    )


def recipe_changes(record: CycleRecord, task: TaskSpec) -> dict[str, Any]:
    """What this cycle changes in the shipped recipe of the pyramid; what the flywheel's own recipe says goes before."""
    from xrollout_ros.learning.pyramid.recipe import merged

    changes = dict(record.recipe.pyramid)
    if record.stage is Stage.AUTO_LABELS:
        changes = merged(_OWN_SUCCESSES, changes)
    if task.mirror is not None and not record.recipe.train.options.get("cameras"):
        # Few demonstrations are what a flywheel begins with, and these are twice as many for nothing.
        changes = merged({"augment": {"mirror": True}}, changes)
    return changes
