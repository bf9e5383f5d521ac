"""Tags a closed attempt: reads its bag, judges it, writes the journal. The node and the command line share it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import FAILURE_RECOVERY, FailureJudgement
from xrollout_ros.core.modes import Source
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.store import find_episode
from xrollout_ros.mining.rules import judge

AUTHOR = f"rule:{FAILURE_RECOVERY}"


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


def tag_episode(data: Path, episode_id: str, clock: Clock) -> list[FailureJudgement]:
    """Judge one attempt and keep what is new in the data folder's journal, the tag ``failure-recovery`` included.

    A tag that somebody has put on or taken off before is left as it is.

    Args:
        data: the data folder.
        episode_id: ULID of the attempt, or the beginning of it.
        clock: stamps the journal's entries.

    Returns:
        The judgements, most telling first; none for a success.

    Raises:
        BagError: the bag cannot be read.
        SpecError: its TaskSpec does not fit its robot.
        DataError: there is no such attempt, or the journal cannot be written.
    """
    entry = find_episode(data, episode_id)
    episode = read_episode(entry.path, allow_empty=True)
    judgements = judge(episode)
    path = data / paths.JOURNAL
    said_before = journal.read(path).entries
    known = [said.what.judgement for said in said_before if isinstance(said.what, journal.Judged)]
    for judgement in judgements:
        if judgement not in known:
            journal.append(path, judgement.author, judgement.episode_id, journal.Judged(judgement=judgement), clock)
    tagged = {(said.episode_id, said.what.tag) for said in said_before if isinstance(said.what, journal.Tagged)}
    full_id = episode.meta.episode_id
    if (reason := why_recovery(episode)) and (full_id, FAILURE_RECOVERY) not in tagged:
        journal.append(path, AUTHOR, full_id, journal.Tagged(tag=FAILURE_RECOVERY, reason=reason), clock)
    return judgements
