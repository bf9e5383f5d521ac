"""``name:=value`` words."""

from __future__ import annotations

import pytest

from xrollout_ros.core.errors import SpecError
from xrollout_ros.ui.arguments import parse_arguments


def test_values_may_hold_anything() -> None:
    assert parse_arguments(["model:=a=b:=c.pt", "data:=", "seed:=-1"]) == {
        "model": "a=b:=c.pt",
        "data": "",
        "seed": "-1",
    }


@pytest.mark.parametrize("word", ["model", ":=x", "", "model:x"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(SpecError, match="name:=value"):
        parse_arguments([word])


def test_a_likely_slip_is_named() -> None:
    with pytest.raises(SpecError, match=r"did you mean 'model:=x\.pt'"):
        parse_arguments(["model=x.pt"])


def test_twice_is_refused() -> None:
    with pytest.raises(SpecError, match="'seed' is given twice: '1' and '2'"):
        parse_arguments(["seed:=1", "seed:=2"])
