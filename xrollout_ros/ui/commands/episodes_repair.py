"""`xrollout episodes repair`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes import recovery
from xrollout_ros.episodes.recovery import Repaired
from xrollout_ros.episodes.store import torn_bags
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import data_option, json_option


@click.command("repair", epilog="Example: xrollout episodes repair --all")
@click.argument("episode", metavar="[ID|PATH]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every torn bag of the data folder.")
@data_option
@json_option
def repair_episodes(episode: str | None, everything: bool, data: Path, as_json: bool) -> None:
    """Make torn bags whole again.

    A bag is torn when its recorder was killed. What can be read of it is written afresh in its place, marked as
    recovered; the torn original is kept in the data folder's `.torn`. A recorder does this by itself when it starts.
    """
    if (episode is None) == (not everything):
        raise click.UsageError("Give one ID or PATH, or --all.")
    results: Iterable[Repaired | BagError]
    if episode is None:
        results = list(recovery.repair_all(data, SystemClock()))
    else:
        folder = _torn(data, episode)
        results = [recovery.repair(_data_of(folder, data), folder, SystemClock())]
    failed = [result for result in results if isinstance(result, BagError)]
    done = [result for result in results if isinstance(result, Repaired)]
    if as_json:
        print_json({"repaired": [_json(each) for each in done], "not_repaired": [str(error) for error in failed]})
    else:
        console = output()
        for each in done:
            left = f"; {text.size(each.unreadable_bytes)} were never flushed" if each.unreadable_bytes else ""
            console.print(f"repaired {each.path}: {text.plural(each.messages, 'message')}{left}", soft_wrap=True)
        for error in failed:
            console.print(Text(f"not repaired: {error}", style="yellow"), soft_wrap=True)
        if not done and not failed:
            console.print(f"{data} holds no torn bag")
    if failed:
        raise click.exceptions.Exit(failed[0].exit_code)


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
