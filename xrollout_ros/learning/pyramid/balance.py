"""How many episodes of a level there are, and how much each weighs beside the others. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.wilson import wilson
from xrollout_ros.learning.pyramid.recipe import Balance
from xrollout_ros.mining.starts import farthest_points

Floats = npt.NDArray[np.float64]
_ROUNDS = 100
_CLOSE = 1e-9


@dataclass(frozen=True)
class Item:
    """An episode as far as it is balanced."""

    id: str
    stratum: str
    cluster: str
    """Failure mode; empty: none, and none is capped or raised for it."""
    rows: int
    """That train."""
    demonstrated: int
    """Of these."""
    point: tuple[float, ...]
    """Its start; empty: not known."""


@dataclass(frozen=True)
class Cost:
    """What a failure mode costs among the attempts."""

    failures: int
    attempts: int
    severity: float
    """Mean of its failures'."""

    @property
    def score(self) -> float:
        """The lower bound of its frequency × severity, as mining ranks it."""
        return wilson(self.failures, self.attempts)[0] * self.severity if self.attempts else 0.0


def select(items: Sequence[Item], balance: Balance) -> dict[str, str]:
    """Episodes that a cap cuts, and why; of those that stay the starts lie far apart.

    A cap on a failure mode cuts that one; a cap on the level takes from each stratum as evenly as there is.
    """
    cut: dict[str, str] = {}
    if balance.most_per_cluster is not None:
        for name, group in _grouped(items, "cluster").items():
            kept = _spread(group, balance.most_per_cluster) if name else {each.id for each in group}
            why = f"cap: {balance.most_per_cluster} episodes of a failure mode, there are {len(group)} of {name}"
            cut |= {each.id: why for each in group if each.id not in kept}
    left = [item for item in items if item.id not in cut]
    if balance.most is not None and len(left) > balance.most:
        groups = _grouped(left, "stratum")
        shares = _even({name: len(group) for name, group in groups.items()}, balance.most)
        kept = {each for name, group in groups.items() for each in _spread(group, shares[name])}
        why = f"cap: {balance.most} episodes of the level, there are {len(left)}"
        cut |= {item.id: why for item in left if item.id not in kept}
    return cut


def _grouped(items: Sequence[Item], by: str) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda each: each.id):
        found[getattr(item, by)].append(item)
    return dict(sorted(found.items()))


def _even(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """So many of each group that there are ``most`` in all, the same of each where there are enough."""
    shares, left = dict.fromkeys(counts, 0), most
    while left:
        open_ = [name for name in counts if shares[name] < counts[name]]
        each = max(1, left // len(open_))
        for name in open_:
            taken = min(each, counts[name] - shares[name], left)
            shares[name] += taken
            left -= taken
    return shares


def _spread(items: Sequence[Item], count: int) -> set[str]:
    """Ids of so many items whose starts lie far apart (Gonzalez 1985), those with no known start last."""
    known = [item for item in items if item.point]
    points = np.array([item.point for item in known]) if known else np.zeros((0, 1))
    chosen = [known[index].id for index in farthest_points(points, count)]
    chosen += [item.id for item in [*known, *items] if item.id not in set(chosen)]
    return set(list(dict.fromkeys(chosen))[:count])


def weights(items: Sequence[Item], balance: Balance, costs: Mapping[str, Cost]) -> dict[str, float]:
    """Weight of each row by episode id; the mean over the rows that train is 1.

    First what failures cost, then the strata; then, in turns until both hold, no failure mode has more than its share
    of the weight and demonstrated rows have at least theirs. Where that cannot be (there is nothing else) it is not.

    Args:
        items: those of the level that train.
        balance: the recipe's.
        costs: by failure mode.
    """
    trained = [item for item in items if item.rows]
    if not trained:
        return {item.id: 1.0 for item in items}
    rows = np.array([item.rows for item in trained], dtype=float)
    shown = np.array([item.demonstrated for item in trained], dtype=float)
    mass = rows * np.array([mode_weight(item.cluster, balance, costs) for item in trained])
    if not mass.sum() > 0:
        mass = rows.copy()  # every mode was given the weight 0, and something must weigh
    mass = _stratified(mass, [item.stratum for item in trained], balance.strata)
    clusters = sorted({item.cluster for item in trained if item.cluster})
    members = {name: np.array([item.cluster == name for item in trained]) for name in clusters}
    for _ in range(_ROUNDS):
        before = mass.copy()
        for name in clusters:
            mass = _capped(mass, members[name], balance.cluster_share)
        mass = _raised(mass, shown / rows, balance.demonstrations)
        if np.allclose(mass, before, rtol=_CLOSE, atol=0):
            break
    weight = mass / rows * (rows.sum() / mass.sum())
    # Rounded, so that the last bits of a sum do not change what a dataset is called.
    found = {item.id: float(f"{value:.9g}") for item, value in zip(trained, weight.tolist(), strict=True)}
    return {item.id: found.get(item.id, 1.0) for item in items}


def mode_weight(cluster: str, balance: Balance, costs: Mapping[str, Cost]) -> float:
    """What an episode of a failure mode weighs beside one of none."""
    if cluster in balance.modes:
        return balance.modes[cluster]
    most = max((cost.score for cost in costs.values()), default=0.0)
    if cluster not in costs or not most > 0:
        return 1.0
    return 1.0 + balance.failure_gain * costs[cluster].score / most


def _stratified(mass: Floats, strata: Sequence[str], exponent: float) -> Floats:
    """The mass of each stratum to the power of ``exponent``, shared as before inside it."""
    found = mass.copy()
    for name in sorted(set(strata)):
        own = np.array([each == name for each in strata])
        total = mass[own].sum()
        if total > 0:
            found[own] *= total ** (exponent - 1.0)
    return found


def _capped(mass: Floats, own: npt.NDArray[np.bool_], share: float) -> Floats:
    inside, outside = mass[own].sum(), mass[~own].sum()
    if share >= 1 or not outside > 0 or inside <= share * (inside + outside) * (1 + _CLOSE):
        return mass
    return np.where(own, mass * (share / (1 - share) * outside / inside), mass)


def _raised(mass: Floats, demonstrated: Floats, share: float) -> Floats:
    """Whole episodes are raised: an attempt holds no demonstrated row, a demonstration hardly another."""
    shown = demonstrated > 0.5
    inside, outside = mass[shown].sum(), mass[~shown].sum()
    if not inside > 0 or not outside > 0 or inside >= share * (inside + outside) * (1 - _CLOSE):
        return mass
    return np.where(shown, mass, mass * ((1 - share) / share * inside / outside))
