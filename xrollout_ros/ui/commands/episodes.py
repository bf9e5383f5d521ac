"""`xrollout episodes`: the group of commands about recorded episodes."""

from __future__ import annotations

import click

from xrollout_ros.ui.lazy import Entry, LazyGroup

ENTRIES = {
    "list": Entry("xrollout_ros.ui.commands.episodes_list:list_episodes", "List the episodes of a data folder."),
    "repair": Entry("xrollout_ros.ui.commands.episodes_repair:repair_episodes", "Make torn bags whole again."),
    "show": Entry(
        "xrollout_ros.ui.commands.episodes_show:show_episode", "Show what one bag holds, and how to open it."
    ),
    "tag": Entry("xrollout_ros.ui.commands.episodes_tag:tag_episodes", "Say why attempts failed."),
}


@click.group(cls=LazyGroup, entries=ENTRIES)
def episodes() -> None:
    """List, show, repair and tag recorded episodes."""
