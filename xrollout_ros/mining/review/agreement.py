"""How well two reviewers agree, beyond what chance would make of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.review.decisions import Word

ENOUGH = 30
"""Episodes seen by both; with fewer the figure says little."""


@dataclass(frozen=True)
class Kappa:
    """Cohen's κ of two reviewers (Cohen 1960)."""

    n: int
    """Episodes that both have judged."""
    agreed: int
    value: float | None
    """None: both said one and the same of all, so that chance explains it as well."""
    low: float | None
    """Of the 95 % interval from the asymptotic standard error (Fleiss, Cohen and Everitt 1969); None: there is none
    to be estimated, because they agree or disagree about everything."""
    high: float | None

    @property
    def share(self) -> tuple[float, float, float]:
        """How many they agree about, with its Wilson interval."""
        return (self.agreed / self.n if self.n else math.nan, *wilson(self.agreed, self.n))


def cohen_kappa(first: Sequence[str], second: Sequence[str], confidence: float = 0.95) -> Kappa:
    """κ of two reviewers' words on the same episodes, in the same order.

    Raises:
        ValueError: they are not equally many.
    """
    n, agreed = len(first), sum(a == b for a, b in zip(first, second, strict=True))
    if len({*first, *second}) < 2:
        return Kappa(n, agreed, None, None, None)
    from sklearn.metrics import cohen_kappa_score

    value = float(cohen_kappa_score(list(first), list(second)))
    error = _standard_error(first, second, value)
    if error < 1e-12:
        return Kappa(n, agreed, value, None, None)
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    return Kappa(n, agreed, value, max(-1.0, value - half), min(1.0, value + half))


def _standard_error(first: Sequence[str], second: Sequence[str], kappa: float) -> float:
    n = len(first)
    rows, columns = Counter(first), Counter(second)
    chance = sum(rows[label] * columns[label] for label in rows) / n**2
    spread = -((kappa - chance * (1 - kappa)) ** 2)
    for (a, b), count in Counter(zip(first, second, strict=True)).items():
        if a == b:
            spread += count / n * (1 - (rows[a] + columns[a]) / n * (1 - kappa)) ** 2
        else:
            spread += (1 - kappa) ** 2 * count / n * ((columns[a] + rows[b]) / n) ** 2
    return math.sqrt(max(spread, 0.0) / n) / (1 - chance)


@dataclass(frozen=True)
class Agreement:
    """What two reviewers say of the episodes that both have judged."""

    first: str
    second: str
    """Authors, in alphabetical order."""
    outcomes: Kappa
    """How it ended."""
    modes: Kappa
    """Why; how it ended where nothing is said of why."""
    confusion: dict[tuple[str, str], int]
    """How often the first said this and the second that."""
    differing: tuple[tuple[str, Word, Word], ...]
    """Episodes about which they differ, and what each says."""

    @property
    def enough(self) -> bool:
        """Whether the figures can be relied on."""
        return self.modes.n >= ENOUGH


def agreements(words: Mapping[str, Mapping[str, Word]]) -> list[Agreement]:
    """Agreement of every two reviewers who have judged the same episodes; those with the most in common first.

    Args:
        words: of each episode, each reviewer's last word.
    """
    authors = sorted({author for said in words.values() for author in said})
    found = [_agreement(first, second, words) for first, second in combinations(authors, 2)]
    return sorted((each for each in found if each is not None), key=lambda each: -each.modes.n)


def _agreement(first: str, second: str, words: Mapping[str, Mapping[str, Word]]) -> Agreement | None:
    both = {name: (said[first], said[second]) for name, said in words.items() if first in said and second in said}
    if not both:
        return None
    pairs = list(both.values())
    labels = [(one.label, other.label) for one, other in pairs]
    return Agreement(
        first,
        second,
        cohen_kappa([one.outcome.value for one, _ in pairs], [other.outcome.value for _, other in pairs]),
        cohen_kappa([one for one, _ in labels], [other for _, other in labels]),
        dict(Counter(labels).most_common()),
        tuple((name, *pair) for name, pair in both.items() if pair[0].label != pair[1].label),
    )
