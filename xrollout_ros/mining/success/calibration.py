"""Probabilities out of scores, and how far they can be believed on episodes that were held out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.signals import Floats

BINS = 10
Bools = npt.NDArray[np.bool_]


class Platt(NamedTuple):
    """p = 1 / (1 + exp(-(slope · score + offset))).

    J. Platt: Probabilistic outputs for support vector machines, 1999.
    """

    slope: float
    offset: float

    def __call__(self, score: Floats) -> Floats:
        """(M,) probabilities of (M,) scores."""
        probability: Floats = 1.0 / (1.0 + np.exp(-np.clip(self.slope * score + self.offset, -60, 60)))
        return probability


def fit_platt(score: Floats, success: Bools) -> Platt:
    """Fit it to scores of episodes that the scoring was not trained on.

    As Platt has it, each outcome counts as a little less than certain, the less the fewer there are; else scores that
    tell all apart would make everything certain.

    Raises:
        ValueError: there is only one outcome.
    """
    from sklearn.linear_model import LogisticRegression

    good, bad = int(success.sum()), int((~success).sum())
    if not good or not bad:
        raise ValueError("one outcome only")
    target = np.where(success, (good + 1) / (good + 2), 1 / (bad + 2))
    # A target between the outcomes is both of them, each with its weight.
    both = np.concatenate([np.ones(len(score)), np.zeros(len(score))])
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(
        np.concatenate([score, score])[:, None], both, np.concatenate([target, 1 - target])
    )
    return Platt(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]))


class Bin(NamedTuple):
    """Episodes of about the same probability."""

    low: float
    high: float
    episodes: int
    predicted: float
    """Mean probability of success."""
    observed: float
    """Share of successes."""
    observed_low: float
    observed_high: float
    """Its 95 % Wilson interval."""


@dataclass(frozen=True)
class Quality:
    """How good the probabilities of held-out episodes are."""

    episodes: int
    successes: int
    auc: float
    """How often a success is given more than a failure; 0.5: it can't tell them apart."""
    auc_low: float
    auc_high: float
    """95 % interval, see :func:`auc_interval`."""
    brier: float
    """Mean squared error of the probability (G. Brier 1950)."""
    brier_of_rate: float
    """The same of who always says the rate of successes."""
    ece: float
    """Expected calibration error: mean distance of predicted and observed over the bins, by their size."""
    bins: tuple[Bin, ...]


def quality(probability: Floats, success: Bools) -> Quality:
    """Measure (M,) probabilities against (M,) outcomes.

    Raises:
        ValueError: there is only one outcome.
    """
    good, bad = int(success.sum()), int((~success).sum())
    if not good or not bad:
        raise ValueError("one outcome only")
    area = auc(probability, success)
    low, high = auc_interval(area, good, bad)
    bins = reliability(probability, success)
    rate = good / len(success)
    return Quality(
        episodes=len(success),
        successes=good,
        auc=area,
        auc_low=low,
        auc_high=high,
        brier=float(((probability - success) ** 2).mean()),
        brier_of_rate=rate * (1 - rate),
        ece=sum(each.episodes * abs(each.predicted - each.observed) for each in bins) / len(success),
        bins=bins,
    )


def reliability(probability: Floats, success: Bools, bins: int = BINS) -> tuple[Bin, ...]:
    """Bins of equal width that hold anything."""
    number = np.minimum((probability * bins).astype(int), bins - 1)
    found = []
    for each in range(bins):
        inside = number == each
        count, good = int(inside.sum()), int(success[inside].sum())
        if count:
            predicted = float(probability[inside].mean())
            found.append(Bin(each / bins, (each + 1) / bins, count, predicted, good / count, *wilson(good, count)))
    return tuple(found)


def auc(score: Floats, success: Bools) -> float:
    """Area under the ROC curve: the Mann–Whitney statistic, ties by half."""
    from scipy.stats import rankdata

    good, bad = int(success.sum()), int((~success).sum())
    ranks = rankdata(score)
    return float((ranks[success].sum() - good * (good + 1) / 2) / (good * bad))


def auc_interval(area: float, good: int, bad: int, confidence: float = 0.95) -> tuple[float, float]:
    """Areas that the found one agrees with.

    R. Newcombe: Confidence intervals for an effect size measure based on the Mann–Whitney statistic, part 2, Statistics
    in Medicine 25 (2006), method 5: the score interval with the variance of Hanley and McNeil. It has a width where the
    area is 1, too.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (good + bad) / 2 - 1

    def beyond(true: float) -> bool:
        spread = true * (1 - true) * (1 + middle * ((1 - true) / (2 - true) + true / (1 + true))) / (good * bad)
        return abs(area - true) > z * math.sqrt(max(spread, 0.0))

    def edge(outside: float) -> float:
        inside = area
        if not beyond(outside):
            return outside
        for _ in range(60):
            half = (inside + outside) / 2
            inside, outside = (inside, half) if beyond(half) else (half, outside)
        return inside

    return edge(0.0), edge(1.0)
