"""`xrollout episodes open --in foxglove`: serves the bag, says where, and opens the app where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess

from rich.console import Console

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.episodes.player import Player
from xrollout_ros.ui.console import output
from xrollout_ros.ui.viewers.annotated import AnnotatedBag
from xrollout_ros.ui.viewers.foxglove import FoxgloveServer
from xrollout_ros.ui.viewers.layouts import fitted
from xrollout_ros.ui.viewers.opened import Opened
from xrollout_ros.ui.viewers.telling import ended_by_signals, tell_moment

_HANDLER = "x-scheme-handler/foxglove"
_ASK_S = 5.0


def show(opened: Opened, *, speed: float, loop: bool, port: int, browser: bool) -> None:
    """Serve a bag until Ctrl-C.

    Args:
        opened: the bag and its moment.
        speed: s of the bag in one second.
        loop: play the span around the moment again and again, until the app takes the controls.
        port: where; 0: any free one.
        browser: open the desktop app, where there is a display and the app.

    Raises:
        BagError: the bag is damaged.
        DataError: the port is taken.
    """
    bag = AnnotatedBag(opened.bag, opened.moment, opened.effective)
    player = Player(bag, opened.span, speed=speed, loop=loop, clock=SystemClock())
    server = FoxgloveServer(player, bag.topics, (bag.start_ns, bag.end_ns), opened.name, port)
    console = output()
    with ended_by_signals() as ending:
        try:
            tell_moment(console, opened)
            _tell(console, server, opened)
            if browser and _has_app():
                subprocess.Popen(
                    ["xdg-open", server.desktop_link], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            ending.polled = True
            server.run(ending)
        finally:
            server.stop()
    console.print("\nended")


def _tell(console: Console, server: FoxgloveServer, opened: Opened) -> None:
    layout, why = fitted(opened.bag)
    console.print(
        f"\nserved at {server.address}, on this machine alone; it plays as soon as Foxglove looks", style="bold"
    )
    for how, what in (
        ("desktop", server.desktop_link),
        ("browser", server.web_link),
        ("layout", f"import {layout} once: Foxglove's menu Layouts, Import from file (a link cannot carry it)"),
        ("as a file", f"{opened.bag.files[0]}, at {_clock_time(opened.moment.time_ns)} UTC"),
    ):
        console.print(f"  {how}: {what}", soft_wrap=True)
    if why:
        console.print(f"  note: this is the layout for any robot; {why}", soft_wrap=True)
    console.print("Ctrl-C ends it.")


def _clock_time(time_ns: int) -> str:
    from datetime import datetime, timezone

    return f"{datetime.fromtimestamp(time_ns / 1e9, timezone.utc):%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _has_app() -> bool:
    """Whether there is a screen, and something on it that opens links of Foxglove."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")) or shutil.which("xdg-open") is None:
        return False
    try:
        asked = subprocess.run(
            ["xdg-mime", "query", "default", _HANDLER], capture_output=True, text=True, timeout=_ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(asked.stdout.strip())
