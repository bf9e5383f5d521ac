"""Groups of alike failures inside one failure mode (HDBSCAN, Campello et al. 2013), and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.mining.signals import Floats

VARIANCE = 0.9
MIN_CLUSTER_SIZE, MIN_SAMPLES = 8, 3
BOOTSTRAPS = 20
STABLE = 0.6
"""Least mean Jaccard similarity over bootstraps (Hennig 2007) for a cluster to be told."""


@dataclass(frozen=True)
class Cluster:
    """Alike failures."""

    members: tuple[int, ...]
    """Rows."""
    medoid: int
    """The row that the others are nearest to: the one to look at."""
    stability: float
    """0 to 1: how well it is found again in samples drawn with replacement."""


@dataclass(frozen=True)
class Clustering:
    """Every row is in one cluster or in none."""

    clusters: tuple[Cluster, ...]
    """Largest first."""
    unclustered: tuple[int, ...]
    """Rows that are like no others, or whose cluster was not stable."""

    def labels(self, rows: int) -> npt.NDArray[np.int64]:
        """(N,) number of the cluster, -1: none."""
        labels = np.full(rows, -1, dtype=np.int64)
        for number, cluster in enumerate(self.clusters):
            labels[list(cluster.members)] = number
        return labels


def cluster(
    values: Floats, *, seed: int = 0, min_cluster_size: int = MIN_CLUSTER_SIZE, min_samples: int = MIN_SAMPLES
) -> Clustering:
    """Group rows of descriptors ``(N, K)``; too few rows, or one mode without parts, give no clusters.

    Raises:
        DataError: the values are no table of finite numbers.
        SpecError: scikit-learn is missing.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(f"descriptors of shape {values.shape}, or not finite", "Give a table of finite numbers.")
    rows = len(values)
    if rows < 2 * min_cluster_size:
        return Clustering((), tuple(range(rows)))
    points = project(values)
    labels = _hdbscan(points, min_cluster_size, min_samples)
    random = np.random.default_rng(seed)
    stable = _stabilities(points, labels, random, min_cluster_size, min_samples)
    kept = []
    for number in range(labels.max() + 1):
        members = np.flatnonzero(labels == number)
        if stable[number] >= STABLE:
            kept.append(Cluster(tuple(members.tolist()), _medoid(points, members), float(stable[number])))
    if len(kept) == 1 and len(kept[0].members) > rows / 2:
        kept = []  # one cluster of nearly all is the mode itself
    kept.sort(key=lambda each: -len(each.members))
    inside = {row for each in kept for row in each.members}
    return Clustering(tuple(kept), tuple(row for row in range(rows) if row not in inside))


def project(values: Floats) -> Floats:
    """(N, P) standardized values on as many principal axes as hold 90 % of the variance."""
    spread = values.std(axis=0)
    useful = spread > 1e-9 * np.maximum(1.0, np.abs(values).max(axis=0))
    if not useful.any():
        return np.zeros((len(values), 1))
    standard = (values[:, useful] - values[:, useful].mean(axis=0)) / spread[useful]
    left, sizes, _ = np.linalg.svd(standard, full_matrices=False)
    share = np.cumsum(sizes**2) / (sizes**2).sum()
    axes = int(np.searchsorted(share, VARIANCE)) + 1
    points: Floats = left[:, :axes] * sizes[:axes]
    return points


def _hdbscan(points: Floats, min_cluster_size: int, min_samples: int) -> npt.NDArray[np.int64]:
    try:
        from sklearn.cluster import HDBSCAN
    except ImportError as error:
        raise SpecError("clusters need scikit-learn, which is missing", "pip install scikit-learn") from error
    model = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, copy=True)
    return np.asarray(model.fit_predict(points), dtype=np.int64)


def _stabilities(
    points: Floats, labels: npt.NDArray[np.int64], random: np.random.Generator, min_cluster_size: int, min_samples: int
) -> Floats:
    """Mean over bootstraps of each cluster's best Jaccard similarity with a cluster of the sample."""
    count, rows = int(labels.max()) + 1, len(points)
    scores = np.zeros(max(count, 0))
    for _ in range(BOOTSTRAPS if count else 0):
        # Each row once: copies of a row are infinitely dense and would be clusters of their own.
        drawn = np.unique(random.integers(0, rows, rows))
        found = _hdbscan(points[drawn], max(2, round(min_cluster_size * len(drawn) / rows)), min_samples)
        for number in range(count):
            here = labels[drawn] == number
            best = 0.0
            for other in range(found.max() + 1):
                there = found == other
                best = max(best, float((here & there).sum() / max(1, (here | there).sum())))
            scores[number] += best / BOOTSTRAPS
    return scores


def _medoid(points: Floats, members: npt.NDArray[np.int64]) -> int:
    own = points[members]
    distances = np.linalg.norm(own[:, None] - own[None], axis=2).sum(axis=1)
    return int(members[int(distances.argmin())])
