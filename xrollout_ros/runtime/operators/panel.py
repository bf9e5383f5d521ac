"""Keys, buttons and pedals that ask for something: edges of what is pressed become requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Hashable, Mapping
from typing import Generic, TypeVar

from xrollout_ros.core.modes import Request
from xrollout_ros.core.ports import Asked

K = TypeVar("K", bound=Hashable)
REQUESTS = {
    "take_over": Request.TAKE_OVER,
    "hand_back": Request.HAND_BACK,
    "hold": Request.HOLD,
    "success": Request.MARK_SUCCESS,
    "failure": Request.MARK_FAILURE,
    "discard": Request.DISCARD,
    "rerecord": Request.RERECORD,
    "end": Request.END,
    "emergency_stop": Request.EMERGENCY_STOP,
}


class Panel(Generic[K]):
    """Collects presses until they are asked for.

    ``press`` and ``release`` may be called from another thread than ``take``.

    Args:
        functions: what each key does.
        device: names the device in a request's reason.
    """

    def __init__(self, functions: Mapping[K, str], device: str) -> None:
        self._functions = dict(functions)
        self._device = device
        self._pressed: deque[tuple[str, K]] = deque()
        self._down: set[K] = set()

    def press(self, key: K) -> None:
        """A key went down; one without a function is ignored."""
        function = self._functions.get(key)
        if function is not None:
            self._pressed.append(("take_over" if function == "drive_while_held" else function, key))

    def release(self, key: K) -> None:
        """A key went up."""
        if self._functions.get(key) == "drive_while_held":
            self._pressed.append(("hand_back", key))

    def down(self, keys: Collection[K]) -> None:
        """These are down now, and no others: the differences are presses and releases."""
        now = set(keys)
        for key in sorted(now - self._down, key=str):
            self.press(key)
        for key in sorted(self._down - now, key=str):
            self.release(key)
        self._down = now

    def take(self, driving: bool) -> tuple[Asked, ...]:
        """The requests since the last call; a toggle takes over, or hands back while its operator drives."""
        asked = []
        while self._pressed:
            function, key = self._pressed.popleft()
            if function == "toggle":
                function = "hand_back" if driving else "take_over"
            request = REQUESTS[function]
            if request in (Request.TAKE_OVER, Request.HAND_BACK):
                driving = request is Request.TAKE_OVER
            asked.append(Asked(request, f"{self._device} {key}"))
        return tuple(asked)
