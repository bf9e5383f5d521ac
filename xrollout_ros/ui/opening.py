"""How a person looks into a bag."""

from __future__ import annotations

from pathlib import Path


def how_to_open(bag: Path) -> list[tuple[str, str]]:
    """Ways to look into a bag: with what, and what to type or do.

    Args:
        bag: its folder.
    """
    python = "from pathlib import Path; from xrollout_ros.episodes.reader import read_episode; "
    mcap = next(iter(sorted(bag.glob("*.mcap"))), bag)
    return [
        ("Here", f"xrollout episodes show {bag}"),
        ("Foxglove", f"open {mcap} as a local file at https://app.foxglove.dev or in the desktop app"),
        ("RViz", f"ros2 bag play {bag}; then rviz2 with fixed frame world and a MarkerArray display"),
        ("Python", f"{python}read_episode(Path({str(bag)!r})).state"),
    ]
