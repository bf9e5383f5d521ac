"""Wording of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.ui import text


@pytest.mark.parametrize(
    ("n_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (999_600, "1.0 MB"), (78e9, "78.0 GB"),
     (123e9, "123 GB"), (5e15, "5000.0 TB")],
)  # fmt: skip
def test_size(n_bytes: float, shown: str) -> None:
    assert text.size(n_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (2.46, "2.5 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7620, "2 h 07 min")],
)
def test_duration(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.00042, "0.42 ms"), (0.0172, "17 ms"), (1.23, "1.2 s"), (0.0, "0 ms")]
)
def test_milliseconds(seconds: float, shown: str) -> None:
    assert text.milliseconds(seconds) == shown


@given(st.floats(0, 1e6))
def test_a_duration_never_shows_sixty(seconds: float) -> None:
    assert "60 s" not in text.duration(seconds)
    assert "60 min" not in text.duration(seconds)


def test_plural() -> None:
    assert [text.plural(n, "episode") for n in (0, 1, 2)] == ["0 episodes", "1 episode", "2 episodes"]
