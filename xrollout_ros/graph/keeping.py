"""Arguments that say what of a run is kept and where it goes, checked before anything starts; imports no ROS."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.strategies import DEFAULTS, DESCRIPTIONS, Margin, RecordingStrategy, make_strategy
from xrollout_ros.episodes.upload_target import check_url

Value = str | int | bool | float

ARGUMENTS = (
    ("strategy", "episodic", f"what is kept: {', '.join(DESCRIPTIONS)}"),
    ("resume", "false", "true: attempts that this command has made before count"),
    ("reset_seconds", "0", "time between attempts to put the scene right, s"),
    ("ring_seconds", f"{DEFAULTS['ring_seconds']:g}", "how far back save_highlight reaches, s"),
    ("ring_mib", f"{DEFAULTS['ring_mib']:g}", "most memory for that, MiB"),
    ("highlight_after", f"{DEFAULTS['highlight_after']:g}", "how long a highlight goes on after the request, s"),
    ("corrections", "false", "true: only the operator's corrections are kept (dagger)"),
    ("correction_before", "", f"what is kept before each, s; empty: {DEFAULTS['correction_before']:g}"),
    ("correction_after", "", f"what is kept after each, s; empty: {DEFAULTS['correction_after']:g}"),
    ("upload", "", "folder or fsspec URL that closed bags are copied to"),
    ("upload_mbit", "0", "most megabits per second for that, 0: no limit"),
)
"""Name, default and help of each."""
_MEMORY_SHARE = 0.5


@dataclass(frozen=True)
class Keeping:
    """What the arguments say."""

    strategy: RecordingStrategy
    recorder: dict[str, Value]
    """Parameters of the recorder."""
    manager: dict[str, Value]
    uploader: dict[str, Value]
    """Empty: nothing is uploaded."""


def keeping(given: Mapping[str, str], robot: RobotSpec, *, cameras: bool) -> Keeping:
    """Check the arguments.

    Args:
        given: all of :data:`ARGUMENTS` by name.
        robot: its cameras say what a ring must hold.
        cameras: whether they are recorded.

    Raises:
        SpecError: a value is not allowed, or contradicts another.
    """
    numbers = {name: _number(name, given[name] or f"{DEFAULTS[name]:g}") for name in DEFAULTS}
    for name in ("ring_seconds", "ring_mib"):
        if numbers[name] <= 0:
            raise SpecError(f"argument {name} is {given[name]!r}", "Allowed is a number above 0.")
    _check_ring(numbers["ring_mib"], robot, cameras=cameras)
    strategy, corrections = _strategy(given, numbers)
    resume = _flag("resume", given["resume"])
    if resume and not strategy.keeps_attempts:
        raise SpecError(f"resume true: strategy {strategy.name.value} keeps no attempts", "Leave it out.")
    recorder: dict[str, Value] = {**numbers, "strategy": strategy.name.value, "corrections": corrections}
    manager: dict[str, Value] = {
        "strategy": strategy.name.value,
        "resume": resume,
        "reset_seconds": _number("reset_seconds", given["reset_seconds"]),
    }
    return Keeping(strategy, recorder, manager, _uploader(given, strategy))


def _strategy(given: Mapping[str, str], numbers: Mapping[str, float]) -> tuple[RecordingStrategy, bool]:
    corrections = _flag("corrections", given["corrections"])
    margins = [name for name in ("correction_before", "correction_after") if given[name]]
    if margins and not corrections:
        raise SpecError(
            f"argument {margins[0]} is {given[margins[0]]!r}, but whole attempts are kept",
            "Add strategy:=dagger corrections:=true, or leave it out.",
        )
    if given["strategy"] not in DESCRIPTIONS:
        raise SpecError(f"argument strategy is {given['strategy']!r}", f"Allowed are {', '.join(DESCRIPTIONS)}.")
    margin = Margin(numbers["correction_before"], numbers["correction_after"]) if corrections else None
    strategy = make_strategy(given["strategy"], margin)
    if margin is not None and margin.before_s > numbers["ring_seconds"]:
        raise SpecError(
            f"correction_before {margin.before_s:g} s is more than ring_seconds {numbers['ring_seconds']:g}",
            "What came before a correction is taken from the ring; give a larger ring_seconds.",
        )
    return strategy, corrections


def _uploader(given: Mapping[str, str], strategy: RecordingStrategy) -> dict[str, Value]:
    name, mbit = strategy.name.value, _number("upload_mbit", given["upload_mbit"])
    if not given["upload"]:
        if strategy.must_upload:
            raise SpecError(
                f"strategy {name} uploads every attempt, but no place was given",
                "Give upload:=URL (a folder will do), or strategy:=episodic, which keeps every attempt here alone.",
            )
        if mbit:
            raise SpecError(f"upload_mbit {mbit:g}, but nothing is uploaded", "Give upload:=URL, or leave it out.")
        return {}
    if not strategy.may_upload:
        raise SpecError(f"upload {given['upload']!r}: strategy {name} keeps nothing", "Choose another strategy.")
    return {"url": check_url(given["upload"]), "mbit": mbit}


def _check_ring(mib: float, robot: RobotSpec, *, cameras: bool) -> None:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    if mib > _MEMORY_SHARE * memory:
        raise SpecError(
            f"argument ring_mib is {mib:g}, of {memory:.0f} MiB of memory",
            f"Allowed is up to {_MEMORY_SHARE * memory:.0f}: while a highlight is saved, twice as much may be needed.",
        )
    for camera in robot.cameras if cameras else ():
        image = 3 * camera.width * camera.height / 2**20
        if mib < image:
            raise SpecError(
                f"argument ring_mib is {mib:g}, and one image of camera {camera.name!r} has {image:.1f} MiB",
                "Give room for at least a second of images.",
            )


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise SpecError(f"argument {name} is {value!r}", "Allowed is a number from 0.")
    return number


def _flag(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise SpecError(f"argument {name} is {value!r}", "Allowed are true, false.")
    return value.lower() == "true"
