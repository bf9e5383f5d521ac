"""`xrollout pyramid build`, `show`, `why` and `recipe`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.episodes.paths import DEFAULT_DATA, data_dir
from xrollout_ros.ui.candidates import episodes, folders
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.following import caught_up, warn
from xrollout_ros.ui.options import json_option, task_option

_FOLDER = click.Path(path_type=Path, file_okay=False)
DEFAULT_PYRAMID = Path("pyramid")
DEFAULT_SIZE = "96x96"
"""Of images, as networks that train on a few cores want them."""


def _size(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` as height and width."""
    width, _, height = value.partition("x")
    if not (width.isdecimal() and height.isdecimal() and 8 <= int(width) <= 4096 and 8 <= int(height) <= 4096):
        raise SpecError(
            f"--image-size {value!r} is no size", "Give WIDTHxHEIGHT in pixels, 8 to 4096 each, e.g. 96x96."
        )
    return int(height), int(width)


@click.command(
    epilog=epilog(
        "xrollout pyramid build",
        "xrollout pyramid build --raw-data ./raw_rollouts --output ./pyramid --levels 4",
        "xrollout pyramid build --task push --recipe recipe.yaml --cameras",
    )
)
@click.option(
    "--raw-data",
    "--data",
    metavar="DIR",
    shell_complete=folders,
    callback=lambda ctx, parameter, value: data_dir(value),
    help=f"Folder of the bags.  [default: $XROLLOUT_DATA, else ./{DEFAULT_DATA}]",
)
@click.option(
    "--output", "folder", type=_FOLDER, default=DEFAULT_PYRAMID, show_default=True,
    help="Folder of the pyramid; one that is there is brought up to date.",
)  # fmt: skip
@click.option("--levels", type=click.IntRange(1, 4), default=4, show_default=True, help="Build the lowest so many.")
@task_option("Take this task's episodes.  [default: the only one there is]")
@click.option(
    "--recipe", "recipe_file", type=click.Path(path_type=Path, dir_okay=False),
    help="YAML with rules, gates and balance, as far as they differ from `xrollout pyramid recipe`.",
)  # fmt: skip
@click.option(
    "--cameras", is_flag=True, help="Keep the images of the robot's cameras too, the newest at each row.",
)  # fmt: skip
@click.option(
    "--image-size", metavar="WxH", default=DEFAULT_SIZE, show_default=True, callback=_size,
    help="Size at which they are kept.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Processes that read bags.  [default: one for each core]")
@json_option
def build(
    raw_data: Path, folder: Path, levels: int, task: str | None, recipe_file: Path | None,
    cameras: bool, image_size: tuple[int, int], workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Sort episodes into levels, each a dataset to train from.

    Only bags that are new or changed are read. The same episodes and the same recipe give the same datasets, by hash.
    """
    from xrollout_ros.learning.pyramid.build import BuildOptions
    from xrollout_ros.learning.pyramid.build import build as built_of
    from xrollout_ros.learning.pyramid.recipe import load_recipe
    from xrollout_ros.learning.pyramid.report import report_of
    from xrollout_ros.ui import pyramid_output
    from xrollout_ros.ui.progress import Bar
    from xrollout_ros.ui.pyramid_page import FILE, write_page

    options = BuildOptions(
        data=raw_data,
        output=folder,
        levels=levels,
        task=task,
        recipe=None if recipe_file is None else load_recipe(recipe_file),
        workers=workers or len(os.sched_getaffinity(0)),
        cameras=image_size if cameras else None,
    )
    with caught_up(raw_data) as catalog, Bar("looking at bags") as bar:
        if not catalog.read_only:
            # A bag that was repaired or replaced may lie in a folder that looks as before.
            catalog.update(every=True, progress=bar.show)
        built = built_of(catalog, options, bar.part)
    report = report_of(built)
    write_page(folder / FILE, report)
    for name, why in built.damaged.items():
        warn(f"shard {name} was damaged, and its bags were read again: {why}")
    for problem in built.journal_problems:
        warn(problem)
    if as_json:
        print_json(report)
    else:
        pyramid_output.show(output(), report, folder)


@click.command(epilog=epilog("xrollout pyramid show", "xrollout pyramid show ./pyramid --json"))
@click.argument("folder", metavar="[PYRAMID]", type=_FOLDER, default=DEFAULT_PYRAMID)
@json_option
def show(folder: Path, as_json: bool) -> None:
    """Show what the levels hold, what was left out and why, and what is missing."""
    from xrollout_ros.learning.pyramid.opening import read_report
    from xrollout_ros.ui import pyramid_output

    report = read_report(folder)
    if as_json:
        print_json(report)
    else:
        pyramid_output.show(output(), report, folder)


@click.command(epilog=epilog("xrollout pyramid why 01M7X5", "xrollout pyramid why 01M7X5 --pyramid ./pyramid"))
@click.argument("episode", metavar="ID", shell_complete=episodes)
@click.option("--pyramid", "folder", type=_FOLDER, default=DEFAULT_PYRAMID, show_default=True, help="Its folder.")
@json_option
def why(episode: str, folder: Path, as_json: bool) -> None:
    """Say why an episode is in its level, rule by rule.

    ID may be a part of it. Each rule and gate is told with its figures.
    """
    from xrollout_ros.learning.pyramid.opening import read_episodes
    from xrollout_ros.ui import pyramid_output

    wanted = episode.upper()
    lines = list(read_episodes(folder))
    names = [str(line["episode_id"]) for line in lines]
    found = [line for name, line in zip(names, lines, strict=True) if wanted and _fits(name, wanted)]
    found = [line for line in found if line["episode_id"] == wanted] or found
    if not found:
        raise DataError(
            f"no episode of the pyramid {folder} has an id like {episode!r} ({len(names)} looked at)",
            "`xrollout episodes list` shows those there are; one that was recorded since needs another build.",
        )
    if len(found) > 1:
        shown = ", ".join(str(line["episode_id"]) for line in found[:8]) + (", …" if len(found) > 8 else "")
        raise DataError(f"{episode!r} fits {len(found)} episodes: {shown}", "Give more of the id.")
    if as_json:
        print_json(found[0])
    else:
        pyramid_output.show_episode(output(), found[0])


def _fits(name: str, wanted: str) -> bool:
    """An id, or the path of a bag whose name ends in one."""
    upper = name.upper()
    return upper.startswith(wanted) or upper.endswith(wanted)


@click.command(epilog=epilog("xrollout pyramid recipe > recipe.yaml"))
@json_option
def recipe(as_json: bool) -> None:
    """Print the recipe that is used without --recipe.

    One of your own need only name what it changes.
    """
    from xrollout_ros.core.resources import load_yaml
    from xrollout_ros.learning.pyramid.recipe import shipped_recipe

    if as_json:
        print_json(load_yaml(shipped_recipe(), "recipe"))
        return
    click.echo(shipped_recipe().read_text(encoding="utf-8"), nl=False)
