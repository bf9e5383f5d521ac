"""Which perturbations of a session came about: a fault that waits for a grasp does not happen where nothing is grasped.

The session asked for the faults, so it may ask its simulator for them; rules and policies may not.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import PERTURBATION
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.journal import Said, Tagged
from xrollout_ros.sim.truth import FOLDER

AUTHOR = f"rule:{PERTURBATION}"


def came_about(data: Path, episode_id: str) -> tuple[str, ...] | None:
    """Kinds of the faults that began in an attempt, in order; None: the simulator has left no word of it."""
    try:
        events = json.loads((data / FOLDER / f"{episode_id}.json").read_text(encoding="utf-8"))["events"]
        return tuple(dict.fromkeys(each["facts"]["kind"] for each in events if each["what"] == "fault_begun"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tag_perturbed(data: Path, episode_ids: Sequence[str], clock: Clock) -> dict[str, tuple[str, ...] | None]:
    """Tag the attempts in which a fault came about.

    Returns:
        By episode id what :func:`came_about`.

    Raises:
        DataError: the journal cannot be written.
    """
    found = {each: came_about(data, each) for each in episode_ids}
    said = [
        Said(AUTHOR, episode_id, Tagged(tag=PERTURBATION, reason=", ".join(kinds)))
        for episode_id, kinds in found.items()
        if kinds
    ]
    journal.append_all(data / paths.JOURNAL, said, clock)
    return found
