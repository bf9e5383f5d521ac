"""Which episodes are to be judged, and what was said of them: in the terminal and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.mining.tagging import Tagging
from xrollout_ros.ui import text
from xrollout_ros.ui.progress import Bar

Refused = tuple[str, XRolloutError]
"""An episode that could not be judged, and why."""


def all_ids(data: Path, task: TaskSpec | None) -> list[str]:
    """Of all attempts in a data folder."""
    with Bar("looking at bags") as bar:
        entries = find_episodes(data, bar.show)
    known = [entry.meta for entry in entries if entry.meta is not None and entry.meta.kind.counts]
    return [meta.episode_id for meta in known if task is None or meta.task == task.id]


def id_of(episode: str) -> str:
    """A path is one of a bag, which knows its id."""
    return open_bag(Path(episode)).meta.episode_id if Path(episode).exists() or "/" in episode else episode


def show(console: Console, found: Tagging, *, rules: bool) -> None:
    """One episode; with the rules that said nothing, and why."""
    for judgement in found.judgements:
        stage = f" in {judgement.stage}" if judgement.stage else ""
        line = f"{found.episode_id[-8:]}  {judgement.mode}{stage} at {judgement.moment_s:.2f} s: {judgement.evidence}"
        console.print(Text(line), soft_wrap=True)
    for problem in found.problems:
        console.print(Text(problem, style="yellow"), soft_wrap=True)
    if rules:
        if not found.judgements:
            console.print(f"{found.episode_id[-8:]}  nothing to say")
        for rule, why in found.not_applied.items():
            console.print(Text(f"rule {rule} does not apply: {why}", style="dim"), soft_wrap=True)


def summarize(console: Console, done: Sequence[Tagging], errors: Sequence[Refused], *, dry_run: bool) -> None:
    """All of them."""
    for each, error in errors:
        console.print(Text(f"{each[-8:]}  not tagged: {error}", style="yellow"), soft_wrap=True)
    modes = Counter(found.judgements[0].mode for found in done if found.judgements)
    counts = ", ".join(f"{mode} {count}" for mode, count in modes.most_common())
    changed = sum(found.changed for found in done)
    verb = "would change" if dry_run else "changed"
    console.print(
        f"{text.plural(len(done), 'episode')} looked at, {changed} {verb}" + (f": {counts}" if counts else "")
    )


def as_json(done: Sequence[Tagging], errors: Sequence[Refused]) -> dict[str, Any]:
    """For programs."""
    failed = [{"episode_id": each, "error": str(error)} for each, error in errors]
    return {"tagged": [_json(each) for each in done], "not_tagged": failed}


def _json(found: Tagging) -> dict[str, Any]:
    return {
        "episode_id": found.episode_id,
        "changed": found.changed,
        "judgements": [judgement.model_dump(mode="json") for judgement in found.judgements],
        "not_applied": found.not_applied,
        "problems": list(found.problems),
    }
