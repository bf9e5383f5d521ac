"""Identifiers: ULIDs, which sort by the time they were made."""

from __future__ import annotations

from ulid import ULID

from xrollout_ros.core.errors import SpecError


def new_id() -> str:
    """A fresh ULID, 26 characters of Crockford base 32."""
    return str(ULID())


def check_id(text: str, what: str = "episode id") -> str:
    """Return ``text`` if it is a ULID.

    Raises:
        SpecError: it is not one; an id ends up in file names, so nothing else is let through.
    """
    try:
        return str(ULID.from_str(text))
    except ValueError as error:
        raise SpecError(
            f"{what} {text!r} is not a ULID",
            "It has 26 characters of 0-9 and A-Z without I, L, O, U; `xrollout episodes list` shows those there are.",
        ) from error
