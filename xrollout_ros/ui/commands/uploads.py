"""`xrollout uploads`: what waits to be uploaded, and trying it again."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.lazy import Entry, LazyGroup, command_follows
from xrollout_ros.ui.options import data_option, json_option

ENTRIES = {"retry": Entry(f"{__name__}:retry", "Try again now what failed, instead of at its time.")}


@click.group(
    cls=LazyGroup,
    entries=ENTRIES,
    invoke_without_command=True,
    epilog=epilog("xrollout uploads", "xrollout uploads retry"),
)
@data_option
@json_option
def uploads(data: Path, as_json: bool) -> None:
    """Show which bags were uploaded, which wait, and why."""
    if command_follows():
        return
    from xrollout_ros.ui import uploads_output as shown

    queue = shown.queue_of(data)
    found = [] if queue is None else queue.all()
    if as_json:
        print_json(shown.as_json(data, found))
    else:
        shown.show(output(), data, found)


@click.command(epilog=epilog("xrollout uploads retry --data raw_rollouts"))
@data_option
@json_option
def retry(data: Path, as_json: bool) -> None:
    """Try again now what failed, instead of at its time.

    The uploader that is running does it.
    """
    from xrollout_ros.ui import text
    from xrollout_ros.ui import uploads_output as shown

    queue = shown.queue_of(data)
    count = 0 if queue is None else queue.retry()
    if as_json:
        print_json({"data": str(data), "retried": count})
    else:
        output().print(f"{text.plural(count, 'bag')} to try again now")
