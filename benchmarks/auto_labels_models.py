"""What the success classifier is made of: other models and other calibrations on the same attempts.

python benchmarks/auto_labels_models.py [--attempts 700] [--seeds 3] [--verified 100] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from auto_labels import FIRST_SEED, of_rate, spread
from auto_labels_attempts import VIEWS, Attempts, attempts_of
from common import table
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tagging_attempts import TASKS

from xrollout_ros.core.threads import one_thread
from xrollout_ros.mining.success.calibration import fit_platt, quality
from xrollout_ros.mining.success.classifier import CONFIDENCE
from xrollout_ros.mining.success.forest import grow

FOLDS = 5
Scorer = Callable[[Any], Any]
"""(M, …) inputs: (M,) log-odds."""


def _odds(share: Any) -> Any:
    share = np.clip(share, 1e-3, 1 - 1e-3)
    return np.log(share / (1 - share))


def _of_sklearn(model: Any) -> Callable[[Any, Any, int], Scorer]:
    def learn(inputs: Any, success: Any, seed: int) -> Scorer:
        made = make_pipeline(StandardScaler(), model(seed)).fit(inputs, success)
        return lambda asked: _odds(made.predict_proba(asked)[:, 1])

    return learn


def _forest(inputs: Any, success: Any, seed: int) -> Scorer:
    return grow(inputs, success, seed).score


def _convolution(inputs: Any, success: Any, seed: int) -> Scorer:
    """Two convolutions over the resampled trajectory, its mean, largest and last value, one linear layer."""
    torch.manual_seed(seed)
    mean, scale = inputs.mean(axis=(0, 1)), inputs.std(axis=(0, 1)) + 1e-6

    def tensor(values: Any) -> torch.Tensor:
        return torch.from_numpy(((values - mean) / scale).astype(np.float32)).transpose(1, 2)

    body = torch.nn.Sequential(
        torch.nn.Conv1d(inputs.shape[2], 32, 5, padding=2), torch.nn.ReLU(),
        torch.nn.Conv1d(32, 32, 5, padding=2, stride=2), torch.nn.ReLU(),
    )  # fmt: skip
    head = torch.nn.Linear(96, 1)

    def score(values: torch.Tensor) -> torch.Tensor:
        found = body(values)
        odds: torch.Tensor = head(torch.cat([found.mean(2), found.amax(2), found[:, :, -1]], dim=1))[:, 0]
        return odds

    known, wanted = tensor(inputs), torch.from_numpy(success.astype(np.float32))
    step = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=2e-3, weight_decay=1e-2)
    for _ in range(150):
        for part in torch.randperm(len(known)).split(32):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(score(known[part]), wanted[part])
            step.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            step.step()

    def asked(values: Any) -> Any:
        with torch.no_grad():
            return np.clip(score(tensor(values)).numpy().astype(np.float64), -15, 15)

    return asked


MODELS: dict[str, tuple[str, Callable[[Any, Any, int], Scorer]]] = {
    "extremely randomized trees": ("rows", _forest),
    "random forest": ("rows", _of_sklearn(lambda s: RandomForestClassifier(100, min_samples_leaf=2, random_state=s))),
    "gradient boosting": (
        "rows", _of_sklearn(lambda s: HistGradientBoostingClassifier(min_samples_leaf=5, random_state=s)),
    ),
    "logistic regression": ("rows", _of_sklearn(lambda _: LogisticRegression(C=0.1, max_iter=1000))),
    "network, one layer of 32": (
        "rows", _of_sklearn(lambda s: MLPClassifier((32,), alpha=1.0, solver="lbfgs", max_iter=300, random_state=s)),
    ),
    "convolution over the trajectory": ("paths", _convolution),
}  # fmt: skip


def _platt(score: Any, success: Any) -> Scorer:
    return fit_platt(score, success)


def _temperature(score: Any, success: Any) -> Scorer:
    sharp = LogisticRegression(C=1e6, fit_intercept=False).fit(score[:, None], success).coef_[0, 0]
    return lambda asked: 1 / (1 + np.exp(-np.clip(sharp * asked, -60, 60)))


def _isotonic(score: Any, success: Any) -> Scorer:
    made = IsotonicRegression(out_of_bounds="clip").fit(score, success)
    predict: Scorer = made.predict
    return predict


def _none(score: Any, success: Any) -> Scorer:
    return lambda asked: 1 / (1 + np.exp(-asked))


CALIBRATIONS: dict[str, Callable[[Any, Any], Scorer]] = {
    "Platt": _platt,
    "temperature": _temperature,
    "isotonic": _isotonic,
    "none": _none,
}


def compare(every: dict[str, Attempts], view: str, verified: int, seeds: int) -> list[list[object]]:
    """Every model by Platt, then the forest by every calibration."""
    found: dict[tuple[str, str], list[Any]] = {}
    for attempts in every.values():
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(attempts.ids))
            known, asked = order[:verified], order[verified:]
            truth = attempts.success
            for name, (kind, learn) in MODELS.items():
                inputs = getattr(attempts, kind)[view]
                held_out = np.zeros(verified)
                for rest, out in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(known, truth[known]):
                    held_out[out] = learn(inputs[known[rest]], truth[known[rest]], seed)(inputs[known[out]])
                score = learn(inputs[known], truth[known], seed)(inputs[asked])
                for which, calibrate in CALIBRATIONS.items():
                    if which == "Platt" or name == next(iter(MODELS)):
                        probability = calibrate(held_out, truth[known])(score)
                        found.setdefault((name, which), []).append((probability, truth[asked]))
    return [[view, *key, *_figures(pairs)] for key, pairs in found.items()]


def _figures(pairs: Sequence[tuple[Any, Any]]) -> list[object]:
    measured = [quality(probability, truth) for probability, truth in pairs]
    sure = [np.maximum(p, 1 - p) >= CONFIDENCE for p, _ in pairs]
    wrong = sum(int((each & ((p > 0.5) != truth)).sum()) for each, (p, truth) in zip(sure, pairs, strict=True))
    labelled, asked = sum(int(each.sum()) for each in sure), sum(len(each) for each in sure)
    return [
        spread([each.auc for each in measured]), spread([each.brier for each in measured]),
        spread([each.ece for each in measured]), f"{labelled / asked:.0%}", of_rate(wrong, labelled),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attempts", type=int, default=700, help="of each task")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--verified", type=int, default=100)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--keep", type=Path, help="folder that keeps the attempts for another run")
    options = parser.parse_args()
    with one_thread():
        every = {
            task: attempts_of(task, options.attempts, FIRST_SEED, options.keep) for task in options.tasks.split(",")
        }
        rows: list[list[object]] = []
        for view in VIEWS:
            rows += compare(every, view, options.verified, options.seeds)
    columns = ["observed", "model", "calibration", "AUC", "Brier", "ECE", "labelled", "labels wrong"]
    title = (
        f"{options.verified} verified attempts, {options.seeds} seeds, {len(every)} tasks, confidence {CONFIDENCE:g}"
    )
    table(title, columns, rows)


if __name__ == "__main__":
    main()
