"""Auto-labels against the simulator's truth, and the human time that the 5/10-point rule saves.

python benchmarks/auto_labels.py [--attempts 700] [--seeds 3] [--keep FOLDER]

The attempts are of a robot without a success signal: all run to their time limit, so their length tells nothing. A
person who reviews one says what the simulator knows, unless --slips gives them mistakes of their own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from auto_labels_attempts import VIEWS, Attempts, attempts_of
from common import table
from tagging_attempts import TASKS

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.threads import one_thread
from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.review.queue import to_check
from xrollout_ros.mining.success.calibration import quality
from xrollout_ros.mining.success.checks import SALT, Checked, tally
from xrollout_ros.mining.success.classifier import CONFIDENCE
from xrollout_ros.mining.success.rule import RuleState, Standing, standing
from xrollout_ros.mining.success.training import LEAST, LEAST_OF_EACH, Fitted, fit

REVIEW_S = 20.0
"""Assumed: what a person takes for one episode. It was not measured; the minutes are proportional to it."""
SIZES = (40, 100, 300)
"""Verified episodes to learn from."""
FIRST_SEED = 100_000
BATCH = 50
"""Episodes that are recorded between two runs of `xrollout label`."""
BEGIN = 60
"""Episodes that people review before the first classifier."""


class Figures(NamedTuple):
    """One classifier on the attempts that it did not learn from."""

    auc: float
    brier: float
    brier_of_rate: float
    ece: float
    labelled: int
    wrong: int
    false_successes: int
    asked: int
    own_wrong: float
    """Share of wrong labels by its own held-out estimate; NaN: it would have labelled nothing."""


def figures(attempts: Attempts, view: str, size: int, seed: int, confidence: float) -> Figures:
    """Learn from a random part of the attempts, and label the rest."""
    order = np.random.default_rng(seed).permutation(len(attempts.ids))
    known, asked = _enough(order, attempts.success, size), np.array([], dtype=int)
    asked = np.setdiff1d(order, known)
    rows, success = attempts.rows[view], attempts.success
    fitted = fit(rows[known], success[known], [attempts.ids[each] for each in known], seed)
    probability = fitted.platt(fitted.forest.score(rows[asked]))
    found = quality(probability, success[asked])
    sure = np.maximum(probability, 1 - probability) >= confidence
    said = probability > 0.5
    wrong = sure & (said != success[asked])
    own = np.maximum(fitted.held_out, 1 - fitted.held_out) >= confidence
    own_wrong = ((fitted.held_out > 0.5) != success[known])[own]
    return Figures(
        found.auc, found.brier, found.brier_of_rate, found.ece, int(sure.sum()), int(wrong.sum()),
        int((wrong & said).sum()), len(asked), float(own_wrong.mean()) if own.any() else float("nan"),
    )  # fmt: skip


def _enough(order: Any, success: Any, size: int) -> Any:
    """The first ``size`` of an order, and more until training is possible at all."""
    while min(success[order[:size]].sum(), (~success[order[:size]]).sum()) < LEAST_OF_EACH:
        size += 1
    return order[: max(size, LEAST)]


def of_rate(count: int, among: int) -> str:
    """A share with its interval."""
    if not among:
        return "–"
    low, high = wilson(count, among)
    return f"{count / among:.1%} ({low:.1%} to {high:.1%})"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean, least and most."""
    return f"{np.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def agreement(every: dict[str, Attempts], seeds: int, confidences: Sequence[float]) -> None:
    """Two tables: at the usual confidence by size, and at others by confidence."""
    rows: list[list[object]] = []
    for task, attempts in every.items():
        for view in VIEWS:
            for size in SIZES:
                found = [figures(attempts, view, size, seed, CONFIDENCE) for seed in range(seeds)]
                labelled, wrong = sum(each.labelled for each in found), sum(each.wrong for each in found)
                own = np.nanmean([each.own_wrong for each in found])
                rows.append([
                    task, view, size, spread([each.auc for each in found]), spread([each.brier for each in found]),
                    f"{found[0].brier_of_rate:.2f}", spread([each.ece for each in found]),
                    f"{labelled / sum(each.asked for each in found):.0%}", of_rate(wrong, labelled),
                    sum(each.false_successes for each in found), f"{own:.1%}",
                ])  # fmt: skip
    columns = ["task", "observed", "verified", "AUC", "Brier", "of the rate", "ECE", "labelled", "labels wrong",
               "of these no success", "by its own word wrong"]  # fmt: skip
    table(f"Labels of the attempts that were not learned from, {seeds} seeds, confidence {CONFIDENCE:g}", columns, rows)
    rows = []
    for confidence in confidences:
        for view in VIEWS:
            found = [
                figures(attempts, view, 100, seed, confidence) for attempts in every.values() for seed in range(seeds)
            ]
            labelled, wrong = sum(each.labelled for each in found), sum(each.wrong for each in found)
            share = f"{labelled / sum(each.asked for each in found):.0%}"
            rows.append([f"{confidence:g}", view, share, of_rate(wrong, labelled)])
    table("The band, 100 verified, all tasks", ["confidence", "observed", "labelled", "labels wrong"], rows)


# --- the rule's schedule ------------------------------------------------------------------------------------------


@dataclass
class Course:
    """What happened to one stream of attempts."""

    episodes: int = 0
    reviews: int = 0
    labels: int = 0
    """In force at the end, that no person has checked."""
    wrong: int = 0
    """Of these."""
    widened_at: int | None = None
    """Episodes that had been recorded when the sample first shrank."""
    trainings: int = 1
    states: list[RuleState] = field(default_factory=list)
    """After each batch."""
    caught_after: int | None = None
    """Episodes after the change until the labels stopped."""
    wrong_until_caught: int = 0
    """Wrong labels of episodes after the change that were given until then."""


def course(
    attempts: Attempts, view: str, order: Any, seed: int, *, slips: float = 0.0, renew: bool, change: int | None = None
) -> Course:
    """Live by the rule: review, train, label batch by batch, check the sample, train anew when the rule says so.

    Args:
        attempts: of one task.
        view: what is observed.
        order: (N,) in which they are recorded.
        seed: of the classifiers, and of people's mistakes.
        slips: share of the reviews in which a person says the wrong thing.
        renew: train anew too when twice as many are verified as were learned from.
        change: place in the order from which on the world is another.
    """
    random = np.random.default_rng([seed, 7])
    truth, rows, done = attempts.success, attempts.rows[view], Course(episodes=len(order))
    word = np.where(random.random(len(truth)) < slips, ~truth, truth)
    begin = len(_enough(order, word, BEGIN))
    reviewed = set(order[:begin].tolist())
    labels: dict[int, float] = {}
    fitted, learned = _trained(rows, word, reviewed, attempts.ids, seed), begin
    for at in range(begin, len(order), BATCH):
        waiting = [each for each in order[: at + BATCH].tolist() if each not in reviewed and each not in labels]
        probability = fitted.platt(fitted.forest.score(rows[waiting]))
        for each, p in zip(waiting, probability.tolist(), strict=True):
            if max(p, 1 - p) >= CONFIDENCE:
                labels[each] = p
            else:
                reviewed.add(each)
        which = f"{seed}.{done.trainings}"
        now = _standing(labels, reviewed, word, attempts.ids, which)
        for each in labels:
            if to_check(attempts.ids[each], which, now.share, SALT):
                reviewed.add(each)
        now = _standing(labels, reviewed, word, attempts.ids, which)
        done.states.append(now.state)
        if now.state is RuleState.WIDEN and done.widened_at is None:
            done.widened_at = at + BATCH
        if change is not None and done.caught_after is None:
            after = set(order[change:].tolist())
            given = [each for each in labels if each in after]
            done.wrong_until_caught = sum((labels[each] > 0.5) != truth[each] for each in given)
            if now.state is RuleState.RETRAIN and at + BATCH > change:
                done.caught_after = min(at + BATCH, len(order)) - change
        if now.state is RuleState.RETRAIN or (renew and len(reviewed) >= 2 * learned):
            # What nobody has checked is labelled anew by the new classifier, as `xrollout label` does.
            fitted = _trained(rows, word, reviewed, attempts.ids, seed)
            labels, learned = {}, len(reviewed)
            done.trainings += 1
    unchecked = [each for each in labels if each not in reviewed]
    done.reviews = len(reviewed)
    done.labels = len(unchecked)
    done.wrong = sum((labels[each] > 0.5) != truth[each] for each in unchecked)
    return done


def _trained(rows: Any, word: Any, reviewed: set[int], ids: Sequence[str], seed: int) -> Fitted:
    known = sorted(reviewed)
    return fit(rows[known], word[known], [ids[each] for each in known], seed)


def _standing(labels: dict[int, float], reviewed: set[int], word: Any, ids: Sequence[str], which: str) -> Standing:
    def outcome(success: bool) -> Outcome:
        return Outcome.SUCCESS if success else Outcome.FAILURE

    checked = [
        Checked("", "", which, ids[each], outcome(p > 0.5), p, outcome(bool(word[each])) if each in reviewed else None)
        for each, p in labels.items()
    ]
    return standing(tally(checked))


def schedule(every: dict[str, Attempts], seeds: int, slips: float) -> None:
    """People review all, against what the rule asks of them."""
    rows: list[list[object]] = []
    for task, attempts in every.items():
        for view in VIEWS:
            for renew in (False, True):
                runs = []
                for seed in range(seeds):
                    order = np.random.default_rng([seed, 1]).permutation(len(attempts.ids))
                    runs.append(course(attempts, view, order, seed, slips=slips, renew=renew))
                minutes = [each.reviews * REVIEW_S / 60 for each in runs]
                saved = [1 - each.reviews / each.episodes for each in runs]
                labels, wrong = sum(each.labels for each in runs), sum(each.wrong for each in runs)
                last = ", ".join(each.states[-1].value for each in runs)
                widened = ", ".join("never" if each.widened_at is None else str(each.widened_at) for each in runs)
                rows.append([
                    task, view, "at twice as many" if renew else "when told",
                    f"{runs[0].episodes * REVIEW_S / 60:.0f}", spread(minutes, 0), spread(saved, 2),
                    of_rate(wrong, labels), widened, ", ".join(str(each.trainings) for each in runs), last,
                ])  # fmt: skip
    columns = ["task", "observed", "trained anew", "min, all reviewed", "min by the rule", "share saved",
               "unchecked labels wrong", "widened at episode", "trainings", "state at the end"]  # fmt: skip
    people = f"people err in {slips:.0%}" if slips else "people never err"
    table(f"Minutes of review at {REVIEW_S:g} s each, {seeds} seeds, {people}", columns, rows)


def changed(every: dict[str, Attempts], seeds: int, fault: str) -> None:
    """A fault that no verified episode has comes in: how soon the sample shows it."""
    rows: list[list[object]] = []
    for task, attempts in every.items():
        for view in VIEWS:
            runs, after = [], 0
            for seed in range(seeds):
                order = np.random.default_rng([seed, 2]).permutation(len(attempts.ids))
                new = attempts.fault[order] == fault
                before = order[~new]
                half = len(before) // 2
                # From the change on every attempt with the fault comes, mixed with the others.
                rest = np.random.default_rng([seed, 3]).permutation(np.r_[before[half:], order[new]])
                runs.append(course(attempts, view, np.r_[before[:half], rest], seed, renew=False, change=half))
                after = len(rest)
            caught = ", ".join("no" if each.caught_after is None else str(each.caught_after) for each in runs)
            labels, wrong = sum(each.labels for each in runs), sum(each.wrong for each in runs)
            until = ", ".join(str(each.wrong_until_caught) for each in runs)
            rows.append([task, view, f"{new.sum()} of {after}", caught, until, of_rate(wrong, labels)])
    columns = ["task", "observed", "with the fault", "labels stopped after", "wrong labels until then",
               "unchecked labels wrong at the end"]  # fmt: skip
    table(f"The fault {fault}, new halfway through, {seeds} seeds", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=700, help="of each task")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--slips", type=float, default=0.03, help="share of reviews in which a person errs, at last")
    parser.add_argument("--keep", type=Path, help="folder that keeps the attempts for another run")
    options = parser.parse_args()
    with one_thread():
        every = {
            task: attempts_of(task, options.attempts, FIRST_SEED, options.keep) for task in options.tasks.split(",")
        }
        rows: list[list[object]] = []
        for task, attempts in every.items():
            moment = float((attempts.ever != attempts.success).mean())
            row = [task, len(attempts.ids), attempts.aborted, f"{attempts.success.mean():.0%}", f"{moment:.0%}"]
            rows.append(list(row))
        table("Attempts", ["task", "attempts", "aborted, left out", "success at the end", "only in between"], rows)
        agreement(every, options.seeds, (0.8, 0.9, 0.95))
        schedule(every, options.seeds, 0.0)
        schedule(every, options.seeds, options.slips)
        changed(every, options.seeds, "wrong_goal")


if __name__ == "__main__":
    main()
