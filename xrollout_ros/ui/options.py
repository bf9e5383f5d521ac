"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xrollout_ros.episodes.paths import DEFAULT_DATA, data_dir

F = TypeVar("F", bound=Callable[..., Any])


def _data(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Path:
    return data_dir(value)


def _task(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from xrollout_ros.core.resources import load_task

    # The spec is loaded, so that a name nobody knows is refused before anything is done.
    return None if value is None else load_task(value).id


def complete_task(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Ids of shipped tasks, for the shell."""
    from xrollout_ros.core.resources import task_ids

    return [name for name in task_ids() if name.startswith(incomplete)]


def data_option(command: F) -> F:
    """``--data DIR``: the folder of the bags."""
    return click.option(
        "--data",
        metavar="DIR",
        callback=_data,
        help=f"Folder of the bags.  [default: $XROLLOUT_DATA, else ./{DEFAULT_DATA}]",
    )(command)


def task_option(text: str) -> Callable[[F], F]:
    """``--task T``: choose by the id of a known task."""
    return click.option("--task", metavar="TASK", callback=_task, shell_complete=complete_task, help=text)


def bag_of(episode: str, data: Path) -> Path:
    """The bag that a command's ``ID|PATH`` means.

    Raises:
        DataError: no such episode, or several.
    """
    from xrollout_ros.episodes.store import find_episode

    # A path wins over an id: an id has no separator, and no file in the working folder is called like one by chance.
    return Path(episode) if Path(episode).exists() or "/" in episode else find_episode(data, episode).path


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
