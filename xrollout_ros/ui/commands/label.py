"""`xrollout label`: gives auto-labels, and the group of what belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.lazy import Entry, LazyGroup, command_follows
from xrollout_ros.ui.options import data_option, json_option

_COMMANDS = "xrollout_ros.ui.commands.label_commands"
ENTRIES = {
    "train": Entry(
        f"{_COMMANDS}:train", "Train the success classifier of one task and robot, and say how far it can be believed."
    ),
    "undo": Entry(
        f"{_COMMANDS}:undo",
        "Take back what success classifiers say of one task's episodes, but for what people have checked.",
    ),
}
SHORTCUTS = ("task", "robot", "policy", "scene", "start", "kind", "tag")
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    invoke_without_command=True,
    epilog=epilog(
        "xrollout label train --task pick_and_place # from what people and the robot have said",
        "xrollout label --dry-run # what it would say",
        "xrollout label # says it; `xrollout review` checks a sample",
        "xrollout review status # how far the labels are relied on",
    ),
)
@filter_options(SHORTCUTS)
@click.option("--classifier", "file", type=FILE, help="The classifier's file.  [default: that of the data folder]")
@click.option("--most", type=click.IntRange(min=1), metavar="N", help="Read at most so many bags.  [default: 2000]")
@click.option("--dry-run", "dry", is_flag=True, help="Say nothing, show what would be said.")
@data_option
@json_option
def label(data: Path, file: Path | None, most: int | None, dry: bool, as_json: bool, **filters: Any) -> None:
    """Label the attempts whose outcome nobody has said: success or failure, where the classifier is sure.

    The labels go to the journal by the author model:success, in its layer, with the tag auto-labeled; bags and what
    people say stay as they are. Where the classifier is unsure, the episode waits in `xrollout review`, and so does a
    random sample of the labels. How far the labels are relied on follows from what people say of the sample; where
    people disagree too often, no more are given.
    """
    if command_follows():
        return
    from xrollout_ros.mining.success.examples import MOST
    from xrollout_ros.mining.success.labelling import label as give
    from xrollout_ros.ui import label_output
    from xrollout_ros.ui.progress import Bar

    conditions = conditions_of(filters)
    with caught_up(data) as catalog, Bar("reading bags") as bar:
        found = give(catalog, conditions, file=file, dry=dry, most=most or MOST, progress=bar.show)
    if as_json:
        print_json(label_output.labels_json(found, dry=dry))
    else:
        label_output.show_labels(output(), found, dry=dry)
