"""From counts to a verdict: promote, reject or inconclusive. Trials are added one pair after the other; a verdict
stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Literal

from pydantic import Field

from xrollout_ros.core.document import Strict
from xrollout_ros.cycle.comparing.evidence import (
    Pairs,
    boschloo,
    e_better,
    e_not_worse,
    e_two_sample,
    holm,
    mcnemar,
    p_of,
)

Probability = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Design = Literal["paired", "unpaired"]


class Rules(Strict):
    """When a policy is better than another."""

    alpha: Probability = Field(default=0.05, description="largest probability that an equal policy is promoted")
    margin: Probability = Field(
        default=0.1, description="what success may fall by in a stratum that is still called no worse"
    )
    most: Annotated[int, Field(ge=1)] = Field(default=120, description="pairs of trials after which it ends anyway")
    trials: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="so many pairs, judged once at the end; none: after each pair, as soon as it is clear"
    )
    design: Design = Field(default="paired", description="paired: both of a pair begin at the very same start")

    @property
    def pairs(self) -> int:
        """Most pairs that there will be."""
        return self.trials or self.most


class Kind(str, Enum):
    """What follows."""

    PROMOTE = "promote"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Verdict:
    """What follows, and why."""

    kind: Kind
    reason: str
    next_step: str
    pairs: int
    """After which it was clear."""


@dataclass
class _Peak:
    """The largest that an e-value has been; by Ville's inequality this may be judged at any time."""

    value: float = 1.0

    def see(self, value: float) -> None:
        self.value = max(self.value, value)


@dataclass
class _Stratum:
    pairs: Pairs = field(default_factory=Pairs)
    not_worse: _Peak = field(default_factory=_Peak)
    worse: _Peak = field(default_factory=_Peak)


class Judge:
    """Judges two policies A and B, of which B is the new one.

    Args:
        rules: when it is better.
        strata: names of all strata that are tried.
    """

    def __init__(self, rules: Rules, strata: tuple[str, ...]) -> None:
        self.rules = rules
        self.verdict: Verdict | None = None
        """None: not clear yet. It does not change any more, whatever is added."""
        self._strata = {name: _Stratum() for name in strata}
        self._better, self._worse = _Peak(), _Peak()

    @property
    def strata(self) -> Mapping[str, Pairs]:
        """What came of the pairs, by stratum."""
        return {name: stratum.pairs for name, stratum in self._strata.items()}

    @property
    def pairs(self) -> Pairs:
        """What came of all."""
        return sum((stratum.pairs for stratum in self._strata.values()), Pairs())

    @property
    def bound(self) -> float:
        """What an e-value must reach."""
        return 1 / self.rules.alpha

    @property
    def e_value(self) -> float:
        """Now, against "B is not better than A"."""
        return self._e(self.pairs)

    @property
    def largest_e_value(self) -> float:
        """The largest that it has been."""
        return self._better.value

    def add(self, stratum: str, success_a: bool, success_b: bool) -> Verdict | None:
        """One more pair; the verdict, if it is clear now or was before.

        Raises:
            KeyError: there is no such stratum.
        """
        own = self._strata[stratum]
        own.pairs += Pairs.of([(success_a, success_b)])
        own.not_worse.see(e_not_worse(own.pairs, self.rules.margin))
        own.worse.see(e_better(own.pairs.swapped))
        pairs = self.pairs
        self._better.see(self._e(pairs))
        self._worse.see(self._e(pairs.swapped))
        if self.verdict is None:
            self.verdict = self._fixed(pairs) if self.rules.trials else self._sequential(pairs)
        return self.verdict

    def not_shown(self) -> tuple[str, ...]:
        """Strata in which B is not shown to be no worse than A, at ``alpha`` for all of them together."""
        found = holm([p_of(each.not_worse.value) for each in self._strata.values()])
        return tuple(name for name, p in zip(self._strata, found, strict=True) if p > self.rules.alpha)

    def worse_in(self) -> tuple[str, ...]:
        """Strata in which B is shown to be worse than A, at ``alpha`` for all of them together."""
        found = holm([p_of(each.worse.value) for each in self._strata.values()])
        return tuple(name for name, p in zip(self._strata, found, strict=True) if p <= self.rules.alpha)

    def p_not_worse(self) -> Mapping[str, float]:
        """By stratum, adjusted (Holm): how compatible the trials are with B being worse by the margin."""
        adjusted = holm([p_of(each.not_worse.value) for each in self._strata.values()])
        return dict(zip(self._strata, adjusted, strict=True))

    # --- both ways of judging -----------------------------------------------------------------------------------

    def _e(self, pairs: Pairs) -> float:
        if self.rules.design == "paired":
            return e_better(pairs)
        return e_two_sample(pairs.successes_a, pairs.successes_b, pairs.count)

    def _rejected(self, pairs: Pairs, *, worse: bool, seen: str) -> Verdict | None:
        """B is worse: of all trials, or in a stratum."""
        if worse:
            return self._say(Kind.REJECT, pairs, f"B is worse than A: {seen}", _KEEP)
        if strata := self.worse_in():
            told = "; ".join(f"{name} {_counts(self._strata[name].pairs)}" for name in strata)
            return self._say(Kind.REJECT, pairs, f"B is worse than A from these starts: {told}", _KEEP)
        return None

    def _sequential(self, pairs: Pairs) -> Verdict | None:
        better = self._better.value >= self.bound
        seen = f"{_counts(pairs)}, e-value {_number(self._better.value)} of {self.bound:g}"
        if rejected := self._rejected(pairs, worse=self._worse.value >= self.bound, seen=_counts(pairs)):
            return rejected
        not_shown = self.not_shown()
        if better and not not_shown:
            return self._say(Kind.PROMOTE, pairs, f"B is better than A: {seen}", _PROMOTE)
        left = self.rules.most - pairs.count
        if left <= 0:
            return self._say(Kind.INCONCLUSIVE, pairs, self._unclear(better, not_shown, seen), _MORE)
        if not better and self._cannot(pairs, left):
            why = f"not even {left} more wins of B would show that it is better: {seen}"
            return self._say(Kind.INCONCLUSIVE, pairs, why, _MORE)
        return None

    def _cannot(self, pairs: Pairs, left: int) -> bool:
        """Whether B cannot be shown to be better any more; each win makes the e-value larger."""
        return self._e(pairs + Pairs(only_b=left)) < self.bound

    def _fixed(self, pairs: Pairs) -> Verdict | None:
        if pairs.count < self.rules.pairs:
            return None
        p, other, name = self._exact(pairs), self._exact(pairs.swapped), self._test
        seen = f"{_counts(pairs)}, {name} p {p:.3g}"
        seen_worse = f"{_counts(pairs)}, {name} p {other:.3g}"
        if rejected := self._rejected(pairs, worse=other <= self.rules.alpha, seen=seen_worse):
            return rejected
        not_shown = self.not_shown()
        if p <= self.rules.alpha and not not_shown:
            return self._say(Kind.PROMOTE, pairs, f"B is better than A: {seen}", _PROMOTE)
        return self._say(Kind.INCONCLUSIVE, pairs, self._unclear(p <= self.rules.alpha, not_shown, seen), _MORE)

    @property
    def _test(self) -> str:
        return "McNemar's exact test" if self.rules.design == "paired" else "Boschloo's exact test"

    def _exact(self, pairs: Pairs) -> float:
        if self.rules.design == "paired":
            return mcnemar(pairs)
        return boschloo(pairs.successes_a, pairs.successes_b, pairs.count)

    def _unclear(self, better: bool, not_shown: tuple[str, ...], seen: str) -> str:
        if not better:
            return f"B is not shown to be better than A: {seen}"
        told = ", ".join(not_shown)
        margin = f"{self.rules.margin:.0%}"
        return f"B is better than A ({seen}), but not shown to be within {margin} of it from these starts: {told}"

    @staticmethod
    def _say(kind: Kind, pairs: Pairs, reason: str, next_step: str) -> Verdict:
        return Verdict(kind, reason, next_step, pairs.count)


_PROMOTE = "Deploy B: `xrollout up deploy model:=B`, or load it into the running graph."
_KEEP = "Keep A. Look at what B failed at: `xrollout mine` over its attempts."
_MORE = "Keep A. More pairs (--most), or a larger difference: more data for the failure mode that is left."


def _counts(pairs: Pairs) -> str:
    return (
        f"{pairs.successes_b}/{pairs.count} against {pairs.successes_a}/{pairs.count}, "
        f"{pairs.only_b} won and {pairs.only_a} lost"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) and value < 1e6 else ("∞" if math.isinf(value) else f"{value:.1e}")
