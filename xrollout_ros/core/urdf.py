"""Joints of a robot description (URDF), as far as limits go.

The standard library's parser serves: a URDF needs neither entities nor a document type, and a text with either is
refused, so that nothing can be made to expand.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

from xrollout_ros.core.errors import SpecError

_MOVING = {"revolute": "rad", "continuous": "rad", "prismatic": "m"}


@dataclass(frozen=True)
class UrdfJoint:
    """One joint that moves along or about one axis."""

    name: str
    type: str
    """``revolute``, ``continuous`` or ``prismatic``."""
    lower: float | None
    """Least position, rad or m; None: not limited, or not said."""
    upper: float | None
    velocity: float | None
    """Largest speed, rad/s or m/s; None: not said (URDF's 0 is read so too)."""
    mimic: str = ""
    """The joint that it follows; empty: it has a drive of its own."""

    @property
    def unit(self) -> str:
        """Unit of its position."""
        return _MOVING[self.type]


def read_joints(text: str) -> dict[str, UrdfJoint]:
    """The moving joints of a URDF by name, in the order written.

    Args:
        text: the document, as published on ``/robot_description``.

    Raises:
        SpecError: it is not XML, no URDF, or a number in it is none.
    """
    remedy = "Mend the URDF, or what publishes it (`ros2 topic echo --once /robot_description`)."
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise SpecError("the robot description declares a document type or entities", f"A URDF needs none. {remedy}")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SpecError(f"the robot description is not XML ({error})", remedy) from error
    if root.tag != "robot":
        raise SpecError(f"the robot description is no URDF: its root is <{root.tag}>", remedy)
    joints = {}
    for element in root.findall("joint"):
        kind, name = element.get("type", ""), element.get("name", "")
        if kind not in _MOVING:
            continue
        limit, mimic = element.find("limit"), element.find("mimic")
        bounded = limit is not None and kind != "continuous"
        joints[name] = UrdfJoint(
            name=name,
            type=kind,
            # URDF's default of an absent bound is 0.
            lower=_number(limit, "lower", name, 0.0) if bounded else None,
            upper=_number(limit, "upper", name, 0.0) if bounded else None,
            velocity=_number(limit, "velocity", name, 0.0) or None,
            mimic=mimic.get("joint", "") if mimic is not None else "",
        )
    return joints


def _number(limit: ElementTree.Element | None, key: str, joint: str, default: float) -> float:
    text = default if limit is None else limit.get(key, default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(
            f"the robot description gives joint {joint!r} the {key} limit {text!r}", "It must be a finite number."
        )
    return value
