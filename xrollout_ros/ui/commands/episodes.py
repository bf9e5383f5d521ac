"""`xrollout episodes`: the group of commands about recorded episodes."""

from __future__ import annotations

import click

from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.lazy import Entry, LazyGroup

ENTRIES = {
    "list": Entry("xrollout_ros.ui.commands.episodes_list:list_episodes", "List the episodes of a data folder."),
    "show": Entry(
        "xrollout_ros.ui.commands.episodes_show:show_episode", "Show what one bag holds, and how to open it."
    ),
    "open": Entry(
        "xrollout_ros.ui.commands.episodes_open:open_episode", "Open a bag in a viewer, at the moment it went wrong."
    ),
    "judge": Entry(
        "xrollout_ros.ui.commands.episodes_judge:judge_episodes",
        "Say why attempts failed, as the tagger does when an attempt is over.",
    ),
    "repair": Entry("xrollout_ros.ui.commands.episodes_repair:repair_episodes", "Make torn bags whole again."),
}


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    epilog=epilog(
        "xrollout episodes list --outcome failure --limit 20",
        "xrollout episodes show 01M7X5 # an id, the beginning or end of one, or the path of a bag",
        "xrollout episodes open 01M7X5",
    ),
)
def episodes() -> None:
    """List, show, open, judge and repair recorded episodes."""
