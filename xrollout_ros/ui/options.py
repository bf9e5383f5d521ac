"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from xrollout_ros.episodes.paths import DEFAULT_DATA, data_dir
from xrollout_ros.ui import candidates
from xrollout_ros.ui.console import JSON

F = TypeVar("F", bound=Callable[..., Any])


def _data(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Path:
    return data_dir(value)


def _task(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from xrollout_ros.core.resources import load_task

    if value is None or ctx.resilient_parsing:
        return value
    # The spec is loaded, so that a name nobody knows is refused before anything is done.
    return load_task(value).id


def data_option(command: F) -> F:
    """``--data DIR``: the folder of the bags."""
    return click.option(
        "--data",
        metavar="DIR",
        callback=_data,
        shell_complete=candidates.folders,
        help=f"Folder of the bags.  [default: $XROLLOUT_DATA, else ./{DEFAULT_DATA}]",
    )(command)


def task_option(text: str) -> Callable[[F], F]:
    """``--task T``: choose by the id of a known task."""
    return click.option("--task", metavar="TASK", callback=_task, shell_complete=candidates.tasks, help=text)


def task_spec_option(text: str, **more: Any) -> Callable[[F], F]:
    """``--task``: what is to be done, by an id or a file; ``text`` says what holds without it."""
    return _spec_option("--task", "TaskSpec", candidates.tasks, text, more)


def robot_option(text: str, **more: Any) -> Callable[[F], F]:
    """``--robot``: who does it, by an id or a file; ``text`` says what holds without it."""
    return _spec_option("--robot", "RobotSpec", candidates.robots, text, more)


def _spec_option(
    name: str, what: str, complete: candidates.Complete, text: str, more: dict[str, Any]
) -> Callable[[F], F]:
    told = f"{what} id or YAML file." + (f"  [default: {text}]" if text else "")
    return click.option(name, metavar="ID|FILE", shell_complete=complete, **{"default": "", "help": told, **more})


def start_option(text: str) -> Callable[[F], F]:
    """``--start``: from where."""
    return click.option("--start", default="", metavar="NAME", shell_complete=candidates.starts, help=text)


def operator_option(text: str, default: str = "scripted") -> Callable[[F], F]:
    """``--operator``: who operates; several with commas, or a file."""
    complete = candidates.several_of(candidates.operators, or_file=True)
    return click.option(
        "--operator", default=default, show_default=bool(default), metavar="NAME,…|FILE", shell_complete=complete,
        help=text,
    )  # fmt: skip


def faults_option(text: str) -> Callable[[F], F]:
    """``--faults``: what goes wrong in a simulated robot."""
    complete = candidates.several_of(candidates.faults, or_file=True)
    return click.option("--faults", default="", metavar="NAME,…|FILE", shell_complete=complete, help=text)


def engine_option(text: str, **more: Any) -> Callable[[F], F]:
    """``--engine``: when the policy is asked."""
    return click.option(
        "--engine", metavar="NAME", shell_complete=candidates.any_of(candidates.engines), help=text, **more
    )


def episode_argument(command: F) -> F:
    """An episode's ``ID|PATH``, for :func:`bag_of`."""
    return click.argument("episode", metavar="ID|PATH", shell_complete=candidates.episodes)(command)


def bag_of(episode: str, data: Path) -> Path:
    """The bag that a command's ``ID|PATH`` means.

    Raises:
        DataError: no such episode, or several.
    """
    from xrollout_ros.episodes.store import find_episode
    from xrollout_ros.ui.progress import Bar

    # A path wins over an id: an id has no separator, and no file in the working folder is called like one by chance.
    if Path(episode).exists() or "/" in episode:
        return Path(episode)
    with Bar("looking for the episode"):
        return find_episode(data, episode).path


json_option = click.option(JSON, "as_json", is_flag=True, help="Print JSON; all else goes to standard error.")
