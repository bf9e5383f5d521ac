"""Tags a closed attempt: reads its bag, judges it, and keeps the judgements in the journal."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import FailureJudgement
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.episodes.store import find_episode
from xrollout_ros.mining.rules import judge


def tag_episode(data: Path, episode_id: str, clock: Clock) -> list[FailureJudgement]:
    """Judge one closed episode of a data folder and append what was found to its journal.

    Returns:
        The judgements by precedence; empty for a success, and for a failure that no rule explains.

    Raises:
        DataError: there is no such episode, or the journal cannot be written.
        BagError: its bag cannot be read.
        SpecError: its TaskSpec does not fit its robot.
    """
    judgements = judge(read_episode(find_episode(data, episode_id).path, allow_empty=True))
    for judgement in judgements:
        journal.append(
            data / JOURNAL, judgement.author, judgement.episode_id, journal.Judged(judgement=judgement), clock
        )
    return judgements
