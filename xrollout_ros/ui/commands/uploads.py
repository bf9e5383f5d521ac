"""`xrollout uploads`: what waits to be uploaded, and trying it again."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.episodes.upload_queue import FILE, State, Upload, UploadQueue
from xrollout_ros.ui import text
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import data_option, json_option

_STYLES = {State.QUEUED: "yellow", State.DONE: "green", State.GONE: "dim"}


@click.group(invoke_without_command=True)
@data_option
@json_option
@click.pass_context
def uploads(ctx: click.Context, data: Path, as_json: bool) -> None:
    """Show which bags were uploaded, which wait, and why."""
    ctx.obj = data
    if ctx.invoked_subcommand is None:
        _list(data, as_json=as_json)


@uploads.command()
@click.pass_obj
def retry(data: Path) -> None:
    """Try again now what failed, instead of at its time. The uploader that is running does it."""
    count = _queue(data).retry() if _begun(data) else 0
    output().print(f"{text.plural(count, 'bag')} to try again now")


def _begun(data: Path) -> bool:
    return (data / FILE).is_file()


def _queue(data: Path) -> UploadQueue:
    return UploadQueue(data, SystemClock())


def _list(data: Path, *, as_json: bool) -> None:
    found = _queue(data).all() if _begun(data) else []
    if as_json:
        print_json({"data": str(data), "uploads": [_json(upload) for upload in found]})
        return
    console = output()
    if not found:
        console.print(f"nothing of {data} was ever uploaded or queued", soft_wrap=True)
        return
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for name in ("bag", "state", "size", "tries", "error"):
        table.add_column(name, overflow="fold", justify="right" if name in ("size", "tries") else "left")
    for upload in found:
        state = Text(upload.state.value, style=_STYLES[upload.state])
        table.add_row(Text(upload.bag), state, text.size(upload.bytes), str(upload.tries), Text(upload.error))
    console.print(table)
    waiting = [upload for upload in found if upload.state is State.QUEUED]
    size = text.size(sum(upload.bytes for upload in waiting))
    console.print(f"\n{len(waiting)} of {text.plural(len(found), 'bag')} to go ({size})")


def _json(upload: Upload) -> dict[str, object]:
    return {
        "bag": upload.bag,
        "url": upload.url,
        "state": upload.state.value,
        "bytes": upload.bytes,
        "tries": upload.tries,
        "error": upload.error,
    }
