"""Which torn bags are to be repaired, and what came of it: in the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes import recovery
from xrollout_ros.episodes.recovery import Repaired
from xrollout_ros.episodes.store import torn_bags
from xrollout_ros.ui import text
from xrollout_ros.ui.progress import Bar


def repair(data: Path, episode: str | None) -> tuple[list[Repaired], list[BagError]]:
    """Repair one torn bag, or all of a data folder; what was, and why others were not.

    Raises:
        XRolloutError: the one cannot be repaired, or there is none.
    """
    if episode is not None:
        folder = _torn(data, episode)
        with Bar("repairing"):
            return [recovery.repair(_data_of(folder, data), folder, SystemClock())], []
    done: list[Repaired] = []
    failed: list[BagError] = []
    total = len(torn_bags(data))
    with Bar("repairing torn bags") as bar:
        for number, result in enumerate(recovery.repair_all(data, SystemClock()), start=1):
            bar.show(number, total)
            if isinstance(result, BagError):
                failed.append(result)
            else:
                done.append(result)
    return done, failed


def show(console: Console, data: Path, done: Sequence[Repaired], failed: Sequence[BagError]) -> None:
    """For people."""
    for each in done:
        left = f"; {text.size(each.unreadable_bytes)} were never flushed" if each.unreadable_bytes else ""
        console.print(f"repaired {each.path}: {text.plural(each.messages, 'message')}{left}", soft_wrap=True)
    for error in failed:
        console.print(Text(f"not repaired: {error}", style="yellow"), soft_wrap=True)
    if not done and not failed:
        console.print(f"{data} holds no torn bag")


def as_json(done: Sequence[Repaired], failed: Sequence[BagError]) -> dict[str, Any]:
    """For programs."""
    return {"repaired": [_json(each) for each in done], "not_repaired": [str(error) for error in failed]}


def _torn(data: Path, episode: str) -> Path:
    if Path(episode).exists() or "/" in episode:
        return Path(episode)
    # A torn bag cannot say its id in metadata.yaml, but its folder is named after it.
    wanted = episode.upper()
    found = [
        folder
        for folder in torn_bags(data)
        if (name := folder.name.rpartition("_")[2].upper()).startswith(wanted) or name.endswith(wanted)
    ]
    if len(found) != 1:
        names = ", ".join(folder.name for folder in found) or "none"
        raise DataError(f"{episode!r} fits {len(found)} torn bags of {data} ({names})", "Name one, or give --all.")
    return found[0]


def _data_of(folder: Path, data: Path) -> Path:
    """The data folder that a torn bag lies in, or its own parent where it lies elsewhere."""
    inside = data.resolve() in folder.resolve().parents
    return data if inside else folder.absolute().parent


def _json(repaired: Repaired) -> dict[str, Any]:
    return {
        "episode_id": repaired.meta.episode_id,
        "path": str(repaired.path),
        "original": str(repaired.original),
        "messages": repaired.messages,
        "unreadable_bytes": repaired.unreadable_bytes,
    }
