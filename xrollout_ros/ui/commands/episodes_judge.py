"""`xrollout episodes judge`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.mining.labellers import GROUP, load_labellers
from xrollout_ros.mining.tagging import Tagging, tag_episode
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import data_option, json_option


@click.command("judge", epilog="Example: xrollout episodes judge --all")
@click.argument("episode", metavar="[ID|PATH]", required=False)
@click.option("--all", "everything", is_flag=True, help="Every episode of the data folder.")
@click.option("--task", metavar="TASK", help="TaskSpec id or YAML file whose signals and thresholds to use.")
@click.option(
    "--labeller", "labellers", metavar="NAME", multiple=True, help=f"Besides the rules: a plug-in of {GROUP}."
)
@click.option("--dry-run", is_flag=True, help="Show what would be said, and keep nothing.")
@data_option
@json_option
def judge_episodes(
    episode: str | None,
    everything: bool,
    task: str | None,
    labellers: tuple[str, ...],
    dry_run: bool,
    data: Path,
    as_json: bool,
) -> None:
    """Say why attempts failed, as the tagger does when an attempt is over.

    What it says goes into the data folder's journal, no bag is changed. What it said before and would not say now is
    taken back; what people say is left alone.
    """
    if (episode is None) == (not everything):
        raise click.UsageError("Give one ID or PATH, or --all.")
    spec = load_task(task) if task else None
    loaded = load_labellers(labellers)
    ids = _all_ids(data, spec) if episode is None else [_id_of(episode)]
    done: list[Tagging] = []
    errors: list[tuple[str, XRolloutError]] = []
    console = output()
    for each in ids:
        try:
            found = tag_episode(data, each, SystemClock(), labellers=loaded, task=spec, dry=dry_run)
        except XRolloutError as error:
            if episode is not None:
                raise
            errors.append((each, error))
            continue
        done.append(found)
        if not as_json:
            _show(console, found, rules=episode is not None)
    if as_json:
        failed = [{"episode_id": each, "error": str(error)} for each, error in errors]
        print_json({"tagged": [_json(each) for each in done], "not_tagged": failed})
    else:
        _summary(console, done, errors, dry_run)
    if errors:
        raise click.exceptions.Exit(errors[0][1].exit_code)
    if any(each.problems for each in done):
        raise click.exceptions.Exit(1)


def _all_ids(data: Path, task: TaskSpec | None) -> list[str]:
    entries = find_episodes(data)
    known = [entry.meta for entry in entries if entry.meta is not None and entry.meta.kind.counts]
    return [meta.episode_id for meta in known if task is None or meta.task == task.id]


def _id_of(episode: str) -> str:
    """A path is one of a bag, which knows its id."""
    return open_bag(Path(episode)).meta.episode_id if Path(episode).exists() or "/" in episode else episode


def _show(console: Console, found: Tagging, *, rules: bool) -> None:
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


def _summary(console: Console, done: list[Tagging], errors: list[tuple[str, XRolloutError]], dry_run: bool) -> None:
    for each, error in errors:
        console.print(Text(f"{each[-8:]}  not tagged: {error}", style="yellow"), soft_wrap=True)
    modes = Counter(found.judgements[0].mode for found in done if found.judgements)
    counts = ", ".join(f"{mode} {count}" for mode, count in modes.most_common())
    changed = sum(found.changed for found in done)
    verb = "would change" if dry_run else "changed"
    console.print(
        f"{text.plural(len(done), 'episode')} looked at, {changed} {verb}" + (f": {counts}" if counts else "")
    )


def _json(found: Tagging) -> dict[str, Any]:
    return {
        "episode_id": found.episode_id,
        "changed": found.changed,
        "judgements": [judgement.model_dump(mode="json") for judgement in found.judgements],
        "not_applied": found.not_applied,
        "problems": list(found.problems),
    }
