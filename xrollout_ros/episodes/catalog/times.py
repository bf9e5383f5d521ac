"""Times as text that sorts by time."""

from __future__ import annotations

from datetime import datetime, timezone


def utc(text: str) -> str:
    """A time as ISO 8601 in UTC with milliseconds; one that names no zone is taken as UTC.

    Raises:
        ValueError: it is no time.
        OverflowError: UTC has no such year.
    """
    # Python 3.10 does not know the Z of ISO 8601.
    moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")
