"""A forest of extremely randomized trees as arrays: grown by scikit-learn, asked with NumPy alone.

Arrays are all that is kept of it, so a file with a forest in it runs no code when it is read (P. Geurts, D. Ernst,
L. Wehenkel: Extremely randomized trees, Machine Learning 63, 2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import DataError
from xrollout_ros.mining.signals import Floats

TREES, LEAST_LEAF = 100, 2
_LIMIT = 1e-3
"""A share of the trees' votes is kept so far from 0 and 1, where its log-odds would be infinite."""
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees, one after another: node n of all is tested by ``feature[n] <= threshold[n]``."""

    root: Ints
    """(B,) number of each tree's first node."""
    feature: Ints
    """(N,) column that a node tests; -1: a leaf."""
    threshold: Floats
    """(N,)"""
    left: Ints
    """(N,) the node to go to where the value is at most the threshold."""
    right: Ints
    """(N,) the one where it is above."""
    share: Floats
    """(N,) of successes among the training attempts in a leaf."""

    def score(self, values: Floats) -> Floats:
        """Log-odds of success, uncalibrated.

        Args:
            values: (M, K), in the order it was grown with.

        Returns:
            (M,)
        """
        # Trees compare single-precision values with double-precision thresholds; so must we, to land in their leaves.
        table = values.astype(np.float32)
        rows = np.arange(len(table))
        total = np.zeros(len(table))
        for root in self.root:
            at = np.full(len(table), root)
            while (inner := self.feature[at] >= 0).any():
                here, of = at[inner], rows[inner]
                goes_left = table[of, self.feature[here]] <= self.threshold[here]
                at[inner] = np.where(goes_left, self.left[here], self.right[here])
            total += self.share[at]
        votes = np.clip(total / len(self.root), _LIMIT, 1 - _LIMIT)
        found: Floats = np.log(votes / (1 - votes))
        return found

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All of it, for a file."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], width: int) -> Forest:
        """What ``arrays`` gave.

        Args:
            arrays: by name.
            width: K, of the rows that it will be asked about.

        Raises:
            DataError: these are no trees: asking them would not end, or reach beyond them.
        """
        try:
            whole = {name: np.asarray(arrays[name]) for name in cls.__dataclass_fields__}
        except KeyError as error:
            raise DataError(f"the forest lacks {error}", "") from error
        for name, each in whole.items():
            kind = "f" if name in ("threshold", "share") else "i"
            if each.ndim != 1 or each.dtype.kind != kind or not len(each):
                raise DataError(f"{name} of the forest is an array of {each.dtype} of shape {each.shape}", "")
        nodes = len(whole["feature"])
        if any(len(whole[name]) != nodes for name in ("threshold", "left", "right", "share")):
            raise DataError("the arrays of the forest have different lengths", "")
        inner = whole["feature"] >= 0
        number = np.arange(nodes)[inner]
        ahead = [whole[side][inner] for side in ("left", "right")]
        # A child stands behind its parent, so every walk ends.
        if any((each <= number).any() or (each >= nodes).any() for each in ahead):
            raise DataError("a node of the forest leads back, or beyond its end", "")
        if (whole["root"] < 0).any() or (whole["root"] >= nodes).any() or (whole["feature"] >= width).any():
            raise DataError(f"the forest asks for more than its {nodes} nodes or {width} columns", "")
        if (
            not np.isfinite(whole["threshold"][inner]).all()
            or not ((whole["share"] >= 0) & (whole["share"] <= 1)).all()
        ):
            raise DataError("the forest holds numbers that are none, or shares beyond 0 to 1", "")
        whole = {name: each.astype(float if each.dtype.kind == "f" else np.int32) for name, each in whole.items()}
        return cls(**whole)


def grow(values: Floats, success: npt.NDArray[np.bool_], seed: int, trees: int = TREES) -> Forest:
    """Grow a forest; the same seed and rows give the same one.

    Args:
        values: (M, K) rows of attempts.
        success: (M,) how each ended.
        seed: of its randomness.
        trees: how many.

    Raises:
        ValueError: there is only one outcome.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    if success.all() or not success.any():
        raise ValueError("one outcome only")
    made = ExtraTreesClassifier(trees, min_samples_leaf=LEAST_LEAF, random_state=seed, n_jobs=1)
    made.fit(values, success)
    parts: dict[str, list[Any]] = {name: [] for name in Forest.__dataclass_fields__}
    begin = 0
    for estimator in made.estimators_:
        tree = estimator.tree_
        leaf = tree.children_left < 0
        parts["root"].append([begin])
        parts["feature"].append(np.where(leaf, -1, tree.feature))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        for side, children in (("left", tree.children_left), ("right", tree.children_right)):
            parts[side].append(np.where(leaf, -1, children + begin))
        counts = tree.value[:, 0, :]
        parts["share"].append(counts[:, 1] / counts.sum(axis=1))
        begin += tree.node_count
    joined = {name: np.concatenate(each) for name, each in parts.items()}
    whole = {name: joined[name].astype(np.int32) for name in ("root", "feature", "left", "right")}
    return Forest(**whole, threshold=joined["threshold"].astype(float), share=joined["share"].astype(float))
