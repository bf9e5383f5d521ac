"""Training of a success classifier from verified episodes, and its measurement on those that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np

import xrollout_ros
from xrollout_ros.core.clock import NS, Clock, SystemClock
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import Condition
from xrollout_ros.mining.signals import Floats
from xrollout_ros.mining.success.calibration import Bools, Platt, Quality, auc_interval, fit_platt, quality
from xrollout_ros.mining.success.classifier import (
    CONFIDENCE,
    ClassifierMeta,
    QualityRecord,
    SuccessClassifier,
    rows_of,
)
from xrollout_ros.mining.success.examples import (
    EVERY_SOURCE,
    MOST,
    Episodes,
    Example,
    Progress,
    Source,
    counts_of,
    describe,
    episodes_of,
)
from xrollout_ros.mining.success.forest import TREES, Forest, grow
from xrollout_ros.mining.success.stops import Stop, StoppedError

FOLDS = 10
LEAST = 40
"""Verified episodes."""
LEAST_OF_EACH = 10
"""Of each outcome: every fold has one of each then."""
_ABOVE_CHANCE = 0.99
"""Areas of held-out folds vary more than the interval knows: at 95 %, 7 of 100 classifiers of 44 drawn lots passed."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A forest, its calibration, and what both say of episodes that were held out from either."""

    forest: Forest
    platt: Platt
    held_out: Floats
    """(M,) probabilities of the training episodes, each by a forest and a calibration that did not see it."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A classifier and how it came about."""

    classifier: SuccessClassifier
    quality: Quality
    held_out: Mapping[str, float]
    """Probability of success of each training episode, while it was held out."""
    sources: dict[str, dict[str, int]]
    """Who verified how many of each outcome."""
    older: int
    """Verified episodes that were left out because there are more than are read."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Episodes that could not be read, and why."""


def train(
    catalog: Catalog,
    where: Sequence[Condition] = (),
    *,
    sources: Sequence[Source] = EVERY_SOURCE,
    confidence: float = CONFIDENCE,
    seed: int = 0,
    trees: int = TREES,
    most: int = MOST,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Trained:
    """Train a classifier for one task and robot; nothing is written.

    Args:
        catalog: of the data folder, caught up.
        where: conditions on the episodes.
        sources: who may vouch for an outcome.
        confidence: the least probability of an outcome that is labelled, 0.5 to 1.
        seed: of all that is random.
        trees: of the forest.
        most: read at most so many bags, the newest.
        progress: told how many bags of how many are read.
        clock: stamps it.

    Raises:
        StoppedError: naming what is missing: episodes, enough of them, of both outcomes, that can be read; or it is no
            better than chance.
        DataError: an argument is not allowed.
    """
    if not 0.5 <= confidence < 1:
        raise DataError(f"confidence {confidence:g}", "Give the least probability of a label, from 0.5 to below 1.")
    found = episodes_of(catalog, where)
    verified = found.verified(sources)
    _check_enough(found, verified, sources)
    chosen = verified[:most]
    described = describe(catalog, chosen, progress=progress)
    readable = [each for each in chosen if each.episode_id in described.rows]
    names, alike = _one_description(described.rows, readable)
    problems = dict(described.problems)
    problems |= {
        each.episode_id: "it is described by other numbers than the others" for each in readable if each not in alike
    }
    if len(alike) < len(chosen):
        _check_enough(found, alike, sources, problems)
    # The order of rows decides what a seed makes of them, so it must not hang on when they were recorded.
    alike = sorted(alike, key=lambda each: each.episode_id)
    values = rows_of([described.rows[each.episode_id] for each in alike], names)
    success = np.array([each.success for each in alike])
    fitted = fit(values, success, [each.group for each in alike], seed, trees)
    measured = quality(fitted.held_out, success)
    good = measured.successes
    low, high = auc_interval(measured.auc, good, len(alike) - good, _ABOVE_CHANCE)
    if low <= 0.5:
        raise StoppedError(
            Stop.UNINFORMATIVE,
            f"on {len(alike)} held-out episodes the classifier is not plainly better than chance (AUC "
            f"{measured.auc:.2f}, {_ABOVE_CHANCE:.0%} interval {low:.2f} to {high:.2f}): what was recorded does not "
            "show how an attempt ended, or too few are known",
            "Review more episodes with `xrollout review`, or record an observation that shows it.",
        )
    meta = ClassifierMeta(
        task=found.task,
        robot=found.robot,
        interface_hash=described.interface_hash,
        features=names,
        slope=fitted.platt.slope,
        offset=fitted.platt.offset,
        confidence=confidence,
        seed=seed,
        trees=trees,
        episodes=[each.episode_id for each in alike],
        sources=counts_of(alike),
        quality=_record(fitted.held_out, success, measured, confidence),
        software_version=xrollout_ros.__version__,
        created_at=datetime.fromtimestamp((clock or SystemClock()).wall_ns() / NS, tz=timezone.utc).isoformat(),
    )
    held_out = {each.episode_id: float(p) for each, p in zip(alike, fitted.held_out, strict=True)}
    return Trained(
        SuccessClassifier(meta, fitted.forest), measured, held_out, counts_of(alike), len(verified) - len(chosen),
        problems,
    )  # fmt: skip


def fit(values: Floats, success: Bools, groups: Sequence[str], seed: int, trees: int = TREES) -> Fitted:
    """Grow the forest on all rows, and calibrate it on what forests that had not seen them say of them.

    Each fold's rows are scored by a forest of the other folds. The calibration is fitted to these scores; what is
    reported of a fold comes from a calibration of the other folds' scores.

    Args:
        values: (M, K).
        success: (M,)
        groups: of each row; those of one group are never on both sides.
        seed: of folds and forests.
        trees: of a forest.

    Raises:
        ValueError: there is only one outcome, or too few of one for the folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    folds = min(FOLDS, len({group for group, good in zip(groups, success, strict=True) if good}),
                len({group for group, good in zip(groups, success, strict=True) if not good}))  # fmt: skip
    if folds < 2:
        raise ValueError("too few groups of one outcome")
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    score, fold = np.zeros(len(values)), np.zeros(len(values), dtype=int)
    for number, (rest, out) in enumerate(split.split(values, success, groups)):
        fold[out] = number
        # One outcome alone tells nothing: such a fold's rows get the even odds.
        if len(set(success[rest])) == 2:
            score[out] = grow(values[rest], success[rest], seed, trees).score(values[out])
    held_out = np.zeros(len(values))
    for number in set(fold):
        out = fold == number
        known = success[~out]
        # Few groups may put all of one outcome into one fold: nothing is known of it then.
        one = len(set(known)) < 2
        held_out[out] = known.mean() if one else fit_platt(score[~out], known)(score[out])
    return Fitted(grow(values, success, seed, trees), fit_platt(score, success), held_out)


def _record(held_out: Floats, success: Bools, measured: Quality, confidence: float) -> QualityRecord:
    labelled = np.maximum(held_out, 1 - held_out) >= confidence
    return QualityRecord(
        episodes=measured.episodes,
        auc=measured.auc,
        auc_low=measured.auc_low,
        auc_high=measured.auc_high,
        brier=measured.brier,
        brier_of_rate=measured.brier_of_rate,
        ece=measured.ece,
        labelled=int(labelled.sum()),
        wrong=int(((held_out > 0.5) != success)[labelled].sum()),
    )


def _check_enough(
    found: Episodes, verified: Sequence[Example], sources: Sequence[Source], problems: Mapping[str, str] | None = None
) -> None:
    good = sum(each.success for each in verified)
    bad = len(verified) - good
    of = f"{good} successes and {bad} failures"
    whose = (
        "" if set(sources) == set(Source) else f" (counted are those of {', '.join(each.value for each in sources)})"
    )
    told = f"{found.task} on {found.robot} has {of} that somebody vouches for{whose}"
    review = (
        "Say how some attempts ended: `xrollout review --sample 1` shows them one after another; operators can mark "
        "them as they run."
    )
    if problems and len(verified) < LEAST:
        why = next(iter(problems.values()))
        raise StoppedError(
            Stop.UNREADABLE,
            f"{told} and can be read; {len(problems)} cannot, the first because {why}",
            "Bring the bags back (`xrollout index` names what is there), or review others.",
        )
    if len(verified) and not good:
        raise StoppedError(Stop.NO_SUCCESSES, f"{told}: failures alone teach nothing", review)
    if len(verified) and not bad:
        raise StoppedError(Stop.NO_FAILURES, f"{told}: successes alone teach nothing", review)
    if len(verified) < LEAST or min(good, bad) < LEAST_OF_EACH:
        raise StoppedError(
            Stop.TOO_FEW, f"{told}; wanted are {LEAST}, and {LEAST_OF_EACH} of each outcome at the least", review
        )


def _one_description(
    rows: Mapping[str, Mapping[str, float]], readable: Sequence[Example]
) -> tuple[list[str], list[Example]]:
    """The names that most are described by, in order, and who is."""
    groups: dict[tuple[str, ...], list[Example]] = {}
    for each in readable:
        groups.setdefault(tuple(rows[each.episode_id]), []).append(each)
    if not groups:
        return [], []
    names = max(groups, key=lambda key: len(groups[key]))
    return list(names), groups[names]
