"""Errors that tell a person what is wrong, with which value, what is allowed and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


class XRolloutError(Exception):
    """Base of every error that a user can cause and mend.

    Args:
        what: what is wrong, naming the thing and its value.
        remedy: what is allowed, and what to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str = "") -> None:
        self.what = what
        self.remedy = remedy
        super().__init__(f"{what}. {remedy}" if remedy else what)

    @property
    def facts(self) -> dict[str, Any]:
        """What a program may want to know besides: names and figures."""
        return {}


class SpecError(XRolloutError):
    """A RobotSpec, TaskSpec or argument is wrong or unknown."""

    exit_code = 2


class CheckpointError(XRolloutError):
    """A checkpoint is missing, unsafe, damaged or made for something else."""

    exit_code = 3


class BagError(XRolloutError):
    """A bag is missing, damaged, foreign, or cannot be written."""

    exit_code = 4


class ForeignBagError(BagError):
    """A bag was not written by XRollout: its messages are there, but it is no episode."""


class DataError(XRolloutError):
    """Files or folders do not hold what the command needs, or cannot be written."""

    exit_code = 5


class GraphError(XRolloutError):
    """The ROS graph could not be started, or something in it gave up."""

    exit_code = 6


class TrainingDivergedError(XRolloutError):
    """The loss is no longer a finite number."""

    exit_code = 7


def check_name(what: str, text: str, pattern: str, allowed: str) -> str:
    """Return ``text`` if it fits a pattern.

    Args:
        what: what it is to name.
        text: the name.
        pattern: a regular expression for all of it.
        allowed: the same in words.

    Raises:
        DataError: it does not fit.
    """
    if not re.fullmatch(pattern.strip("^$"), text):
        raise DataError(f"{what} {text!r} is not allowed", f"Use {allowed}.")
    return text


def first_problem(error: ValidationError) -> str:
    """Where in a document the first thing is wrong, and what; for documents that nobody writes by hand."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "the whole document"
    return f"{where}: {first['msg']}"


def from_validation(
    error: ValidationError,
    what: str,
    origin: str | Path,
    remedy: str,
    place: Callable[[tuple[int | str, ...]], str] | None = None,
) -> SpecError:
    """Turn pydantic's report into one SpecError that names each field, its value and what is allowed.

    Args:
        error: pydantic's report.
        what: kind of the document, e.g. ``"RobotSpec"``.
        origin: where the document came from.
        remedy: what the reader should do.
        place: names a field by its location, where that is not how the reader knows it.
    """
    lines = []
    for item in error.errors(include_url=False):
        where = (place(item["loc"]) if place else ".".join(map(str, item["loc"]))) or "(whole document)"
        value = item.get("input")
        shown = f" (value {value!r})" if not isinstance(value, (dict, list)) else ""
        lines.append(f"{where}{shown}: {item['msg'].removeprefix('Value error, ')}")
    return SpecError(f"{what} {origin} is not valid: " + "; ".join(lines), remedy)
