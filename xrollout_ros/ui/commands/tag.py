"""`xrollout tag` and `xrollout untag`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xrollout_ros.core.errors import SpecError
from xrollout_ros.ui.candidates import episodes_then_tags
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import data_option, json_option

if TYPE_CHECKING:
    from xrollout_ros.ui.saying import Done


def _one_line(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """What lists print must not move the cursor of a terminal."""
    if not value or ctx.resilient_parsing:
        return value
    from xrollout_ros.episodes.journal_entry import check_text

    return check_text(str(parameter.name), value)


def _shared(command: Any) -> Any:
    for option in (
        json_option,
        data_option,
        click.option("--author", callback=_one_line, help="Who says so.  [default: human:USER]"),
        click.option("--reason", default="", callback=_one_line, help="Why, for whoever reads it later."),
        click.option("--layer", default="", metavar="LAYER", help="Say it in this layer.  [default: default]"),
        click.option("-w", "--where", multiple=True, metavar="FILTER", help="All like this, in place of an ID."),
        click.argument("words", metavar="[ID|PATH] [TAG]...", nargs=-1, shell_complete=episodes_then_tags),
    ):
        command = option(command)
    return command


@click.command(
    epilog=epilog(
        'xrollout tag 01M7X5 perturbation --reason "pushed by hand"',
        "xrollout tag 01M7X5 --set friction=0.3 --set surface=felt",
        "xrollout tag --where outcome=failure --where 'duration_s>10' slow --layer triage",
    )
)
@click.option(
    "--set", "properties", multiple=True, metavar="NAME=VALUE", help="Set a property to a number, truth or text."
)
@_shared
def tag(
    words: tuple[str, ...], properties: tuple[str, ...], where: tuple[str, ...], layer: str, reason: str,
    author: str | None, data: Path, as_json: bool,
) -> None:  # fmt: skip
    """Put tags and properties on an episode, or on all that fit.

    No bag is changed: the data folder's journal keeps who said what and why, and the last word holds. All of it is
    said, or nothing.
    """
    from xrollout_ros.ui.saying import Statement, put_on

    _tell(put_on(Statement(data, words, where, layer, reason, author), properties), as_json)


@click.command(
    epilog=epilog(
        "xrollout untag 01M7X5 perturbation",
        "xrollout untag 01M7X5 --unset friction",
        "xrollout untag --undo 01M7X6 # take back what one entry of the journal said, or all of one go",
    )
)
@click.option("--unset", multiple=True, metavar="NAME", help="Take a property away.")
@click.option("--undo", metavar="ENTRY", help="Take back what was said: an entry's id, or that of one go.")
@_shared
def untag(
    words: tuple[str, ...], unset: tuple[str, ...], undo: str | None, where: tuple[str, ...], layer: str, reason: str,
    author: str | None, data: Path, as_json: bool,
) -> None:  # fmt: skip
    """Take tags and properties off, or take back what was said.

    What was said stays in the journal, and can be brought back: by `--undo` of the undoing.
    """
    from xrollout_ros.ui.saying import Statement, take_back, take_off

    statement = Statement(data, words, where, layer, reason, author)
    if undo is None:
        _tell(take_off(statement, unset), as_json)
        return
    if words or unset or where:
        raise SpecError("--undo comes with an episode, tags or a filter", "Give --undo alone, with a --reason.")
    _tell(take_back(statement, undo), as_json)


def _tell(done: Done, as_json: bool) -> None:
    from xrollout_ros.ui import saying

    if as_json:
        print_json(saying.as_json(done))
    else:
        saying.show(output(), done)
