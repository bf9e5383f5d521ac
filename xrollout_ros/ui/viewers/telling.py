"""What every viewer's session tells at its beginning, and how it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from types import FrameType

from rich.console import Console

from xrollout_ros.ui import text
from xrollout_ros.ui.viewers.opened import Opened

_GRACE_S = 5.0


def tell_moment(console: Console, opened: Opened) -> None:
    """Which bag, which moment and why, and what is played of it."""
    bag, moment, span = opened.bag, opened.moment, opened.span
    meta = bag.episode.meta if bag.episode is not None else None
    what = f"{meta.kind.value} {meta.episode_id} ({meta.task})" if meta is not None else "a bag of others"
    console.print(f"{what}: {bag.path}", soft_wrap=True)
    console.print(f"moment: {moment.at_s:.2f} s, {moment.why}", soft_wrap=True)
    for remark in moment.remarks:
        console.print(f"note: {remark}", soft_wrap=True)
    begin_s, end_s = moment.relative_s(span.begin_ns), moment.relative_s(span.end_ns)
    whole = f"{moment.relative_s(bag.start_ns):.2f} to {moment.relative_s(bag.end_ns):.2f} s"
    console.print(f"played: {begin_s:.2f} to {end_s:.2f} s of {whole} ({text.plural(len(bag.topics), 'topic')})")


class Ending:
    """Whether a signal has asked for the end."""

    asked = False
    polled = False
    """Whether somebody looks at it often. Else a signal interrupts, which can leave a lock held for good."""

    def __call__(self) -> bool:
        return self.asked


@contextlib.contextmanager
def ended_by_signals() -> Iterator[Ending]:
    """Ctrl-C, SIGTERM and a closed terminal end the block in order; none is an error: it is how a viewer is left."""
    ending = Ending()

    def interrupt(number: int, frame: FrameType | None) -> None:
        asked, ending.asked = ending.asked, True
        if asked or not ending.polled:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield ending
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(child: subprocess.Popen[bytes]) -> None:
    """End a viewer, if it has not ended already."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
