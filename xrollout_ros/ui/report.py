"""The report of a deployment: one self-contained HTML page, and the same as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from xrollout_ros.core.files import write_texts
from xrollout_ros.ui import text
from xrollout_ros.ui.deployment import Attempt, DeploymentSummary, FromStart
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.pages import render
from xrollout_ros.ui.pictures import HandPath, StartPoint, hand_from_above, hand_height, loss_curve, starts_map

SHOWN_FAILURES = 5
"""Paths of more failures than this hide one another."""


def write_report(path: Path, deployment: DeploymentSummary) -> None:
    """Write the page to ``path`` (``*.html``), and its facts to the same name with ``.json``.

    The page loads nothing from elsewhere: style, script-free, pictures inside.
    """
    page = render(
        "report.html.j2",
        deployment=deployment,
        pictures=_pictures(deployment),
        bag_names={attempt.bag: _relative(attempt.bag, deployment.data) for attempt in deployment.attempts},
        how_to_open=how_to_open(deployment.attempts[0].bag) if deployment.attempts else [],
    )
    facts = json.dumps(as_json(deployment), indent=2, ensure_ascii=False, allow_nan=False)
    write_texts({path.with_suffix(".json"): facts + "\n", path: page})


def as_json(deployment: DeploymentSummary) -> dict[str, Any]:
    """The facts of the page, without pictures."""
    training = deployment.training
    return {
        "task": deployment.task,
        "robot": deployment.robot,
        "policy_id": deployment.policy_id,
        "starts": [_start_json(start) for start in deployment.starts],
        "data": str(deployment.data),
        "command": deployment.command,
        "made_at": deployment.made_at,
        "episodes": [
            {"start": start.name, **_attempt_json(attempt)} for start in deployment.starts for attempt in start.attempts
        ],
        "demonstrations": [_attempt_json(attempt) for attempt in deployment.demonstrations],
        "training": None
        if training is None
        else {
            "checkpoint": str(training.checkpoint),
            "checkpoint_hash": training.checkpoint_hash,
            "policy": training.policy,
            "episodes": training.episodes,
            "rows": training.rows,
            "duration_s": training.duration_s,
            "losses": [loss if math.isfinite(loss) else None for loss in training.losses],
            "left_out": [{"reason": reason, "episodes": count} for reason, count in training.left_out],
        },
        "timings_s": {stage.name: stage.duration_s for stage in deployment.timings},
        "versions": deployment.versions,
    }


def _start_json(start: FromStart) -> dict[str, Any]:
    rate = start.rate
    return {
        "start": start.name,
        "description": start.description,
        "successes": rate.successes,
        "attempts": rate.attempts,
        "unknown": rate.unknown,
        "helped": rate.helped,
        "wilson_95": [rate.low, rate.high],
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "episode_id": attempt.episode_id,
        "seed": attempt.seed,
        "outcome": attempt.outcome.value,
        "helped": attempt.helped,
        "outcome_source": attempt.outcome_source.value,
        "outcome_reason": attempt.outcome_reason,
        "duration_s": attempt.duration_s,
        "failure_mode": attempt.failure_mode or None,
        "stage": attempt.stage or None,
        "evidence": attempt.evidence or None,
        "remarks": dict(attempt.remarks),
        "bag": str(attempt.bag),
        "object_start_m": None if attempt.trace is None else [float(value) for value in attempt.trace.object_m[0]],
        "closest_m": None if attempt.trace is None else attempt.trace.closest_m,
    }


def _pictures(deployment: DeploymentSummary) -> list[dict[str, Any]]:
    """Title, alternative text, caption and SVG of each picture that the data allow."""
    pictures = []
    starts = _starts(deployment.attempts)
    if starts:
        unsuccessful = len(deployment.unsuccessful)
        succeeded = sum(attempt.result.success for attempt in deployment.attempts)
        others = len(deployment.attempts) - unsuccessful - succeeded
        with_help = f", {others} with an operator's help" if others else ""
        pictures.append(
            {
                "title": "Where the attempts started",
                "alt": f"Map of the object's position at the start of {text.plural(len(starts), 'attempt')}: "
                f"{succeeded} succeeded{with_help}, {unsuccessful} did not.",
                "caption": "Seen from above. Rings are the starts that were demonstrated; "
                "numbers are those of the attempts in the table that did not succeed.",
                "svg": Markup(starts_map(starts, _starts(deployment.demonstrations))),
            }
        )
    if deployment.training is not None and deployment.training.losses:
        losses = deployment.training.losses
        pictures.append(
            {
                "title": "How the policy learned",
                "alt": f"Training loss over {len(losses)} epochs, from {losses[0]:.3g} to {losses[-1]:.3g}.",
                "caption": f"Mean training loss of each epoch; the last is {losses[-1]:.3g}.",
                "svg": Markup(loss_curve(losses)),
            }
        )
    paths = _paths(deployment)
    if paths:
        shown = ", ".join(path.label for path in paths)
        caption = (
            "The thick solid line is the first success, for comparison; "
            f"dashed lines are attempts that did not succeed{_and_more(deployment)}."
        )
        pictures.append(
            {
                "title": "How the hand moved, from above",
                "alt": f"The hand's path over the table in the attempts {shown}.",
                "caption": caption,
                "svg": Markup(hand_from_above(paths)),
            }
        )
        pictures.append(
            {
                "title": "How high the hand was",
                "alt": f"The hand's height over time in the attempts {shown}.",
                "caption": caption,
                "svg": Markup(hand_height(paths)),
            }
        )
    return pictures


def _starts(attempts: Sequence[Attempt]) -> list[StartPoint]:
    return [
        StartPoint(
            str(attempt.number),
            float(attempt.trace.object_m[0, 0]),
            float(attempt.trace.object_m[0, 1]),
            attempt.outcome.value,
        )
        for attempt in attempts
        if attempt.trace is not None
    ]


def _paths(deployment: DeploymentSummary) -> list[HandPath]:
    successes = [attempt for attempt in deployment.attempts if attempt.result.success]
    chosen = [*successes[:1], *deployment.unsuccessful[:SHOWN_FAILURES]]
    return [
        HandPath(str(attempt.number), attempt.trace.times_s, attempt.trace.hand_m, attempt.outcome.value)
        for attempt in chosen
        if attempt.trace is not None
    ]


def _and_more(deployment: DeploymentSummary) -> str:
    n = len(deployment.unsuccessful)
    return f" (the first {SHOWN_FAILURES} of {n})" if n > SHOWN_FAILURES else ""


def _relative(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
