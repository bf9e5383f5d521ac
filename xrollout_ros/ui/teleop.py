"""The terminal of somebody who may take over: the keys, and one line of what the graph does."""

from __future__ import annotations

import threading

from rich.console import Console
from rich.live import Live
from rich.text import Text

from xrollout_ros.runtime.monitor_model import MonitorModel
from xrollout_ros.ui.view import lines

PERIOD_S = 0.2


def run(operator: str, console: Console) -> None:
    """Join, and stay until Ctrl-C or q.

    Raises:
        XRolloutError: see ``graph.joining.joined``.
    """
    from xrollout_ros.graph.joining import joined
    from xrollout_ros.runtime.operators.specs import KeyboardSpec, load_operators
    from xrollout_ros.runtime.operators.terminal import own_terminal

    keyboard = any(isinstance(spec, KeyboardSpec) for spec in load_operators(operator))
    left = threading.Event()
    try:
        with joined(operator, own_terminal() if keyboard else "", left.set) as at_work:
            console.print(Text(f"operator {at_work.name}; Ctrl-C{' or q' if keyboard else ''} leaves", style="bold"))
            for key, what in at_work.keys:
                console.print(f"  {key:>9}  {what}")
            shown = ""
            with Live(console=console, auto_refresh=False, transient=True) as live:
                while not left.wait(PERIOD_S):
                    line = status(at_work.observer.model(), at_work.name, at_work.problem())
                    if console.is_terminal:
                        live.update(line, refresh=True)
                    elif line.plain != shown:
                        console.print(line, soft_wrap=True)
                        shown = line.plain
    except KeyboardInterrupt:
        pass
    console.print("left; the robot holds if it was driven from here")


def status(model: MonitorModel, operator: str, problem: str) -> Text:
    """One line: who drives, whether help is wanted, what is wrong with the operator's own device."""
    line = Text()
    if problem:
        line.append(f"{problem} · ", style="bold red")
    if model.operator == operator:
        line.append("you drive · ", style="bold blue")
    line.append(lines(model))
    return line
