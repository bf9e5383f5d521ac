"""Numbers as people read them; one wording for the terminal, the lists and the report."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(n_bytes: float) -> str:
    """Bytes in decimal units: ``1.4 MB``."""
    value = float(n_bytes)
    for unit in _UNITS[:-1]:
        if abs(value) < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Time in the largest units that matter: ``0.4 s``, ``42 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def milliseconds(seconds: float) -> str:
    """A short time: ``0.42 ms``, ``17 ms``, ``1.2 s``."""
    ms = seconds * 1000
    if ms < 9.95:
        return f"{ms:.2g} ms"
    return f"{ms:.0f} ms" if ms < 999.5 else f"{seconds:.1f} s"


def moment(iso: str) -> str:
    """An ISO 8601 time to the second: ``2026-01-31 12:30:05``."""
    return iso[:19].replace("T", " ")


def plural(n: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
