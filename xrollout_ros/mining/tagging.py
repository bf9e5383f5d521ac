"""Tags a closed attempt: reads its bag, judges it, writes the journal. The node and the command line share it."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import FailureJudgement
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.episodes.store import find_episode
from xrollout_ros.mining.rules import judge


def tag_episode(data: Path, episode_id: str, clock: Clock) -> list[FailureJudgement]:
    """Judge one attempt and keep what is new in the data folder's journal.

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
    judgements = judge(read_episode(entry.path, allow_empty=True))
    path = data / paths.JOURNAL
    known = [said.what.judgement for said in journal.read(path).entries if isinstance(said.what, journal.Judged)]
    for judgement in judgements:
        if judgement not in known:
            journal.append(path, judgement.author, judgement.episode_id, journal.Judged(judgement=judgement), clock)
    return judgements
