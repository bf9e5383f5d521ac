"""Tests of one fact of an episode, as a recipe writes them: what promotion rules and gates are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, StrictBool, model_validator

from xrollout_ros.core.document import Finite, Strict
from xrollout_ros.learning.pyramid.figures import FIGURES, Kind, Value

LEAST = 8
"""Demonstrations that a limit relative to them needs; with fewer there is none."""
_MAD = 1.4826
"""Makes a median absolute deviation a standard deviation, where values are normal."""


@dataclass(frozen=True)
class Spread:
    """What is usual among the demonstrations."""

    median: float
    mad: float
    """Scaled so that it is a standard deviation where values are normal."""
    count: int


def spread_of(values: Sequence[float]) -> Spread | None:
    """What is usual among values; None: too few to say."""
    if len(values) < LEAST:
        return None
    median = float(np.median(values))
    return Spread(median, _MAD * float(np.median(np.abs(np.asarray(values) - median))), len(values))


@dataclass(frozen=True)
class Verdict:
    """What became of a test."""

    passed: bool
    words: str
    """With the figure, and the limit that it was held against."""


class Condition(Strict):
    """One fact, and what is asked of it."""

    fact: str = Field(description=f"one of {', '.join(FIGURES)}")
    is_: StrictBool | str | tuple[str, ...] | None = Field(default=None, alias="is", description="truth or text; any")
    has: str | tuple[str, ...] | None = Field(default=None, description="tags: any of them")
    at_least: Finite | None = None
    at_most: Finite | None = None
    deviations: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="not so many deviations (median and median absolute deviation) worse than the task's successful "
        f"demonstrations, where there are at least {LEAST}; beside at_least or at_most the wider limit counts",
    )
    slack: Annotated[float, Field(ge=0)] = Field(
        default=0.0, description="beside `deviations`: never closer to the median than this share of it"
    )
    unknown: Literal["passes", "fails"] = Field(default="fails", description="where the fact is not known")

    @model_validator(mode="after")
    def _check(self) -> Condition:
        figure = FIGURES.get(self.fact)
        if figure is None:
            raise ValueError(f"unknown fact {self.fact!r}; known are {', '.join(FIGURES)}")
        given = {
            name for name in ("is_", "has", "at_least", "at_most", "deviations") if getattr(self, name) is not None
        }
        allowed = {
            Kind.NUMBER: {"at_least", "at_most", "deviations"},
            Kind.TEXT: {"is_"},
            Kind.TRUTH: {"is_"},
            Kind.TAGS: {"has"},
        }[figure.kind]
        names = ", ".join(sorted(name.strip("_") for name in allowed))
        if not given or not given <= allowed:
            raise ValueError(f"fact {self.fact!r} is {figure.kind.value}: ask it by {names}")
        if figure.kind is Kind.TRUTH and not isinstance(self.is_, bool):
            raise ValueError(f"fact {self.fact!r} is {figure.kind.value}: `is` must be true or false")
        if figure.kind is Kind.TEXT and isinstance(self.is_, bool):
            raise ValueError(f"fact {self.fact!r} is {figure.kind.value}: `is` must be text, or a list of it")
        return self

    def judge(self, figures: Mapping[str, Value], usual: Mapping[str, Spread]) -> Verdict:
        """Whether an episode passes.

        Args:
            figures: the episode's.
            usual: what is usual among the demonstrations, by fact.
        """
        value = figures[self.fact]
        if value is None:
            return Verdict(self.unknown == "passes", f"{self.fact} is not known")
        if isinstance(value, tuple):
            wanted = (self.has,) if isinstance(self.has, str) else self.has or ()
            found = [each for each in wanted if each in value]
            return Verdict(bool(found), f"{self.fact} {', '.join(found) or f'without {_either(wanted)}'}")
        if isinstance(value, (bool, str)):
            options = self.is_ if isinstance(self.is_, tuple) else (self.is_,)
            passed = value in options
            return Verdict(passed, f"{self.fact} {_shown(value)}" + ("" if passed else f", wanted {_either(options)}"))
        return self._number(float(value), usual.get(self.fact))

    def _number(self, value: float, usual: Spread | None) -> Verdict:
        low, high, words = self.at_least, self.at_most, ""
        if self.deviations is not None and usual is not None:
            room = max(self.deviations * usual.mad, self.slack * abs(usual.median))
            words = f" (demonstrations: median {usual.median:.3g}, deviation {usual.mad:.2g}, {usual.count} of them)"
            if FIGURES[self.fact].better > 0:
                low = usual.median - room if low is None else min(low, usual.median - room)
            else:
                high = usual.median + room if high is None else max(high, usual.median + room)
        if low is not None and value < low:
            return Verdict(False, f"{self.fact} {value:.4g} is below {low:.4g}{words}")
        if high is not None and value > high:
            return Verdict(False, f"{self.fact} {value:.4g} is above {high:.4g}{words}")
        limits = [f"{word} {limit:.4g}" for word, limit in (("at least", low), ("at most", high)) if limit is not None]
        return Verdict(True, f"{self.fact} {value:.4g}" + (f", {' and '.join(limits)} asked" if limits else ""))


def _either(options: Sequence[object]) -> str:
    return " or ".join(_shown(each) for each in options)


def _shown(value: object) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else str(value) or "none"
