"""`xrollout episodes judge`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.ui.candidates import episodes
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.exit_codes import FOUND
from xrollout_ros.ui.options import data_option, json_option, task_spec_option


@click.command(
    "judge",
    epilog=epilog(
        "xrollout episodes judge 01M7X5 --dry-run",
        "xrollout episodes judge --all",
        "xrollout episodes judge --all --task my_task.yaml --labeller my_labeller",
        codes_of="episodes judge",
    ),
)
@click.argument("episode", metavar="[ID|PATH]", required=False, shell_complete=episodes)
@click.option("--all", "everything", is_flag=True, help="Every episode of the data folder.")
@task_spec_option("", default=None, help="TaskSpec id or YAML file whose signals and thresholds to use.")
@click.option("--labeller", "labellers", metavar="NAME", multiple=True, help="Besides the rules: a plug-in.")
@click.option("--dry-run", is_flag=True, help="Show what would be said, and keep nothing.")
@data_option
@json_option
def judge_episodes(
    episode: str | None, everything: bool, task: str | None, labellers: tuple[str, ...], dry_run: bool, data: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Say why attempts failed, as the tagger does when an attempt is over.

    What it says goes into the data folder's journal, no bag is changed. What it said before and would not say now is
    taken back; what people say is left alone.
    """
    if (episode is None) == (not everything):
        raise click.UsageError("Give one ID or PATH, or --all.")
    from xrollout_ros.core.clock import SystemClock
    from xrollout_ros.core.resources import load_task
    from xrollout_ros.mining.labellers import load_labellers
    from xrollout_ros.mining.tagging import Tagging, tag_episode
    from xrollout_ros.ui import judge_output as shown
    from xrollout_ros.ui.progress import Bar, aside

    spec = load_task(task) if task else None
    loaded = load_labellers(labellers)
    ids = shown.all_ids(data, spec) if episode is None else [shown.id_of(episode)]
    done: list[Tagging] = []
    errors: list[shown.Refused] = []
    console = output()
    with Bar("judging") as bar:
        for number, each in enumerate(ids):
            bar.show(number, len(ids))
            try:
                found = tag_episode(data, each, SystemClock(), labellers=loaded, task=spec, dry=dry_run)
            except XRolloutError as error:
                if episode is not None:
                    raise
                errors.append((each, error))
                continue
            done.append(found)
            if not as_json:
                with aside():
                    shown.show(console, found, rules=episode is not None)
    if as_json:
        print_json(shown.as_json(done, errors))
    else:
        shown.summarize(console, done, errors, dry_run=dry_run)
    if errors:
        raise click.exceptions.Exit(errors[0][1].exit_code)
    if any(each.problems for each in done):
        raise click.exceptions.Exit(FOUND)
