"""`xrollout episodes tag`."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import click

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.ui.console import output
from xrollout_ros.ui.options import bag_of, data_option
from xrollout_ros.ui.records import journal_of

_EPILOG = """\b
Examples:
  xrollout episodes tag 01M7X5 perturbation
  xrollout episodes tag 01M7X5 failure-recovery --remove --reason "I only tried the joystick"
"""


@click.command("tag", epilog=_EPILOG)
@click.argument("episode", metavar="ID|PATH")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take the tags off; what was said before stays in the journal.")
@click.option("--reason", default="", help="Why, for whoever reads it later.")
@data_option
def tag_episode(episode: str, tags: tuple[str, ...], remove: bool, reason: str, data: Path) -> None:
    """Put tags on an episode, or take them off.

    The bag is not changed: the data folder's journal keeps who said what, and the last word holds.
    """
    for tag in tags:
        if not re.match(journal.TAG_PATTERN, tag):
            raise DataError(
                f"tag {tag!r} is not allowed", "Use up to 64 lower-case letters, digits, dots, hyphens, underscores."
            )
    path = bag_of(episode, data)
    meta = read_episode(path, allow_empty=True).meta
    where = journal_of(path if path.is_dir() else path.parent)
    known = journal.effective(meta, journal.read(where).entries).tags
    author = f"human:{getpass.getuser()}"
    for tag in tags:
        if (tag in known) is remove:
            said = journal.Tagged(tag=tag, on=not remove, reason=reason)
            journal.append(where, author, meta.episode_id, said, SystemClock())
    now = journal.effective(meta, journal.read(where).entries).tags
    output().print(f"{meta.episode_id}: {', '.join(now) or 'no tags'}", soft_wrap=True, markup=False)
