"""The page of a deployment's report."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from xrollout_ros.mining.attempts import Row
from xrollout_ros.mining.coverage import coverage, planes
from xrollout_ros.mining.looking import Look
from xrollout_ros.ui import text
from xrollout_ros.ui.deployment import Attempt, DeploymentReport
from xrollout_ros.ui.deployment_pictures import (
    HandPath,
    StartPoint,
    around_failure,
    hand_from_above,
    hand_height,
    loss_curve,
    stage_times,
    starts_map,
    success_course,
)
from xrollout_ros.ui.looked import Failed, Frame, Looked
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.pages import render

FOLDED = 200
"""Of more attempts than these, those that succeeded are folded away."""


@dataclass(frozen=True)
class Picture:
    """As the page has it."""

    title: str
    alt: str
    """What it shows, for who does not see it."""
    caption: str
    content: Markup
    """SVG or an image."""


@dataclass(frozen=True)
class FailedMoment:
    """A failed attempt with its pictures."""

    attempt: Attempt
    pictures: tuple[Picture, ...]


def page(report: DeploymentReport, looked: Looked) -> str:
    """The page; it loads nothing from elsewhere."""
    by_id = {attempt.episode_id: attempt for attempt in report.attempts}
    folded = len(report.attempts) > FOLDED
    return render(
        "report.html.j2",
        report=report,
        numbers={name: attempt.number for name, attempt in by_id.items()},
        pictures=list(_pictures(report, looked)),
        moments=[
            _moment(by_id[failed.episode_id], failed, number) for number, failed in enumerate(looked.failed, start=1)
        ],
        # Few attempts are read in their order; of many those are looked for that did not succeed.
        shown=report.unsuccessful if folded else report.attempts,
        folded=[attempt for attempt in report.attempts if attempt.outcome.value == "success"] if folded else [],
        how_to_open=how_to_open((report.unsuccessful or report.attempts)[0].bag) if report.attempts else [],
    )


def _pictures(report: DeploymentReport, looked: Looked) -> list[Picture]:
    """Those that the data allow."""
    found = _starts(report, looked)
    known = [attempt for attempt in report.attempts if attempt.outcome.value != "unknown"]
    if len(known) > 1:
        outcomes = [attempt.outcome.value for attempt in known]
        svg = success_course(outcomes, [attempt.result.success for attempt in known])
        succeeded = sum(attempt.result.success for attempt in known)
        found.append(
            Picture(
                "In the order made",
                f"{succeeded} of {len(known)} attempts succeeded; a line shows the success of the last twenty.",
                "Each attempt by its outcome; the line is the success of the last twenty.",
                Markup(svg),
            )
        )
    paths = _paths(report, looked)
    if paths:
        shown = ", ".join(path.label for path in paths)
        more = len(report.unsuccessful) - sum(path.outcome != "success" for path in paths)
        others = f" ({more} more are not drawn)" if more else ""
        success = any(path.outcome == "success" for path in paths)
        first = "The thick solid line is the first success, for comparison; dashed" if success else "Dashed"
        caption = f"{first} lines are attempts that did not succeed{others}."
        for title, what, svg in (
            ("How the hand moved, from above", "path over the table", hand_from_above(paths)),
            ("How high the hand was", "height over time", hand_height(paths)),
        ):
            found.append(Picture(title, f"The hand's {what} in the attempts {shown}.", caption, Markup(svg)))
    if report.latency is not None:
        rate = report.settings.get("control_rate_hz")
        svg = stage_times(report.latency.stages, 1 / float(rate) if rate else None)
        told = "; ".join(
            f"{stage.name} {text.milliseconds(stage.p50_s)}, longest {text.milliseconds(stage.longest_s)}"
            for stage in report.latency.stages
        )
        found.append(
            Picture("Where the time went", f"Times of each stage: {told}.", "From observation to command.", Markup(svg))
        )
    if report.story.training is not None and report.story.training.losses:
        losses = [math.nan if loss is None else loss for loss in report.story.training.losses]
        told = f"{losses[0]:.3g} to {losses[-1]:.3g}"
        found.append(
            Picture(
                "How the policy learned",
                f"Training loss over {len(losses)} epochs, from {told}.",
                f"Mean training loss of each epoch; the last is {losses[-1]:.3g}.",
                Markup(loss_curve(losses)),
            )
        )
    return found


def _starts(report: DeploymentReport, looked: Looked) -> list[Picture]:
    """A map for each observation that describes a start and differs."""
    attempts = [each for each in report.attempts if each.start_values is not None]
    shown = [each for each in report.demonstrations if each.start_values is not None]
    if not attempts or not looked.axes:
        return []
    looks = {each.episode_id: Look(start=each.start_values) for each in (*attempts, *shown)}
    found = coverage([_row(each) for each in attempts], [_row(each) for each in shown], looks, looked.axes)
    pictures = []
    for number, columns in enumerate(planes(looked.axes, found.scale)):
        axes = [looked.axes[index] for index in columns]
        points = [
            StartPoint(str(each.number), tuple(start[index] for index in columns), each.outcome.value)
            for each in attempts
            if (start := each.start_values) is not None
        ]
        cells = next((view.cells for view in found.views if view.axes == columns), ())
        svg = starts_map(
            points,
            found.demonstrations[:, list(columns)],
            [axis.title.replace("_", " ") for axis in axes],
            cells,
            f"starts{number}",
        )
        succeeded, unsuccessful = sum(each.result.success for each in attempts), _not_succeeded(attempts)
        with_help = len(attempts) - succeeded - unsuccessful
        helped = f", {with_help} with an operator's help" if with_help else ""
        parts = "; ".join(
            f"{' and '.join(f'{low:.3f} to {high:.3f}' for low, high in zip(cell.low, cell.high, strict=True))}: "
            f"{cell.successes} of {cell.attempts}"
            for cell in cells
            if cell.attempts
        )
        pictures.append(
            Picture(
                f"Where the attempts started: {axes[0].observation.replace('_', ' ')}",
                f"Map of the starts of {text.plural(len(attempts), 'attempt')}: {succeeded} succeeded{helped}, "
                f"{unsuccessful} did not." + (f" Successes by part: {parts}." if parts else ""),
                ("Colours are the success in each part of the starts, with successes of attempts. " if cells else "")
                + ("Rings are demonstrated starts. " if shown else "")
                + "Numbers are those of the attempts in the table that did not succeed.",
                Markup(svg),
            )
        )
    return pictures


def _not_succeeded(attempts: Sequence[Attempt]) -> int:
    return sum(each.outcome.value != "success" for each in attempts)


def _row(attempt: Attempt) -> Row:
    """As coverage takes it."""
    return Row(
        episode_id=attempt.episode_id, path="", kind=attempt.kind.value, start=attempt.start, seed=attempt.seed,
        policy_id=attempt.policy_id, started_at=attempt.started_at, outcome=attempt.outcome.value, attempt=True,
        success=attempt.result.success, helped=attempt.helped, failure_mode=attempt.failure_mode,
        failure_moment_s=attempt.moment_s, failure_severity=attempt.severity, failure_author=attempt.judged_by,
    )  # fmt: skip


def _paths(report: DeploymentReport, looked: Looked) -> list[HandPath]:
    return [
        HandPath(str(attempt.number), looked.paths[attempt.episode_id], attempt.outcome.value)
        for attempt in report.attempts
        if attempt.episode_id in looked.paths
    ]


# --- around a failure -----------------------------------------------------------------------------------------------


def _moment(attempt: Attempt, failed: Failed, number: int) -> FailedMoment:
    pictures = []
    if len(failed.times_s) > 1:
        names = ", ".join(curve.name for curve in (*failed.distances, *failed.commands))
        pictures.append(
            Picture(
                "",
                f"Attempt {attempt.number} around {failed.moment_s:.2f} s: {names} over time.",
                "Shaded where an operator drove." if failed.operated else "",
                Markup(around_failure(failed, f"moment{number}")),
            )
        )
    pictures += [
        Picture(
            "",
            f"What {frame.topic} saw at {frame.at_s:.2f} s.",
            f"{frame.topic} at {frame.at_s:.2f} s",
            _image(frame),
        )
        for frame in failed.frames
    ]
    return FailedMoment(attempt, tuple(pictures))


def _image(frame: Frame) -> Markup:
    data = base64.b64encode(frame.jpeg).decode()
    return Markup('<img src="data:image/jpeg;base64,{}" alt="">').format(data)
