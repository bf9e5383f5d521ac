"""How much waits for a reviewer, and who has decided how much: in the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from xrollout_ros.mining.review.api import Status
from xrollout_ros.mining.review.queue import Why
from xrollout_ros.ui import text
from xrollout_ros.ui.standing import show_standing, standing_json


def _waiting(found: Status) -> dict[str, int]:
    return {why.value: found.waiting[why] for why in Why if found.waiting.get(why)}


def show(console: Console, found: Status, reviewer: str) -> None:
    """For people."""
    waiting = _waiting(found)
    each = ", ".join(f"{count} {why}" for why, count in waiting.items())
    console.print(f"waiting for {reviewer}: {sum(waiting.values())}" + (f" ({each})" if each else ""))
    by = ", ".join(f"{count} by {author}" for author, count in found.decided.items())
    console.print(f"decided: {text.plural(found.episodes, 'episode')}" + (f" ({by})" if by else ""))
    console.print(f"seen by two: {found.twice}")
    for standing in found.labels:
        show_standing(console, standing)


def as_json(found: Status, reviewer: str) -> dict[str, Any]:
    """For programs."""
    waiting = _waiting(found)
    return {
        "reviewer": reviewer,
        "waiting": {"total": sum(waiting.values()), **waiting},
        "decided": {"by": found.decided, "episodes": found.episodes, "twice": found.twice},
        "auto_labels": [standing_json(each) for each in found.labels],
    }
