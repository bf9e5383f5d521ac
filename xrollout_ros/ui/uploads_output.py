"""What waits to be uploaded, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.episodes.upload_queue import FILE, State, Upload, UploadQueue
from xrollout_ros.ui import text

_STYLES = {State.QUEUED: "yellow", State.DONE: "green", State.GONE: "dim"}


def queue_of(data: Path) -> UploadQueue | None:
    """The queue of a data folder; None: nothing of it was ever queued."""
    return UploadQueue(data, SystemClock()) if (data / FILE).is_file() else None


def show(console: Console, data: Path, found: Sequence[Upload]) -> None:
    """For people."""
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


def as_json(data: Path, found: Sequence[Upload]) -> dict[str, Any]:
    """For programs."""
    return {"data": str(data), "uploads": [_upload_json(upload) for upload in found]}


def _upload_json(upload: Upload) -> dict[str, Any]:
    return {
        "bag": upload.bag,
        "url": upload.url,
        "state": upload.state.value,
        "bytes": upload.bytes,
        "tries": upload.tries,
        "error": upload.error,
    }
