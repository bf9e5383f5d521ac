"""What a person who watches a graph may ask for: the dashboard's buttons and the terminal's keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.modes import Request

SURE_S = 4.0
"""How long something that is to be pressed twice waits for the second time."""
_WORKERS = 4
"""A stop must not wait for the answer to something else."""


class Actor(Protocol):
    """Asks the graph for things: ``graph.acting.Acting``."""

    def request(self, what: Request, episode_id: str = "", reason: str = "") -> None:
        """Ask for a change of mode, or mark the attempt."""
        ...

    def trigger(self, name: str) -> str:
        """Call a service; what it says."""
        ...


@dataclass(frozen=True)
class Ask:
    """One thing to ask for."""

    name: str
    key: str
    do: Callable[[Actor, str], str]
    """Takes the attempt's id, says what came of it; raises XRolloutError where nothing did."""
    twice: bool = False
    """It changes who drives or what counts: pressed once it asks back."""


def _request(what: Request) -> Callable[[Actor, str], str]:
    def do(actor: Actor, episode_id: str) -> str:
        actor.request(what, episode_id)
        return f"asked for: {what.name.lower().replace('_', ' ')}"

    return do


def _trigger(service: str) -> Callable[[Actor, str], str]:
    return lambda actor, _: actor.trigger(service)


ASKS = (
    Ask("Take over", "t", _request(Request.TAKE_OVER), twice=True),
    Ask("Hand back", "b", _request(Request.HAND_BACK), twice=True),
    Ask("Hold", "h", _request(Request.HOLD)),
    Ask("Success", "s", _request(Request.MARK_SUCCESS), twice=True),
    Ask("Failure", "f", _request(Request.MARK_FAILURE), twice=True),
    Ask("Save highlight", "l", _trigger("save_highlight")),
    Ask("STOP", "e", _trigger("emergency_stop")),
    Ask("Reset stop", "r", _trigger("reset_emergency_stop"), twice=True),
)
"""In the order shown. A stop is pressed once: a second press would cost the time that it is there to save."""
_BY_KEY = {ask.key: ask for ask in ASKS}


class AskedByKeys:
    """Turns keys into requests, and says what came of them; nobody waits for an answer.

    Args:
        actor: asks for things.
        steady_s: a clock.
    """

    def __init__(self, actor: Actor, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._actor, self._steady_s = actor, steady_s
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="asking")
        self._unsure: Ask | None = None
        self._until_s = 0.0
        self._asked: Future[str] | None = None
        self._said = ""

    def press(self, key: str, episode_id: str) -> None:
        """A key was pressed; one that is for nothing is passed over."""
        ask = _BY_KEY.get(key)
        unsure = self._unsure if self._steady_s() < self._until_s else None
        self._unsure = None
        if ask is None:
            return
        if ask.twice and ask is not unsure:
            self._unsure, self._until_s = ask, self._steady_s() + SURE_S
            return
        self._said = f"{ask.name} …"
        self._asked = self._pool.submit(self._do, ask, episode_id)

    def _do(self, ask: Ask, episode_id: str) -> str:
        try:
            return f"{ask.name}: {ask.do(self._actor, episode_id)}"
        except XRolloutError as error:
            return f"{ask.name}: {error}"

    def line(self) -> str:
        """What is to be said of it now; empty: nothing."""
        if self._unsure is not None and self._steady_s() < self._until_s:
            return f"{self._unsure.name}: sure? press {self._unsure.key} again"
        if self._asked is not None and self._asked.done():
            self._said, self._asked = self._asked.result(), None
        return self._said

    def close(self) -> None:
        """Ask for no more."""
        self._pool.shutdown(wait=False)


def keys_line() -> str:
    """Which key is for what."""
    return " · ".join(f"{ask.key} {ask.name.lower() if ask.name != 'STOP' else ask.name}" for ask in ASKS)
