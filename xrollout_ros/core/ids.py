"""Identifiers: ULIDs, which sort by the time they were made.

Their library asks for its own version and so imports a good part of Python's; it is imported when an id is made.
"""

from __future__ import annotations

from xrollout_ros.core.errors import SpecError


def new_id() -> str:
    """A fresh ULID, 26 characters of Crockford base 32."""
    from ulid import ULID

    return str(ULID())


def is_id(text: str) -> bool:
    """Whether a text is a ULID."""
    try:
        check_id(text)
    except SpecError:
        return False
    return True


def check_id(text: str, what: str = "episode id") -> str:
    """Return ``text`` if it is a ULID.

    Raises:
        SpecError: it is not one; an id ends up in file names, so nothing else is let through.
    """
    from ulid import ULID

    try:
        return str(ULID.from_str(text))
    except ValueError as error:
        raise SpecError(
            f"{what} {text!r} is not a ULID",
            "It has 26 characters of 0-9 and A-Z without I, L, O, U; `xrollout episodes list` shows those there are.",
        ) from error
