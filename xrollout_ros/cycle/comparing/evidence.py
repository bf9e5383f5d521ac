"""Evidence from trials of two policies, A and B. Pure functions of counts.

Everything named *e-value* may be looked at after each trial, and trials may stop at any time for any reason: under its
null hypothesis its expectation is at most 1 at every stopping time, so by Ville's inequality the probability that it
ever reaches ``1/alpha`` is at most ``alpha`` (Ville 1939; Ramdas, Grünwald, Vovk and Shafer 2023, arXiv:2210.01948). A
p-value of a test for a number of trials that was fixed before has no such property.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_BETS = 64
"""Bets of a mixture: midpoints of equal parts of all that are allowed."""
_RATES = 24
"""Success rates on each axis of the grid of alternatives."""
_TOLERANCE = 1e-4
_KEPT = 2**14
"""E-values that are not computed again: they are asked for after each trial, of few different counts."""


@dataclass(frozen=True)
class Pairs:
    """What came of pairs of trials: one of A and one of B from the same start."""

    both: int = 0
    only_b: int = 0
    """B succeeded and A did not: a win of B."""
    only_a: int = 0
    neither: int = 0

    @classmethod
    def of(cls, outcomes: Sequence[tuple[bool, bool]]) -> Pairs:
        """Counted from the successes of A and B."""
        counted = [outcomes.count(each) for each in ((True, True), (False, True), (True, False), (False, False))]
        return cls(*counted)

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(
            self.both + other.both, self.only_b + other.only_b, self.only_a + other.only_a, self.neither + other.neither
        )

    @property
    def count(self) -> int:
        """Pairs."""
        return self.both + self.only_b + self.only_a + self.neither

    @property
    def successes_a(self) -> int:
        """Of A."""
        return self.both + self.only_a

    @property
    def successes_b(self) -> int:
        """Of B."""
        return self.both + self.only_b

    @property
    def swapped(self) -> Pairs:
        """The same, A and B exchanged."""
        return Pairs(self.both, self.only_a, self.only_b, self.neither)


@lru_cache(_KEPT)
def e_better(pairs: Pairs) -> float:
    """E-value against "B is not better than A", from the pairs in which they differ.

    With b wins and c losses, n = b + c: ``2^(n+1) ∫ θ^b (1 - θ)^c dθ`` from 1/2 to 1, the mean over all θ of how much
    better θ explains the wins than 1/2 does. It holds for paired trials, and for unpaired ones that are made two and
    two.
    """
    from scipy import special

    wins, losses = pairs.only_b, pairs.only_a
    tail = float(special.betainc(losses + 1, wins + 1, 0.5))
    if tail <= 0:
        return 0.0
    log = (wins + losses + 1) * math.log(2) + float(special.betaln(wins + 1, losses + 1)) + math.log(tail)
    return _exp(log)


@lru_cache(_KEPT)
def e_not_worse(pairs: Pairs, margin: float) -> float:
    """E-value against "B's success rate is lower than A's by ``margin`` or more".

    The difference of a pair is 1, 0 or -1 and its expectation under the null at most ``-margin``, so a bet λ multiplies
    the wealth by ``1 + λ (difference + margin)``, and the mean over bets is an e-value (Waudby-Smith and Ramdas 2024,
    arXiv:2010.09686). Pairs that do not differ count too: they speak for "not worse".

    Args:
        pairs: the trials.
        margin: above 0, below 1.
    """
    return _bet(pairs.only_b, pairs.count - pairs.only_b - pairs.only_a, pairs.only_a, -margin)


@lru_cache(_KEPT)
def e_two_sample(successes_a: int, successes_b: int, count: int) -> float:
    """E-value against "B is not better than A", from as many trials of each that share no start.

    For a block of one trial of each and an alternative a < b with mean m: the likelihood under a and b over that under
    m and m (Turner, Ly and Grünwald 2024, arXiv:2106.02693); here the mean over a grid of alternatives. Its expectation
    is the product of two lines in the true rates, ``1 - s (p_a - m)`` and ``1 + s (p_b - m)`` with s ≥ 0, which is at
    most 1 wherever p_b ≤ p_a.

    Args:
        successes_a: of A.
        successes_b: of B.
        count: trials of each.
    """
    a, b, mean = _alternatives()
    logs = (
        successes_a * np.log(a / mean)
        + (count - successes_a) * np.log((1 - a) / (1 - mean))
        + successes_b * np.log(b / mean)
        + (count - successes_b) * np.log((1 - b) / (1 - mean))
    )
    return _exp(_log_mean(logs))


def difference(pairs: Pairs, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of B's success rate less A's that holds at every time at once: a confidence sequence.

    All differences are in it against which neither the e-value that bets on more nor the one that bets on less has
    reached ``2 / (1 - confidence)``.
    """
    bound = 2 / (1 - confidence)
    ties = pairs.count - pairs.only_b - pairs.only_a

    def too_low(value: float) -> bool:
        return _bet(pairs.only_b, ties, pairs.only_a, value) >= bound

    def too_high(value: float) -> bool:
        return _bet(pairs.only_a, ties, pairs.only_b, -value) >= bound

    middle = (pairs.only_b - pairs.only_a) / pairs.count if pairs.count else 0.0
    low = _edge(too_low, -1.0, middle)
    high = -_edge(lambda value: too_high(-value), -1.0, -middle)
    return low, high


def rate_sequence(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a success rate that holds at every time at once.

    All rates are in it that explain the trials at most ``1 / (1 - confidence)`` times worse than the mean over all
    rates does, weighed by Jeffreys' prior (Robbins 1970; Howard, Ramdas, McAuliffe and Sekhon 2021, arXiv:1810.08240).
    """
    if not trials:
        return 0.0, 1.0
    from scipy import special

    failures = trials - successes
    mixed = float(special.betaln(successes + 0.5, failures + 0.5) - special.betaln(0.5, 0.5))
    bound = math.log(1 / (1 - confidence))

    def refuted(rate: float) -> bool:
        likely = float(special.xlogy(successes, rate) + special.xlog1py(failures, -rate))
        return mixed - likely >= bound

    rate = successes / trials
    low = _edge(refuted, 0.0, rate)
    high = 1 - _edge(lambda value: refuted(1 - value), 0.0, 1 - rate)
    return low, high


@lru_cache(_KEPT)
def e_fell(before: tuple[int, int], since: tuple[int, int]) -> float:
    """E-value against "the success rate is at least what it was", for a past that is closed and a present that goes on.

    The probability of all that was seen, averaged over pairs of rates of which the later is lower, over the largest
    that any pair gives it of which the later is not: universal inference (Wasserman, Ramdas and Balakrishnan 2020,
    arXiv:1912.11436).

    Args:
        before: successes and trials until then.
        since: successes and trials from then on.
    """
    from scipy import special

    (s0, n0), (s1, n1) = before, since
    if not n0 or not n1:
        return 1.0

    def log_likelihood(successes: int, trials: int, rate: Floats | float) -> Any:
        return special.xlogy(successes, rate) + special.xlog1py(trials - successes, -np.asarray(rate))

    free = s1 / n1 >= s0 / n0
    pooled = (s0 + s1) / (n0 + n1)
    null = (
        float(log_likelihood(s0, n0, s0 / n0) + log_likelihood(s1, n1, s1 / n1))
        if free
        else float(log_likelihood(s0 + s1, n0 + n1, pooled))
    )
    low, high, _ = _alternatives()
    return _exp(_log_mean(log_likelihood(s0, n0, high) + log_likelihood(s1, n1, low)) - null)


# --- a number of trials that was fixed before
# ---------------------------------------------------------------------------


def mcnemar(pairs: Pairs) -> float:
    """One-sided exact p-value of "B is not better than A" for paired trials (McNemar 1947)."""
    from scipy import stats

    differ = pairs.only_a + pairs.only_b
    return float(stats.binomtest(pairs.only_b, differ, 0.5, alternative="greater").pvalue) if differ else 1.0


def boschloo(successes_a: int, successes_b: int, count: int) -> float:
    """One-sided exact p-value for unpaired trials, as many of each (Boschloo 1970)."""
    return _exact("boschloo_exact", successes_a, successes_b, count)


def barnard(successes_a: int, successes_b: int, count: int) -> float:
    """One-sided exact p-value for unpaired trials, as many of each (Barnard 1945)."""
    return _exact("barnard_exact", successes_a, successes_b, count)


def _exact(name: str, successes_a: int, successes_b: int, count: int) -> float:
    from scipy import stats

    if not count or successes_a == successes_b in (0, count):
        return 1.0
    table = [[successes_b, successes_a], [count - successes_b, count - successes_a]]
    return float(getattr(stats, name)(table, alternative="greater").pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """P-values adjusted so that all may be judged at one level (Holm 1979), in the order given."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted, most = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        most = max(most, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = most
    return adjusted


def p_of(e_value: float) -> float:
    """The p-value that an e-value gives: also valid at any time."""
    return 1.0 if e_value <= 1 else 1 / e_value


# --- parts ------------------------------------------------------------------------------------------------------------


def _bet(wins: int, ties: int, losses: int, mean: float) -> float:
    """Mean wealth of bets that the differences lie above ``mean``, from -1 to below 1."""
    if mean >= 1:
        return 0.0
    if mean <= -1:
        # No difference lies below: it is refuted by anything above, and by nothing else.
        return math.inf if wins or ties else 1.0
    bets = (np.arange(_BETS) + 0.5) / _BETS / (1 + mean)
    with np.errstate(divide="ignore"):
        logs = np.zeros(_BETS)
        for count, value in ((wins, 1.0), (ties, 0.0), (losses, -1.0)):
            if count:
                logs = logs + count * np.log1p(bets * (value - mean))
    return _exp(_log_mean(logs))


def _edge(refuted: Any, low: float, high: float) -> float:
    """Where between ``low`` and ``high`` it stops being refuted; ``high`` never is."""
    if not refuted(low + _TOLERANCE):
        return low
    below, above = low, high
    while above - below > _TOLERANCE:
        middle = (below + above) / 2
        below, above = (middle, above) if refuted(middle) else (below, middle)
    return below


@lru_cache
def _alternatives() -> tuple[Floats, Floats, Floats]:
    """Pairs of rates of which the first is lower, and their means."""
    rates = (np.arange(_RATES) + 0.5) / _RATES
    lower, upper = np.triu_indices(_RATES, 1)
    a, b = rates[lower], rates[upper]
    return a, b, (a + b) / 2


def _log_mean(logs: Floats) -> float:
    top = float(np.max(logs))
    return top if not math.isfinite(top) else top + math.log(float(np.mean(np.exp(logs - top))))


def _exp(log: float) -> float:
    return math.exp(log) if log < 700 else math.inf
