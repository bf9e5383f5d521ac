"""Times as text that sorts by time."""

from __future__ import annotations

import re
from datetime import datetime, timezone


def utc(text: str) -> str:
    """A time as ISO 8601 in UTC with milliseconds; one that names no zone is taken as UTC.

    Raises:
        ValueError: it is no time.
        OverflowError: UTC has no such year.
    """
    # Python 3.10 knows neither the Z of ISO 8601, nor fractions of other than three or six digits.
    text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    moment = datetime.fromisoformat(re.sub(r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", text))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")
