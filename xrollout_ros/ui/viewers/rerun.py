"""`xrollout episodes open --in rerun`: makes a recording of the bag, with a blueprint, and starts Rerun with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import check_writable
from xrollout_ros.ui.console import output
from xrollout_ros.ui.progress import Bar
from xrollout_ros.ui.viewers.opened import Opened
from xrollout_ros.ui.viewers.telling import end, ended_by_signals, tell_moment


def show_in_rerun(opened: Opened, *, speed: float, loop: bool, save: Path | None) -> None:
    """Show a bag in Rerun until it is closed, or Ctrl-C.

    Args:
        opened: the bag and its moment.
        speed: s of the bag in one second.
        loop: play the span around the moment again and again.
        save: write the recording here, and start nothing.

    Raises:
        BagError: the bag is damaged.
        DataError: Rerun is not installed, there is no display, or the file cannot be written.
    """
    if save is not None:
        check_writable(save, "the recording")
    elif not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise DataError(
            "Rerun needs a display, and there is none (neither DISPLAY nor WAYLAND_DISPLAY is set)",
            "Write a recording with --save FILE.rrd and open it elsewhere, or use --in foxglove.",
        )
    # Its importer warns of each key that our metadata says twice: at the beginning and at the end of a bag.
    os.environ.setdefault("RUST_LOG", "error")
    try:
        from xrollout_ros.ui.viewers.rerun_recording import write
    except ImportError as error:
        raise DataError(
            f"Rerun cannot be used here ({error})",
            "Install it: `pip install 'xrollout[rerun]'` (Python 3.11 or newer, 490 MB). Or use --in foxglove.",
        ) from error
    console = output()
    tell_moment(console, opened)
    if save is not None:
        with Bar("writing the recording"):
            write(opened, save, speed=speed, loop=loop)
        console.print(f"written: {save}; `rerun {save}` opens it", soft_wrap=True)
        return
    with ended_by_signals(), tempfile.TemporaryDirectory(prefix="xrollout-rerun-") as folder:
        path = Path(folder) / f"{opened.name}.rrd"
        with Bar("writing the recording"):
            write(opened, path, speed=speed, loop=loop)
        console.print("Close Rerun, or Ctrl-C, to end.")
        # Without an address it would listen to the whole network.
        child = subprocess.Popen([sys.executable, "-m", "rerun", "--bind", "127.0.0.1", "--port", "auto", str(path)])
        try:
            code = child.wait()
        finally:
            end(child)
        if code:
            raise DataError(f"Rerun ended with exit status {code}", "What it said stands above.")
    console.print("\nended")
