"""Between two demonstrations on a real robot: says where things belong, and asks whether they lie there."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.mining.plan import PlannedStart
from xrollout_ros.ui.keys import GONE


class Keyboard(Protocol):
    """Where single keys come from."""

    def key(self) -> str:
        """The next key."""
        ...

    def forget(self) -> None:
        """Pass over what was typed until now."""
        ...


class Answer(Enum):
    """What the person wants."""

    BEGIN = "begin"
    SKIP = "skip"
    AGAIN = "again"
    """The one before was no good: make it again."""
    QUIT = "quit"


_KEYS = {
    "enter": Answer.BEGIN, "space": Answer.BEGIN, "s": Answer.SKIP, "a": Answer.AGAIN, "q": Answer.QUIT,
    "esc": Answer.QUIT, GONE: Answer.QUIT,
}  # fmt: skip


def ask(
    console: Console, keys: Keyboard, start: PlannedStart | None, place: str, *, made_one: bool, failed: bool = True
) -> Answer:
    """Show a start and wait for a decision.

    Args:
        console: where it is shown.
        keys: the person's.
        start: where things belong; none: anywhere that the task may begin.
        place: which one it is, e.g. ``2 of 6``.
        made_one: whether there is one before that can be made again.
        failed: whether an attempt is known to have failed from there.
    """
    if start is None:
        console.print(f"\nstart {place}: put things where the task may begin")
    else:
        _show(console, start, f"attempt {start.episode_id} failed from here" if failed else "", place)
    again = "  a: the one before again" if made_one else ""
    console.print(f"enter: begin  s: skip it{again}  q: quit")
    return _answer(keys, made_one=made_one)


def _show(console: Console, start: PlannedStart, failed: str, place: str) -> None:
    why = f"({start.evidence})" if start.evidence and failed else start.evidence
    console.print(f"\nstart {place}: {' '.join(filter(None, (failed, why)))}", soft_wrap=True)
    if start.values:
        table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
        for each in start.values:
            table.add_row(Text(each.label), Text(f"{each.value:.3f}", style="bold"), Text(each.unit))
        console.print("put things there:")
        console.print(table)
    else:
        look = f"; look where it began: xrollout episodes open {start.episode_id}" if start.episode_id else ""
        console.print(f"the TaskSpec names nothing that describes a start{look}", style="yellow", soft_wrap=True)


def ask_last(console: Console, keys: Keyboard) -> bool:
    """After the last one: whether that is to be made again."""
    console.print("\nthat was the last one.  enter: done  a: make it again")
    return _answer(keys, made_one=True) is Answer.AGAIN


def _answer(keys: Keyboard, *, made_one: bool) -> Answer:
    keys.forget()
    while True:
        answer = _KEYS.get(keys.key())
        if answer is not None and (made_one or answer is not Answer.AGAIN):
            return answer
