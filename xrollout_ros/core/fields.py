"""Values in and out of ROS messages by field path, for any object with the message's attributes.

The same code serves rclpy's messages in the graph and the decoded messages of a bag reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.sensing import ObservationSpec

_COMPONENTS = ("x", "y", "z", "w")
_SHOWN = 60
"""Letters of a value in an error."""


def _walk(message: Any, path: list[str], entry: ObservationSpec) -> Any:
    value = message
    for part in path:
        if not hasattr(value, part):
            raise SpecError(
                f"observation {entry.name!r}: {entry.type} has no field {entry.field!r} (stopped at {part!r})",
                "Mend `field` or `type` in the RobotSpec.",
            )
        value = getattr(value, part)
    return value


def extract(message: Any, entry: ObservationSpec) -> npt.NDArray[np.float64]:
    """Values of one observation entry, ``entry.shape`` float64.

    Raises:
        SpecError: the field is not there, holds no numbers, or has another number of values.
    """
    value = _walk(message, entry.field.split("."), entry)
    if entry.names:
        value = _by_name(message, value, entry)
    elif hasattr(value, "x"):
        value = [getattr(value, part) for part in _COMPONENTS if hasattr(value, part)]
    array = _numbers(value, entry)
    if array.size != entry.size:
        raise SpecError(
            f"observation {entry.name!r}: {entry.topic} gives {array.size} values in {entry.field!r}",
            f"The RobotSpec says shape {entry.shape}.",
        )
    return array.reshape(entry.shape)


def _by_name(message: Any, value: Any, entry: ObservationSpec) -> npt.NDArray[np.float64]:
    """The wanted joints' values, in the order wanted."""
    known = _walk(message, [*entry.field.split(".")[:-1], "name"], entry)
    order = [str(name) for name in known] if isinstance(known, Sequence) else [str(known)]
    missing = [name for name in entry.names if name not in order]
    if missing:
        raise SpecError(
            f"observation {entry.name!r}: the message on {entry.topic} has no joint {', '.join(missing)}",
            f"It has {', '.join(order)}; mend `names` in the RobotSpec.",
        )
    values = _numbers(value, entry).reshape(-1)
    places = [order.index(name) for name in entry.names]
    if max(places) >= len(values):
        # A driver that measures no velocities leaves that array empty.
        raise SpecError(
            f"observation {entry.name!r}: {entry.topic} names {len(order)} joints but gives {len(values)} values in "
            f"{entry.field!r}",
            "Mend `field` in the RobotSpec, or the driver.",
        )
    return values[places]


def _numbers(value: Any, entry: ObservationSpec) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    # A text that looks like a number would be taken for one.
    if array.dtype.kind not in "biuf":
        raise SpecError(
            f"observation {entry.name!r}: {entry.field!r} of {entry.type} on {entry.topic} holds no numbers, but "
            f"{str(value)[:_SHOWN]!r}",
            "End `field` at a number, an array of numbers, a Point, a Vector3 or a Quaternion.",
        )
    return array.astype(np.float64)


def assign(message: Any, entry: ObservationSpec, values: npt.ArrayLike) -> None:
    """Write the values of one observation entry into a ROS message, as a driver would.

    Raises:
        SpecError: the field is not there, or cannot hold that many values.
    """
    flat = [float(value) for value in np.asarray(values, dtype=np.float64).reshape(-1)]
    if len(flat) != entry.size:
        raise SpecError(
            f"observation {entry.name!r}: {len(flat)} values to write", f"The RobotSpec says shape {entry.shape}."
        )
    *parents, leaf = entry.field.split(".")
    owner = _walk(message, parents, entry)
    target = _walk(owner, [leaf], entry)
    if hasattr(target, "x"):
        for part, value in zip(_COMPONENTS, flat, strict=False):
            setattr(target, part, value)
    elif isinstance(target, float):
        setattr(owner, leaf, flat[0])
    else:
        setattr(owner, leaf, flat)
        if entry.names:
            owner.name = list(entry.names)


def stamp_ns(stamp: Any) -> int:
    """A ``builtin_interfaces/Time`` as nanoseconds."""
    return int(stamp.sec) * NS + int(stamp.nanosec)
