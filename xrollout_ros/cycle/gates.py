"""Gates between environment levels: a policy goes to the next one when it has passed the one before.

Certificates lie beside the checkpoint, ``checkpoint.pt.gates.json``, and name its hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.document import Strict
from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.core.levels import MEANING, Level, level_before
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.wilson import wilson
from xrollout_ros.cycle.record import write

SUFFIX = ".gates.json"
ASKED: dict[Level, float] = {"L0": 0.6, "L1": 0.6, "L2": 0.75, "L3": 0.85, "L4": 0.9}
"""The lower bound of success (Wilson, 95 %) that each level's gate asks for."""
_AGAIN = "Delete it, and pass the gates again."
LEAST = 20
"""Attempts that a gate is judged by at least."""


class Certificate(Strict):
    """A level that a policy has passed, or that somebody has waived."""

    level: Level
    successes: int
    attempts: int
    low: float = Field(description="Wilson's lower bound of success, 95 %")
    asked: float
    waived: str = Field(default="", description="why it was passed over; empty: it was passed")
    by: str
    at: str


class Certificates(Strict):
    """The document beside a checkpoint."""

    format: Literal["xrollout.gates"] = "xrollout.gates"
    version: Literal[1] = 1
    checkpoint_hash: Annotated[str, Field(min_length=1)]
    passed: tuple[Certificate, ...] = ()


def sidecar_of(checkpoint: Path) -> Path:
    """Where the certificates of a checkpoint are."""
    return checkpoint.with_name(checkpoint.name + SUFFIX)


def read_certificates(checkpoint: Path, checkpoint_hash: str) -> Certificates:
    """What a checkpoint has passed; nothing, where there is no file.

    Raises:
        CheckpointError: the file is damaged, or of another checkpoint.
    """
    path = sidecar_of(checkpoint)
    try:
        found = Certificates.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return Certificates(checkpoint_hash=checkpoint_hash)
    except (OSError, ValidationError) as error:
        raise CheckpointError(f"gates {path} cannot be read ({error})", _AGAIN) from error
    if found.checkpoint_hash != checkpoint_hash:
        raise CheckpointError(
            f"gates {path} are of another checkpoint ({found.checkpoint_hash[:12]}, not {checkpoint_hash[:12]})",
            _AGAIN,
        )
    return found


def asked_of(level: Level, changed: Mapping[Level, float] | None = None) -> float:
    """The lower bound of success that a level's gate asks for."""
    return float((changed or {}).get(level, ASKED[level]))


def judge(level: Level, successes: int, attempts: int, asked: float) -> str:
    """Why a gate is not passed; empty: it is."""
    low, _ = wilson(successes, attempts)
    if attempts < LEAST:
        return f"{attempts} attempts at {level}, a gate is judged by {LEAST} or more"
    if low < asked:
        return (
            f"{successes} of {attempts} attempts at {level} succeeded: at least {low:.0%} (95 %), asked is {asked:.0%}"
        )
    return ""


def certify(
    checkpoint: Path, checkpoint_hash: str, level: Level, successes: int, attempts: int, asked: float, by: str,
    clock: Clock, *, waived: str = "",
) -> Certificate:  # fmt: skip
    """Write down that a gate is passed; the caller has judged it.

    Raises:
        CheckpointError: what is beside the checkpoint is damaged.
        DataError: the disk refuses.
    """
    before = read_certificates(checkpoint, checkpoint_hash)
    made = Certificate(
        level=level, successes=successes, attempts=attempts, low=wilson(successes, attempts)[0], asked=asked,
        waived=waived, by=by, at=utc_now(clock),
    )  # fmt: skip
    kept = tuple(each for each in before.passed if each.level != level)
    write(before.model_copy(update={"passed": (*kept, made)}), sidecar_of(checkpoint))
    return made


def default_level(robot: RobotSpec) -> Level:
    """The level of a robot where none is named: simulation, or the test stand."""
    return "L0" if robot.sim is not None else "L1"


def check_gate(robot: RobotSpec, level: Level, checkpoint: Path, checkpoint_hash: str) -> None:
    """Refuse a policy at a level whose gate before it has not passed.

    The first level of a real robot that names no simulation is L1: there is nothing to pass before it.

    Raises:
        CheckpointError: it has not, or the certificates are damaged.
    """
    before = level_before(level)
    if before is None or (before == "L0" and robot.sim is None and not robot.simulation):
        return
    passed = {each.level for each in read_certificates(checkpoint, checkpoint_hash).passed}
    if before not in passed:
        told = ", ".join(sorted(passed)) or "none"
        raise CheckpointError(
            f"{checkpoint} is to be deployed at {level} ({MEANING[level]}) and has not passed the gate of {before} "
            f"({MEANING[before]}); passed: {told}",
            f"Deploy it at {before} (level:={before}), then `xrollout gate {checkpoint} --level {before}`; or say why "
            "not: --waive REASON.",
        )
