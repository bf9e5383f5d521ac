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
NULLS, ALPHA = 39, 0.05
"""Draws from one normal distribution that a mode is compared with, and how rarely they may look as parted as it."""
_RESOLVED = 2.0
"""Clusters whose medians differ by fewer resolutions, in every descriptor, are one."""
_ENOUGH = 400
"""Rows with which a whole mode is tested."""


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
    values: Floats,
    *,
    resolution: Floats | None = None,
    seed: int = 0,
    min_cluster_size: int = MIN_CLUSTER_SIZE,
    min_samples: int = MIN_SAMPLES,
) -> Clustering:
    """Group rows of descriptors ``(N, K)``; too few rows, or one mode without parts, give no clusters.

    A mode has parts if HDBSCAN finds clusters that lie farther apart than what it finds in draws from one normal
    distribution as wide as the mode.

    Args:
        values: one row for each failure.
        resolution: (K,) differences that are worth telling apart, as ``Descriptors.resolution``; none: any.
        seed: of bootstraps and draws.
        min_cluster_size: fewest rows of a cluster.
        min_samples: neighbours that make a place dense.

    Raises:
        DataError: the values are no table of finite numbers, or the resolution does not fit them.
        SpecError: scikit-learn is missing.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(f"descriptors of shape {values.shape}, or not finite", "Give a table of finite numbers.")
    rows = len(values)
    if rows < 2 * min_cluster_size:
        return Clustering((), tuple(range(rows)))
    points = project(values, resolution)
    random = np.random.default_rng(seed)
    labels = _hdbscan(points, min_cluster_size, min_samples)
    if labels.max() >= 1 and not _parted(points, labels, random, min_cluster_size, min_samples):
        labels[:] = -1
    if resolution is not None:
        labels = _resolved(values, labels, resolution)
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


def project(values: Floats, resolution: Floats | None = None) -> Floats:
    """(N, P) standardized values on as many principal axes as hold 90 % of the variance.

    What differs by less than its resolution is not made larger than that.

    Raises:
        DataError: the resolution does not fit the values.
    """
    least = np.zeros(values.shape[1]) if resolution is None else np.asarray(resolution, dtype=np.float64)
    if least.shape != (values.shape[1],):
        raise DataError(f"resolution of shape {least.shape} for {values.shape[1]} descriptors", "Give one for each.")
    spread = values.std(axis=0)
    useful = spread > 1e-9 * np.maximum(1.0, np.abs(values).max(axis=0))
    if not useful.any():
        return np.zeros((len(values), 1))
    standard = (values[:, useful] - values[:, useful].mean(axis=0)) / np.maximum(spread, least)[useful]
    left, sizes, _ = np.linalg.svd(standard, full_matrices=False)
    share = np.cumsum(sizes**2) / (sizes**2).sum()
    axes = int(np.searchsorted(share, VARIANCE)) + 1
    points: Floats = left[:, :axes] * sizes[:axes]
    return points


def _parted(
    points: Floats,
    labels: npt.NDArray[np.int64],
    random: np.random.Generator,
    min_cluster_size: int,
    min_samples: int,
) -> bool:
    """Whether these clusters are more than what one normal distribution would give."""
    if len(points) > _ENOUGH:
        min_cluster_size = max(2, round(min_cluster_size * _ENOUGH / len(points)))
        drawn = random.permutation(len(points))[:_ENOUGH]
        points, labels = points[drawn], labels[drawn]
    found, spread = _separation(points, labels), points.std(axis=0)
    alike = 0
    for _ in range(NULLS):
        null = random.standard_normal(points.shape) * spread
        alike += _separation(null, _hdbscan(null, min_cluster_size, min_samples)) >= found
    return (1 + alike) / (1 + NULLS) <= ALPHA


def _separation(points: Floats, labels: npt.NDArray[np.int64]) -> float:
    """Mean silhouette (Rousseeuw 1987), rows without a cluster counting 0; 0 too with less than two clusters."""
    from sklearn.metrics import silhouette_samples

    told = labels >= 0
    if len(np.unique(labels[told])) < 2:
        return 0.0
    return float(silhouette_samples(points[told], labels[told]).sum() / len(labels))


def _resolved(values: Floats, labels: npt.NDArray[np.int64], resolution: Floats) -> npt.NDArray[np.int64]:
    """Labels with clusters joined between which no descriptor differs by enough, the nearest first."""
    worth = np.where(resolution > 0, resolution, 1e-12)
    while labels.max() >= 1:
        medians = np.array([np.median(values[labels == number], axis=0) for number in range(labels.max() + 1)])
        apart = (np.abs(medians[:, None] - medians[None]) / worth).max(axis=2)
        np.fill_diagonal(apart, np.inf)
        one, other = sorted(divmod(int(apart.argmin()), len(apart)))
        if apart[one, other] >= _RESOLVED:
            break
        labels = np.where(labels == other, one, labels)
        labels = np.where(labels > other, labels - 1, labels)
    return labels


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
    # Row by row: all pairs at once would need gigabytes for some thousands.
    distances = [np.linalg.norm(own - each, axis=1).sum() for each in own]
    return int(members[int(np.argmin(distances))])
