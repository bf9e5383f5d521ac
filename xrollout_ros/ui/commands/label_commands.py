"""`xrollout label train` and `undo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.ui.commands.label import FILE, SHORTCUTS
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.people import login

_SOURCES = ("person", "robot", "silence")
_SOURCES_ARE = """\b
Who may vouch for an outcome:
  person   an operator's mark, a review, or a person's tag human-verified
  robot    the robot's own success signal
  silence  the time was up without that signal, where this robot is known to give it
Aborts, time limits of robots without a signal, and auto-labels never count."""


@click.command(
    "train",
    epilog=epilog(
        "xrollout label train --task pick_and_place",
        "xrollout label train --task pick_and_place --source person --confidence 0.95",
        before=_SOURCES_ARE,
    ),
)
@filter_options(SHORTCUTS)
@click.option(
    "--source",
    "sources",
    type=click.Choice(_SOURCES),
    multiple=True,
    help="Who may vouch for an outcome; give it again for another.  [default: all]",
)
@click.option(
    "--confidence",
    type=float,
    metavar="P",
    help="Label where the probability of the outcome is at least this.  [default: 0.9]",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all that is random.")
@click.option("--most", type=click.IntRange(min=1), metavar="N", help="Read at most so many bags.  [default: 2000]")
@click.option("--output", "file", type=FILE, help="Where to keep it.  [default: in the data folder]")
@data_option
@json_option
def train(
    data: Path, sources: tuple[str, ...], confidence: float | None, seed: int, most: int | None, file: Path | None,
    as_json: bool, **filters: Any,
) -> None:  # fmt: skip
    """Train the success classifier of one task and robot, and say how far it can be believed.

    What is said of it comes from episodes that were held out, each once. The classifier is kept in the data folder; it
    takes the place of an earlier one, whose labels `xrollout label` then replaces.
    """
    from xrollout_ros.core.files import check_writable
    from xrollout_ros.mining.success import training
    from xrollout_ros.mining.success.classifier import CONFIDENCE, place_of, save
    from xrollout_ros.mining.success.examples import EVERY_SOURCE, MOST, Source
    from xrollout_ros.ui import label_output
    from xrollout_ros.ui.progress import Bar

    if file is not None:
        check_writable(file, "the classifier")
    conditions = conditions_of(filters)
    chosen = tuple(map(Source, sources)) or EVERY_SOURCE
    with caught_up(data) as catalog, Bar("reading bags") as bar:
        found = training.train(
            catalog,
            conditions,
            sources=chosen,
            confidence=CONFIDENCE if confidence is None else confidence,
            seed=seed,
            most=most or MOST,
            progress=bar.show,
        )
    meta = found.classifier.meta
    path = file or place_of(data, meta.task, meta.robot)
    save(path, found.classifier)
    if as_json:
        print_json(label_output.trained_json(found, path))
    else:
        label_output.show_trained(output(), found, path)


@click.command("undo", epilog=epilog('xrollout label undo --task pick_and_place --reason "the camera had been moved"'))
@filter_options(SHORTCUTS)
@click.option("--reason", default="", help="Why, for whoever reads it later.")
@data_option
@json_option
def undo(data: Path, reason: str, as_json: bool, **filters: Any) -> None:
    """Take back what success classifiers say of one task's episodes, but for what people have checked.

    One go alone is taken back with `xrollout untag --undo`, as `xrollout label` says.
    """
    from xrollout_ros.mining.review.decisions import check_words
    from xrollout_ros.mining.success.labelling import take_back
    from xrollout_ros.ui import text

    why = check_words("reason", reason)
    with caught_up(data) as catalog:
        count = take_back(catalog, f"human:{login()}", conditions_of(filters), why)
    if as_json:
        print_json({"episodes": count})
    else:
        output().print(f"took back what success classifiers said of {text.plural(count, 'episode')}")
