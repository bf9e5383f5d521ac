"""The report of a deployment: one self-contained HTML page, and the same as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xrollout_ros.core.clock import SystemClock, utc_now
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError, XRolloutError
from xrollout_ros.core.files import write_texts
from xrollout_ros.episodes.records import records_at
from xrollout_ros.episodes.store import Progress
from xrollout_ros.mining.attempts import UNTAGGED
from xrollout_ros.mining.tagging import tag_episode
from xrollout_ros.ui import incidents, summary, text
from xrollout_ros.ui.deployment import DeploymentReport, Story
from xrollout_ros.ui.looked import Looked, look_into
from xrollout_ros.ui.progress import Bar
from xrollout_ros.ui.summary import Chosen

PAGE, FACTS = "report.html", "report.json"
SHOWN_FAILED = 4
"""Failed attempts that are shown around their moment."""
SHOWN_PATHS = 5
"""Paths of more failures than this hide one another."""
_TAGGED = 20
"""Failed attempts that the tagger has left over are tagged, up to so many: it may have been taken down with the graph.
Where there are more, nobody was to tag them."""


@dataclass(frozen=True)
class Made:
    """A report, and what its pictures are drawn from."""

    report: DeploymentReport
    looked: Looked


def make_report(chosen: Chosen, story: Story | None = None, progress: Progress = lambda done, total: None) -> Made:
    """Say what came of a deployment.

    Failed attempts that the tagger has not come to are tagged first.

    Args:
        chosen: its episodes.
        story: how it came about, as far as is known.
        progress: told how many of how many bags are read.

    Raises:
        DataError: what the data folder says of policies or episodes cannot be read.
    """
    chosen, problems = _tag_what_is_left(chosen)
    records, task = chosen.rated, chosen.task
    attempts = summary.attempts_of(records, chosen.data)
    failures = summary.failures_of(records)
    untagged = sum(failure.count for failure in failures if failure.mode == UNTAGGED)
    paths = [each.episode_id for each in attempts if each.result.success][:1]
    paths += [each.episode_id for each in attempts if each.outcome is not Outcome.SUCCESS][:SHOWN_PATHS]
    worst = in_turn([failure.episodes for failure in failures], SHOWN_FAILED)
    looked = look_into([*records, *chosen.beside], worst, paths, progress)
    attempts, demonstrations = (
        tuple(each.model_copy(update={"start_values": looked.starts.get(each.episode_id)}) for each in group)
        for group in (attempts, summary.attempts_of(chosen.beside, chosen.data))
    )
    began_at, ended_at = summary.times_of(records)
    notes = [*summary.notes_of(chosen), *problems, *looked.notes]
    notes += (
        [f"of {text.plural(untagged, 'failed attempt')} nobody has said why: `xrollout review`"] if untagged else []
    )
    report = DeploymentReport(
        run=chosen.run,
        made_at=utc_now(SystemClock()),
        data=chosen.data,
        task=task.id if task is not None else "",
        instruction=task.instruction if task is not None else "",
        robot=chosen.robot,
        made="demonstrations" if records and not records[0].meta.kind.rated else "attempts",
        began_at=began_at,
        ended_at=ended_at,
        settings=summary.settings_of(records),
        rate=summary.rate_of(records),
        by_start=summary.by_start(records, task),
        by_environment=summary.by_environment(records),
        policies=summary.policies_of(chosen),
        outcomes={each.value: sum(one.outcome is each for one in attempts) for each in Outcome},
        failures=failures,
        help=incidents.help_in(records),
        safety=incidents.safety_in(records),
        losses=incidents.losses_in(records),
        latency=looked.latency,
        axes=tuple(axis.title for axis in looked.axes),
        attempts=attempts,
        demonstrations=demonstrations,
        clips=sum(not record.meta.kind.counts for record in chosen.records),
        looked_into=looked.read,
        not_read=summary.not_read(chosen.unreadable),
        notes=tuple(notes),
        story=story or Story(),
        versions=summary.versions(),
    )
    return Made(report, looked)


def write_report(folder: Path, made: Made) -> Path:
    """Write the page and its figures into a folder, both or none; gives the page.

    The page loads nothing from elsewhere: no script, the style and all pictures inside.

    Raises:
        DataError: the disk refuses.
    """
    # Drawing needs matplotlib, which the figures alone do not.
    from xrollout_ros.ui.report_page import page

    facts = made.report.model_dump_json(indent=1) + "\n"
    with Bar("drawing the report"):
        write_texts({folder / FACTS: facts, folder / PAGE: page(made.report, made.looked)})
    return folder / PAGE


def read_report(folder: Path) -> DeploymentReport:
    """Read the figures that :func:`write_report` wrote.

    Raises:
        DataError: there are none, or they are damaged.
    """
    path = folder / FACTS
    try:
        return DeploymentReport.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} is no report of a deployment ({error})", "Remove it: the same command makes it again."
        ) from error


def in_turn(groups: Sequence[Sequence[str]], most: int) -> list[str]:
    """The first of each group, then the second of each, and so on."""
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)][:most]


def _tag_what_is_left(chosen: Chosen) -> tuple[Chosen, list[str]]:
    """The episodes as they stand then, and why some could not be tagged."""
    left = [
        each.meta.episode_id
        for each in chosen.rated
        if each.effective.outcome in (Outcome.FAILURE, Outcome.ABORT) and not each.effective.judgements
    ]
    if not left or len(left) > _TAGGED:
        return chosen, []
    problems: dict[str, None] = {}
    for episode_id in left:
        try:
            tag_episode(chosen.data, episode_id, SystemClock())
        except XRolloutError as error:
            problems[f"not tagged: {error.what}"] = None
    return replace(chosen, records=records_at(chosen.data, [each.path for each in chosen.records])), list(problems)
