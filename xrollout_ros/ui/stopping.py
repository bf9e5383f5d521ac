"""Work that was stopped is told as a state, a reason and a next step; as JSON too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from xrollout_ros.mining.success.stops import StoppedError
from xrollout_ros.ui.console import print_json


@contextmanager
def telling_stops(as_json: bool) -> Iterator[None]:
    """Whoever reads JSON gets the state as JSON; the exit code is that of the error either way.

    Args:
        as_json: whether JSON is read.
    """
    try:
        yield
    except StoppedError as stop:
        if not as_json:
            raise
        print_json({"state": stop.state.value, "reason": stop.reason, "next_step": stop.next_step})
        click.get_current_context().exit(stop.exit_code)
