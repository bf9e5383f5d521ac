"""How a person looks into a bag."""

from __future__ import annotations

import shlex
from pathlib import Path


def how_to_open(bag: Path) -> list[tuple[str, str]]:
    """Ways to look into a bag: with what, and what to type or do.

    Args:
        bag: its folder.
    """
    python = "from pathlib import Path; from xrollout_ros.episodes.reader import read_episode; "
    place = shlex.quote(str(bag))
    return [
        ("Here", f"xrollout episodes show {place}"),
        ("Foxglove", f"xrollout episodes open {place} --in foxglove"),
        ("RViz", f"xrollout episodes open {place} --in rviz"),
        ("Python", f"{python}read_episode(Path({str(bag)!r})).state"),
    ]
