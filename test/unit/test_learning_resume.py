"""A training that is killed goes on where it was, and ends as if it had not been."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from xrollout_ros.core.errors import DataError, TrainingDivergedError
from xrollout_ros.learning.models import build_model
from xrollout_ros.learning.training import fit as fit_module
from xrollout_ros.learning.training.fit import Fitted, Progress, Recipe, fit
from xrollout_ros.learning.training.replay import Prioritized
from xrollout_ros.learning.training.resume import TrainingState, fingerprint, state_path
from xrollout_ros.learning.windows import Windows

EPOCHS = 6


class KilledError(Exception):
    """In the place of a signal."""


def samples(seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    state = rng.uniform(-1, 1, (40, 3)).astype(np.float32)
    return Windows.of(state, np.repeat(state[:, None, :2], 4, axis=1))


def recipe(**changes: object) -> Recipe:
    values = {"lr": 1e-2, "batch_size": 16, "seed": 3, "weight_decay": 1e-4, "warmup_steps": 3, "ema": 0.9}
    return Recipe(**({"epochs": EPOCHS, "state_noise": 0.01} | values | changes))  # type: ignore[arg-type]


def train(
    path: Path | None, kill_after: int = 0, replayed: bool = False, run: str = "a" * 64, **changes: object
) -> Fitted:
    torch.manual_seed(0)
    model = build_model(
        "flow", {"state_dim": 3, "action_dim": 2, "horizon": 4, "width": 16, "depth": 1, "dropout": 0.1}
    )
    replay = Prioritized(np.linspace(1, 3, 40), np.zeros(40, np.uint8)) if replayed else None

    def report(progress: Progress) -> None:
        if progress.epoch == kill_after + 1 and kill_after:
            raise KilledError

    state = None if path is None else TrainingState(path, run)
    return fit(model, samples(), samples(1), recipe(**changes), report, replay=replay, state=state)


def same(one: Fitted, two: Fitted) -> bool:
    left, right = one.model.state_dict(), two.model.state_dict()
    losses = [[(each.train_loss, each.val_loss) for each in fitted.history] for fitted in (one, two)]
    return losses[0] == losses[1] and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("changes", [{}, {"replayed": True}, {"patience": 4}, {"precision": "bf16"}])
def test_a_killed_training_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", 0.0)
    whole = train(None, **changes)  # type: ignore[arg-type]
    with pytest.raises(KilledError):
        train(tmp_path / "state", kill_after=3, **changes)  # type: ignore[arg-type]
    resumed = train(tmp_path / "state", **changes)  # type: ignore[arg-type]
    assert resumed.resumed_from == 3
    assert same(resumed, whole)


def test_a_process_that_gets_sigkill_goes_on(tmp_path: Path) -> None:
    """The real thing: no handler runs, and the file that was written before is enough."""
    script = f"""
import os, signal
from test.unit import test_learning_resume as here
here.fit_module.SAVE_EVERY_S = 0.0
from pathlib import Path
real = here.Progress
def dying(*args):
    made = real(*args)
    if made.epoch == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return made
here.fit_module.Progress = dying
here.train(Path({str(tmp_path / "state")!r}))
"""
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]
    resumed = train(tmp_path / "state")
    assert resumed.resumed_from == 3
    assert same(resumed, train(None))


def test_a_state_of_another_training_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", 0.0)
    with pytest.raises(KilledError):
        train(tmp_path / "state", kill_after=2)
    before = (tmp_path / "state").read_bytes()
    with pytest.raises(DataError, match=r"another training that was interrupted.*--restart"):
        train(tmp_path / "state", run="b" * 64)
    assert (tmp_path / "state").read_bytes() == before
    (tmp_path / "state").write_bytes(before[: len(before) // 2])
    with pytest.raises(DataError, match=r"cannot be read.*--restart"):
        train(tmp_path / "state")
    TrainingState(tmp_path / "state", "").forget()
    assert train(tmp_path / "state", run="b" * 64).resumed_from == 0


def test_a_full_disk_is_told_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", 0.0)
    (tmp_path / "file").write_text("")
    fitted = train(tmp_path / "file" / "state")
    assert len(fitted.history) == EPOCHS
    assert "could not be written" in fitted.unsaved


def test_diverging_leaves_no_state_that_would_diverge_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", 0.0)
    calls = iter(range(100))
    real = fit_module._loss

    def bad(*given: object) -> torch.Tensor:
        found = real(*given)  # type: ignore[arg-type]
        return found * float("inf") if next(calls) > 12 else found

    monkeypatch.setattr(fit_module, "_loss", bad)
    with pytest.raises(TrainingDivergedError, match=r"Nothing was written"):
        train(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


def test_training_stops_where_validation_was_best(tmp_path: Path) -> None:
    fitted = train(None, epochs=400, patience=5, lr=0.05)
    assert fitted.stopped_early
    losses = [each.val_loss for each in fitted.history]
    assert fitted.best_epoch is not None
    assert losses[fitted.best_epoch - 1] == min(losses)  # type: ignore[type-var]
    assert len(losses) == fitted.best_epoch + 5
    assert not train(None, epochs=3, patience=5).stopped_early


def test_the_fingerprint_is_of_all_that_counts() -> None:
    assert fingerprint(a=1, b=[2]) == fingerprint(b=[2], a=1)
    assert fingerprint(a=1) != fingerprint(a=2)
    assert state_path(Path("x/checkpoint.pt")) == Path("x/.checkpoint.pt.training")
