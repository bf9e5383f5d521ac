"""A USB foot pedal: Linux input events to requests. It moves nothing: name who does, ``leader,pedal``."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from xrollout_ros.core.errors import GraphError, SpecError
from xrollout_ros.core.ports import Asked
from xrollout_ros.runtime.operators.panel import Panel
from xrollout_ros.runtime.operators.specs import PedalSpec

EV_KEY = 1
"""Linux's ``input-event-codes.h``; a value of 1 is down, 0 is up, 2 is repetition."""
_POLL_S = 0.1
_INSTALL = "Install it: pip install evdev (it needs a C compiler and Linux's headers)."


class InputEvent(Protocol):
    """One event of a Linux input device."""

    @property
    def type(self) -> int: ...
    @property
    def code(self) -> int: ...
    @property
    def value(self) -> int: ...


class InputDevice(Protocol):
    """What is read from."""

    def fileno(self) -> int: ...

    def read(self) -> Iterable[InputEvent]:
        """Events that wait; blocks if there is none.

        Raises:
            OSError: the device was unplugged.
        """
        ...

    def close(self) -> None: ...


def key_codes(pedals: Mapping[str, str]) -> dict[int, str]:
    """Key codes for names like KEY_B, or for numbers.

    Raises:
        SpecError: the name is unknown, or evdev, which knows the names, is missing.
    """
    codes = {}
    for key, function in pedals.items():
        codes[int(key) if key.isdecimal() else _code(key)] = function
    return codes


def _code(name: str) -> int:
    code = _evdev().ecodes.ecodes.get(name)
    if not isinstance(code, int):
        raise SpecError(
            f"pedal key {name!r} is unknown", "Use a name of linux/input-event-codes.h (KEY_A, BTN_0) or its number."
        )
    return code


def _evdev() -> Any:
    try:
        import evdev
    except ImportError as error:
        raise SpecError("the operator pedal needs the Python package evdev, which is missing", _INSTALL) from error
    return evdev


def open_pedal(device: str) -> InputDevice:
    """Find the pedal and keep its key strokes to ourselves.

    Args:
        device: a path, a part of the device's name, or empty: the only one called a foot switch or pedal.

    Raises:
        SpecError: evdev is missing.
        GraphError: no device fits, several do, or it may not be read.
    """
    evdev = _evdev()
    path = device if device.startswith("/") else _find(evdev, device)
    try:
        found = evdev.InputDevice(path)
        found.grab()
    except OSError as error:
        remedy = "Plug it in; `ls -l /dev/input/by-id` lists what there is."
        if isinstance(error, PermissionError):
            remedy = "Add yourself to the group input (`sudo usermod -aG input $USER`) and log in again."
        raise GraphError(f"the pedal {path} cannot be read ({error.strerror})", remedy) from error
    return found  # type: ignore[no-any-return]


def _find(evdev: Any, part: str) -> str:
    devices: dict[str, str] = {path: evdev.InputDevice(path).name for path in evdev.list_devices()}
    wanted = [part.lower()] if part else ["pedal", "foot"]
    fits = sorted(path for path, name in devices.items() if any(word in name.lower() for word in wanted))
    there = ", ".join(f"{path} ({name})" for path, name in sorted(devices.items())) or "none that may be read"
    what = f"whose name has {part!r}" if part else "that is called a pedal or foot switch"
    if len(fits) != 1:
        raise GraphError(
            f"{'no' if not fits else 'more than one'} input device {what}",
            f"There are: {there}. Name its path in `device` of the pedal's file, or join the group input to see more.",
        )
    return fits[0]


class Pedal:
    """What its keys ask for. It drives nothing."""

    name = "pedal"

    def __init__(self, spec: PedalSpec) -> None:
        """Check the file.

        Raises:
            SpecError: a key is unknown, or evdev is missing.
        """
        self.spec = spec
        self._panel = Panel(key_codes(spec.pedals), "pedal")
        self._lost = ""

    def event(self, event: InputEvent) -> None:
        """The device says something; what is no key is ignored, and so is a key's repetition."""
        if event.type == EV_KEY and event.value == 1:
            self._panel.press(event.code)
        elif event.type == EV_KEY and event.value == 0:
            self._panel.release(event.code)

    def lost(self, why: str) -> None:
        """The device is gone."""
        self._lost = why

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``."""
        return self._panel.take(driving)

    def problem(self) -> str:
        """See ``Operator``."""
        return self._lost


class DeviceReader:
    """Reads an input device in a thread of its own until it is closed or unplugged."""

    def __init__(
        self, device: InputDevice, on_event: Callable[[InputEvent], None], on_end: Callable[[str], None]
    ) -> None:
        self._device = device
        self._on_event, self._on_end = on_event, on_end
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="pedal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cease reading."""
        self._stop.set()
        self._thread.join(1.0)
        self._device.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._device.fileno()], [], [], _POLL_S)
            if not ready:
                continue
            try:
                for event in self._device.read():
                    self._on_event(event)
            except OSError as error:
                self._on_end(f"the pedal was unplugged ({error.strerror or error})")
                return
