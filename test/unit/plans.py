"""Collection plans for tests, as `xrollout mine` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xrollout_ros.core.ids import new_id
from xrollout_ros.mining.plan import CollectionPlan

INTERVAL = {"count": 3, "attempts": 10, "low": 0.1, "high": 0.6}
VALUES = [
    {"observation": "object_position", "label": "object_position x", "value": -0.0301, "unit": "m"},
    {"observation": "object_position", "label": "object_position y", "value": 0.627, "unit": "m"},
]


def make_plan(
    starts: Sequence[tuple[str, int | None]],
    failed: Sequence[str] = (),
    demonstrations: Sequence[int] = (),
    **values: Any,
) -> CollectionPlan:
    """A plan for these starts and seeds; ``failed``: ids of the attempts that failed from there."""
    ids = [*failed, *(new_id() for _ in starts)][: len(starts)]
    many = [*demonstrations, *(1 for _ in starts)][: len(starts)]
    document: dict[str, Any] = {
        "plan_id": new_id(),
        "created_at": "2026-01-31T12:00:00+00:00",
        "software_version": "0.1.0",
        "data": "raw_rollouts",
        "task": "pick_and_place",
        "robot": "metaworld_sawyer",
        "scene": "pick-place-v3",
        "simulated": True,
        "policies": [new_id()],
        "target": {
            "mode": "never_reached", "meaning": "the hand never came near the object", "cluster": None,
            "stability": None, "medoid": ids[0], "members": ids,
        },
        "evidence": {
            "success": INTERVAL, "frequency": INTERVAL, "severity": 0.3, "score": 0.03, "around": None,
            "near_demonstrations": None, "far_from_demonstrations": None, "course": "one policy", "confidence": 0.95,
        },
        "starts": [
            {
                "number": number, "episode_id": ids[number - 1], "start": start, "seed": seed, "values": VALUES,
                "failed_at_s": 0.3, "evidence": "it stopped short", "from_demonstrations": None,
                "demonstrations": many[number - 1],
            }
            for number, (start, seed) in enumerate(starts, 1)
        ],
        "demonstrations": sum(many),
        "rule": "one for each",
        "warnings": [],
    }  # fmt: skip
    return CollectionPlan.model_validate({**document, **values})
