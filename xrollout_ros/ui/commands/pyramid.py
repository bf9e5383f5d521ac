"""`xrollout pyramid`: the group of commands about training data in levels."""

from __future__ import annotations

import click

from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.lazy import Entry, LazyGroup

_COMMANDS = "xrollout_ros.ui.commands.pyramid_commands"
ENTRIES = {
    "build": Entry(f"{_COMMANDS}:build", "Sort episodes into levels, each a dataset to train from."),
    "show": Entry(f"{_COMMANDS}:show", "Show what the levels hold, what was left out and why, and what is missing."),
    "why": Entry(f"{_COMMANDS}:why", "Say why an episode is in its level, rule by rule."),
    "recipe": Entry(f"{_COMMANDS}:recipe", "Print the recipe that is used without --recipe."),
}


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    epilog=epilog(
        "xrollout pyramid build --raw-data ./raw_rollouts --output ./pyramid --levels 4",
        "xrollout pyramid why 01M7X5",
        "xrollout train --data ./pyramid/level4 --output checkpoint.pt",
    ),
)
def pyramid() -> None:
    """Sort episodes into four levels, each a dataset to train from.

    1 raw, 2 challenge (failures, near-misses, edge cases), 3 validated (successful recoveries), 4 expert synthesis.
    """
