"""Message classes by their names."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from xrollout_ros.core.errors import SpecError


@cache
def message_class(type_name: str) -> type[Any]:
    """The Python class of ``pkg/msg/Type``.

    Raises:
        SpecError: it is not installed.
    """
    package, _, name = type_name.split("/")
    try:
        module = importlib.import_module(f"{package}.msg")
        found: type[Any] = getattr(module, name)
    except (ImportError, AttributeError) as error:
        raise SpecError(
            f"the message type {type_name} is not installed",
            f"Install the ROS package {package!r}, or mend the type in the RobotSpec.",
        ) from error
    return found
