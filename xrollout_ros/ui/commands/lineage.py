"""`xrollout lineage`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from xrollout_ros.episodes.lineage.api import Lineage, lineage_of
from xrollout_ros.episodes.lineage.graph import Kind, Ref
from xrollout_ros.episodes.lineage.records import PolicyRecord
from xrollout_ros.learning import lineage as checkpoints
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.following import caught_up, warn
from xrollout_ros.ui.options import data_option, json_option

_EPILOG = """\b
Examples:
  xrollout lineage 01M7X5                         # an episode, clip or policy: its id or a part
  xrollout lineage checkpoint.pt                  # or its hash; or the version of a dataset
  xrollout lineage 01M7X5 --picture lineage.svg --models ~/checkpoints
"""


@click.command(epilog=_EPILOG)
@click.argument("name", metavar="ID|FILE")
@click.option("--all", "everything", is_flag=True, help="Cut no list.")
@click.option("--limit", type=click.IntRange(min=1), default=8, show_default=True, help="Of each list not more.")
@click.option(
    "--models", multiple=True, type=click.Path(path_type=Path), help="Checkpoint, or folder of them, to look into too."
)
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw it: .png, .svg or .pdf.")
@data_option
@json_option
def lineage(
    name: str, everything: bool, limit: int, models: tuple[Path, ...], picture: Path | None, data: Path, as_json: bool
) -> None:
    """Walk from an episode, policy, dataset or clip to what it came from, and to what it led to.

    Training keeps what a policy was made from in the data folder; of a policy that was trained elsewhere the checkpoint
    tells it, where --models leads there.
    """
    from xrollout_ros.ui import lineage_picture, lineage_text

    if picture is not None:
        lineage_picture.check_format(picture)
    most = None if everything else limit
    given = _given(models)
    file = _file(name)
    if file is not None:
        given.insert(0, file)
    with caught_up(data) as catalog:
        with lineage_of(catalog, given) as known:
            unknown = known.missing()
        given += _beside(data) if unknown else []
        with lineage_of(catalog, given) as known:
            walk = known.walk(_root(known, name, file), most)
    if as_json:
        print_json(lineage_text.as_json(walk))
    else:
        output().print(lineage_text.tree(walk))
    if picture is not None:
        lineage_picture.draw(walk, picture)
        click.echo(f"wrote {picture}", err=True)


def _given(models: Sequence[Path]) -> list[PolicyRecord]:
    """What the checkpoints say that were named, or lie in folders that were."""
    found: list[PolicyRecord] = []
    for path in models:
        if path.is_file():
            found.append(checkpoints.record_in(path))
            continue
        records, problems = checkpoints.records_in(path, below=True)
        found += records
        for problem in problems:
            warn(problem)
    return found


def _beside(data: Path) -> list[PolicyRecord]:
    """Checkpoints in the folder that holds the data folder, where most people have them."""
    return checkpoints.records_in(data.resolve().parent, below=False)[0]


def _file(name: str) -> PolicyRecord | None:
    """The checkpoint that is meant, if it is a file."""
    path = Path(name)
    return checkpoints.record_in(path) if path.is_file() or path.suffix == ".pt" else None


def _root(known: Lineage, name: str, file: PolicyRecord | None) -> Ref:
    if file is not None:
        return Ref(Kind.POLICY, file.policy_id)
    path = Path(name)
    # The name of a bag's folder ends in the id of its episode.
    return known.find(path.resolve().name.rpartition("_")[2] if path.is_dir() else name)
