"""Scores that need many episodes at once: how much the states of a demonstration tell of its actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.special import digamma

from xrollout_ros.core.episode import Outcome
from xrollout_ros.learning.pyramid.cases import Case
from xrollout_ros.learning.pyramid.starts import Place
from xrollout_ros.learning.shards.store import Store

NEIGHBOURS = (5, 6, 7)
"""The estimate is the mean over these."""
CHUNK = 4
"""Rows of actions that belong to a state."""
MOST_ROWS = 20_000
"""More are thinned out evenly: the estimate's time grows with them."""
_VARIANCE = 0.99
_LEAST_EPISODES = 3
Floats = npt.NDArray[np.float64]


def with_information(store: Store, cases: Sequence[Case], places: Mapping[str, Place]) -> dict[str, Place]:
    """The places with the score ``mutual_information`` of each successful demonstration.

    Raises:
        DataError: a shard cannot be read.
    """
    shown = [
        case for case in cases if case.demonstrated and case.outcome is Outcome.SUCCESS and not case.facts.not_finite
    ]
    shown = [case for case in shown if case.kept.held.rows > CHUNK]
    if len(shown) < _LEAST_EPISODES:
        return dict(places)
    pairs = [
        (np.asarray(store.rows(case.kept, "state")), np.asarray(store.rows(case.kept, "action"))) for case in shown
    ]
    scores = mutual_information(pairs)
    found = dict(places)
    for case, score in zip(shown, scores.tolist(), strict=True):
        found[case.id] = replace(found[case.id], information=score)
    return found


def mutual_information(episodes: Sequence[tuple[Floats, Floats]], chunk: int = CHUNK) -> Floats:
    """How much each episode adds to what states tell of actions, ``(N,)`` nats.

    The estimator of Kraskov, Stögbauer and Grassberger (2004, "Estimating mutual information", algorithm 1) is a mean
    over all pairs of a state and the chunk of actions that follows it; an episode's score is the mean over its own
    pairs (Hejna et al. 2025, DemInf, arXiv:2502.08623). States and chunks are standardized and reduced to principal
    components here, where the paper learns representations: they are low-dimensional already.

    Args:
        episodes: states ``(T, D)`` and actions ``(T, A)`` of each.
        chunk: rows of actions that belong to a state.
    """
    states = [state[: len(state) - chunk + 1] for state, _ in episodes]
    chunks = [np.lib.stride_tricks.sliding_window_view(action, chunk, axis=0).reshape(len(action) - chunk + 1, -1)
              for _, action in episodes]  # fmt: skip
    owner = np.repeat(np.arange(len(episodes)), [len(each) for each in states])
    step = max(1, -(-len(owner) // MOST_ROWS))
    one, other = _reduced(np.concatenate(states)[::step]), _reduced(np.concatenate(chunks)[::step])
    owner = owner[::step]
    terms = np.mean([_terms(one, other, count) for count in NEIGHBOURS if count < len(owner)], axis=0)
    totals = np.bincount(owner, terms, minlength=len(episodes))
    counts = np.bincount(owner, minlength=len(episodes))
    return np.asarray(np.divide(totals, counts, out=np.zeros(len(episodes)), where=counts > 0))


def _terms(one: Floats, other: Floats, count: int) -> Floats:
    """``(N,)`` what each pair adds: ψ(k) + ψ(N) − ψ(n_x + 1) − ψ(n_y + 1)."""
    distance, _ = cKDTree(np.concatenate([one, other], axis=1)).query(
        np.concatenate([one, other], axis=1), k=count + 1, p=np.inf
    )
    radius = np.nextafter(distance[:, -1], 0)
    near = [cKDTree(each).query_ball_point(each, radius, p=np.inf, return_length=True) - 1 for each in (one, other)]
    near = [np.maximum(each, 0) for each in near]  # of points that lie upon one another the radius is 0
    found: Floats = digamma(count) + digamma(len(one)) - digamma(near[0] + 1) - digamma(near[1] + 1)
    return found


def _reduced(values: Floats) -> Floats:
    """Standardized, and reduced to the principal components with most of the variance, each with the variance 1."""
    spread = values.std(axis=0)
    moving = spread > 1e-9
    if not moving.any():
        return np.zeros((len(values), 1))
    standard = (values[:, moving] - values[:, moving].mean(axis=0)) / spread[moving]
    _, sizes, directions = np.linalg.svd(standard, full_matrices=False)
    share = np.cumsum(sizes**2) / np.sum(sizes**2)
    wanted = int(np.searchsorted(share, _VARIANCE)) + 1
    reduced = standard @ directions[:wanted].T
    return np.asarray(reduced / reduced.std(axis=0))
