"""Tags closed attempts: reads their bags, judges them, writes the journal. The node and the command line share it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import FAILURE_RECOVERY, FailureJudgement
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.journal import Judged, Said, Tagged
from xrollout_ros.episodes.journal_entry import JournalEntry, Retracted, retracted_ids
from xrollout_ros.episodes.layers import Layers
from xrollout_ros.episodes.locking import alone
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.records import read_records
from xrollout_ros.episodes.store import find_episode
from xrollout_ros.mining.labellers import Named
from xrollout_ros.mining.rules import judge
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, FailureMode, tag_of

LOCK = ".tagging.lock"
AUTHOR = f"rule:{FAILURE_RECOVERY}"
# `aborted` is what three modes of today were once called.
_RULES = frozenset({"rule:aborted", *(f"rule:{mode.value}" for mode in FailureMode)})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Tagging:
    """What was said of one attempt."""

    episode_id: str
    judgements: tuple[FailureJudgement, ...]
    """Most telling first; rules before other labellers."""
    changed: bool
    """Whether that is not what the journal said before."""
    not_applied: dict[str, str] = field(default_factory=dict)
    """Rules that could say nothing, and why."""
    problems: tuple[str, ...] = ()
    """Labellers that failed."""

    @property
    def failures(self) -> tuple[FailureJudgement, ...]:
        """Without what was found in a success."""
        return tuple(each for each in self.judgements if each.mode not in IN_SUCCESSES)


def why_recovery(episode: EpisodeData) -> str:
    """Why an attempt is one that shows a recovery from a failure: who drove in the policy's place; empty: nobody."""
    meta = episode.meta
    if not meta.policy_id or not meta.kind.counts:
        return ""
    operators = sorted({span.operator for span in meta.interventions})
    drove = [f"{operator} drove" for operator in operators]
    # A bag that was repaired knows of no spans, only of the commands that were sent.
    if not drove and (episode.source == Source.OPERATOR).any():
        drove.append("an operator drove")
    if recovered := int(np.count_nonzero(episode.source == Source.RECOVERY)):
        drove.append(f"a recovery sent {recovered} commands")
    return ", ".join(drove)


def tag_episode(
    data: Path,
    episode_id: str,
    clock: Clock,
    *,
    labellers: Sequence[Named] = (),
    task: TaskSpec | None = None,
    dry: bool = False,
) -> Tagging:
    """Judge one attempt and keep what is new in the data folder's journal; what no longer holds is taken back.

    The tag ``failure-recovery`` is put on too, where somebody drove in the policy's place and nobody has put it on or
    taken it off before.

    Args:
        data: the data folder.
        episode_id: ULID of the attempt, or the beginning or end of it.
        clock: stamps the journal's entries.
        labellers: besides the rules.
        task: whose signals and thresholds to use; none: those of the installed TaskSpec of that id, where it is for
            the same robot and scene, else the bag's.
        dry: keep nothing.

    Raises:
        BagError: the bag cannot be read.
        SpecError: its TaskSpec does not fit its robot.
        DataError: there is no such attempt, or the journal cannot be written; then it is as it was.
    """
    entry = find_episode(data, episode_id)
    recorded = read_episode(entry.path, allow_empty=True)
    path = data / paths.JOURNAL
    # Two taggers at once would each miss what the other says.
    with alone(data, LOCK, "nothing was tagged"):
        entries = journal.read(path).entries
        episode = _as_known(recorded, entries, task)
        report = judge(episode)
        judgements, problems, silent = list(report.judgements), [], set()
        for named in labellers:
            try:
                judgements += named.judge(episode)
            except DataError as error:
                problems.append(str(error))
                silent.add(named.author)
        authors = [frozenset({named.author}) for named in labellers if named.author not in silent]
        said = _news(entries, episode, [_printable(each) for each in judgements], authors)
        if not dry:
            journal.append_all(path, said, clock)
    return Tagging(episode.meta.episode_id, tuple(judgements), bool(said), report.not_applied, tuple(problems))


def _as_known(episode: EpisodeData, entries: Sequence[JournalEntry], task: TaskSpec | None) -> EpisodeData:
    """The episode with the outcome that people say it had, and with the thresholds to use."""
    # Only what people and success classifiers said of the outcome matters here, not what was found before.
    known = journal.effective(episode.meta, entries, Layers())
    meta = episode.meta.model_copy(
        update={"outcome": known.outcome, "outcome_source": known.source, "outcome_reason": known.reason}
    )
    return replace(episode, meta=meta, task=task or task_today(episode.task))


def task_today(recorded: TaskSpec | None) -> TaskSpec | None:
    """A bag's TaskSpec with what the installed one of its id, robot and scene says of judging."""
    if recorded is None:
        return None
    try:
        installed = load_task(recorded.id)
    except SpecError:
        return recorded
    if (installed.robot, installed.scene) != (recorded.robot, recorded.scene):
        return recorded
    # How the attempt was made stays as recorded; how it is judged is today's.
    return recorded.model_copy(update={"reach": installed.reach, "tagging": installed.tagging})


def _news(
    entries: Sequence[JournalEntry],
    episode: EpisodeData,
    judgements: list[FailureJudgement],
    authors: Sequence[frozenset[str]],
) -> list[Said]:
    """What the journal lacks, and what in it no longer holds."""
    episode_id = episode.meta.episode_id
    own = [entry for entry in entries if entry.episode_id == episode_id]
    gone = retracted_ids(own)
    wanted: list[tuple[str, Judged | Tagged]] = []
    for each in judgements:
        wanted.append((each.author, Judged(judgement=each)))
        if each.mode in IN_SUCCESSES:
            wanted.append((each.author, Tagged(tag=tag_of(each.mode), reason=each.evidence)))
    said: list[Said] = []
    # An author's word is replaced as a whole: the order of what holds is the order in which it was written.
    for group in (_RULES, *authors):
        before = [
            entry
            for entry in own
            if entry.id not in gone and isinstance(entry.what, (Judged, Tagged)) and entry.author in group
        ]
        after = [pair for pair in wanted if pair[0] in group]
        if [(entry.author, entry.what) for entry in before] == after:
            continue
        said += [Said(entry.author, episode_id, Retracted(entry=entry.id, reason="tagged again")) for entry in before]
        said += [Said(author, episode_id, what) for author, what in after]
    why = why_recovery(episode)
    if why and not any(isinstance(entry.what, Tagged) and entry.what.tag == FAILURE_RECOVERY for entry in own):
        said.append(Said(AUTHOR, episode_id, Tagged(tag=FAILURE_RECOVERY, reason=why)))
    return said


def _printable(judgement: FailureJudgement) -> FailureJudgement:
    """What an operator typed may hold anything."""
    return judgement.model_copy(update={"evidence": _CONTROL.sub(" ", judgement.evidence)})


def tag_missing(data: Path, clock: Clock) -> int:
    """Tag the attempts that nobody has judged yet, as the tagger does.

    The tagger works behind the graph, which may have been taken down before it was through.

    Returns:
        How many attempts were given a failure mode.

    Raises:
        DataError: the folder is not there, or its journal cannot be written.
        BagError: a bag is damaged.
    """
    tagged = 0
    for record in read_records(data).records:
        unjudged = record.meta.kind.counts and not record.effective.judgements
        helped = record.result.helped and FAILURE_RECOVERY not in record.effective.tags
        if unjudged or helped:
            tagged += bool(tag_episode(data, record.meta.episode_id, clock).failures)
    return tagged
