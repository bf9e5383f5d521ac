"""Watches a running graph in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from xrollout_ros.runtime.monitor_model import MonitorModel
from xrollout_ros.ui.asking import Actor, AskedByKeys, keys_line
from xrollout_ros.ui.console import print_json_line
from xrollout_ros.ui.keys import GONE, Keys
from xrollout_ros.ui.view import lines, render

PERIOD_S = 0.1
"""Between two pictures on a terminal."""
LINE_PERIOD_S = 1.0
"""Between two lines elsewhere."""


def watch(model: Callable[[], MonitorModel], console: Console, pause: Callable[[float], None] = time.sleep) -> None:
    """Show the model until Ctrl-C: the whole view on a terminal; elsewhere a line a second, when it says anything new.

    Args:
        model: gives what is known now.
        console: where it is shown.
        pause: waits for so many seconds; raises KeyboardInterrupt to end.
    """
    if not console.is_terminal:
        _each_news(model, lines, lambda now: console.print(lines(now), soft_wrap=True), pause)
        return
    try:
        with Live(render(model()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(render(model()), refresh=True)
                pause(PERIOD_S)
    except KeyboardInterrupt:
        return


def print_lines(model: Callable[[], MonitorModel], pause: Callable[[float], None] = time.sleep) -> None:
    """Print the model as JSON until Ctrl-C: a line a second, when it says anything new."""
    _each_news(model, lambda now: lines(now) if now.heard else "", lambda now: print_json_line(as_json(now)), pause)


def as_json(model: MonitorModel) -> dict[str, Any]:
    """All that is known, for programs; modes, phases and sources by their names."""
    found: dict[str, Any] = asdict(model, dict_factory=lambda items: {name: _plain(value) for name, value in items})
    return {"heard": model.heard, **found}


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value


def _each_news(
    model: Callable[[], MonitorModel], said: Callable[[MonitorModel], str], tell: Callable[[MonitorModel], None],
    pause: Callable[[float], None],
) -> None:  # fmt: skip
    """Tell of the model until Ctrl-C, at most once in a second, when another thing is to be said."""
    before = None
    try:
        while True:
            now = model()
            if said(now) != before:
                tell(now)
            before = said(now)
            pause(LINE_PERIOD_S)
    except KeyboardInterrupt:
        return


def act(model: Callable[[], MonitorModel], console: Console, actor: Actor, keys: Keys) -> None:
    """Show the model on a terminal until Ctrl-C or q, and ask the graph for what keys are pressed.

    Args:
        model: gives what is known now.
        console: a terminal.
        actor: asks for things.
        keys: what is pressed.
    """
    asked = AskedByKeys(actor)
    try:
        with keys, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                now = model()
                foot = Text.assemble((asked.line(), "bold yellow"), "\n", (f"{keys_line()} · q ends", "dim"))
                live.update(Group(render(now), foot), refresh=True)
                key = keys.within(PERIOD_S)
                if key in ("q", GONE):
                    return
                if key is not None:
                    asked.press(key, now.episode.episode_id if now.episode is not None else "")
    except KeyboardInterrupt:
        return
    finally:
        asked.close()


def main() -> None:
    """Entry point of the ``monitor`` executable: the same as `xrollout monitor`; ROS takes what is its own."""
    from xrollout_ros.ui.cli import cli

    words = sys.argv[1:]
    own = words[: words.index("--ros-args")] if "--ros-args" in words else words
    cli.main(["monitor", *own], prog_name="xrollout")


if __name__ == "__main__":
    main()
