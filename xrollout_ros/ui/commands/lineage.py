"""`xrollout lineage`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.candidates import episodes_or_file
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, json_option


@click.command(
    epilog=epilog(
        "xrollout lineage 01M7X5 # an episode, clip or policy: its id or a part",
        "xrollout lineage checkpoint.pt # or its hash; or the version of a dataset",
        "xrollout lineage 01M7X5 --picture lineage.svg --models ~/checkpoints",
    )
)
@click.argument("name", metavar="ID|FILE", shell_complete=episodes_or_file)
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
    from xrollout_ros.ui.lineage_walk import walk

    if picture is not None:
        lineage_picture.check_format(picture)
    found = walk(name, models, data, None if everything else limit)
    if as_json:
        print_json(lineage_text.as_json(found))
    else:
        output().print(lineage_text.tree(found))
    if picture is not None:
        lineage_picture.draw(found, picture)
        click.echo(f"wrote {picture}", err=True)
