"""Training with its progress on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from xrollout_ros.learning.training import fit
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.resume import state_path
from xrollout_ros.learning.training.train import TrainResult, train
from xrollout_ros.ui import text
from xrollout_ros.ui.progress import Bar


def train_with_progress(options: TrainOptions, console: Console) -> TrainResult:
    """Train, showing epochs, loss and the time left; then say what was made and what was left out.

    Raises:
        XRolloutError: as :func:`xrollout_ros.learning.training.train.train` does.
    """
    waiting = state_path(options.output)
    if waiting.exists() and not options.restart:
        console.print(f"an interrupted training is there ({waiting}); it goes on if it is this one", soft_wrap=True)
    with Bar("reading episodes") as bar:

        def report(progress: fit.Progress) -> None:
            bar.part("epoch", int(progress.epoch), progress.epochs, _loss(progress))

        result = train(options, report)
    _tell(result, console)
    return result


def _loss(progress: fit.Progress) -> str:
    validation = "" if progress.val_loss is None else f", validation {progress.val_loss:.4f}"
    return f"loss {progress.train_loss:.4f}{validation}"


def as_json(result: TrainResult) -> dict[str, Any]:
    """What was made, for programs."""
    meta, fitted = result.meta, result.fitted
    return {
        "checkpoint": result.output,
        "checkpoint_hash": result.checkpoint_hash,
        "policy_id": meta.policy_id,
        "architecture": meta.architecture,
        "task": meta.task,
        "robot": meta.robot,
        "episodes": len(meta.episodes),
        "held_out": len(meta.held_out),
        "rows": result.rows,
        "epochs": len(fitted.history),
        "resumed_from": fitted.resumed_from,
        "stopped_early": fitted.stopped_early,
        "best_epoch": fitted.best_epoch,
        "train_loss": fitted.history[-1].train_loss,
        "val_loss": fitted.history[-1].val_loss,
        "train_s": meta.train_s,
        "left_out": result.left_out,
        "loss_curve": result.picture,
        "history": result.record,
        "problem": result.problem,
    }


def _tell(result: TrainResult, console: Console) -> None:
    meta = result.meta
    held_out = f", {len(meta.held_out)} held out" if meta.held_out else ""
    console.print(
        f"trained {meta.architecture} on {text.plural(len(meta.episodes), 'episode')} of {meta.task} "
        f"({result.rows} rows{held_out}) in {text.duration(meta.train_s)}"
    )
    fitted = result.fitted
    if fitted.resumed_from:
        console.print(f"went on from epoch {fitted.resumed_from}, where an earlier training was interrupted")
    if fitted.stopped_early:
        console.print(
            f"stopped after epoch {len(fitted.history)} of {meta.training['epochs']}: the validation loss was least "
            f"after epoch {fitted.best_epoch}, whose weights were taken"
        )
    classes = result.replay["classes"]
    if len(classes) > 1:
        drawn = sum(each["drawn"] for each in classes.values())
        for name, each in classes.items():
            console.print(
                f"  {name.replace('_', ' ')}: {each['windows']} rows, {each['drawn'] / drawn:.0%} of what was drawn"
            )
    if fitted.unsaved:
        console.print(f"an interruption could not have been gone on from: {fitted.unsaved}", style="yellow")
    if result.left_out:
        console.print(f"left out: {text.plural(sum(result.left_out.values()), 'episode')}")
        for reason, count in sorted(result.left_out.items(), key=lambda item: -item[1]):
            console.print(f"  {count}: {reason}")
    for label, path in (("checkpoint", result.output), ("loss curve", result.picture), ("history", result.record)):
        console.print(f"{label}: {path}", soft_wrap=True)
    if result.problem:
        console.print(f"lineage: not kept beside the episodes: {result.problem}", style="yellow", soft_wrap=True)
