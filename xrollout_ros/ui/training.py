"""Training with its progress on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xrollout_ros.learning.training import fit
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.resume import state_path
from xrollout_ros.learning.training.train import TrainResult, train
from xrollout_ros.ui import text

PLAIN_LINES = 10
"""Progress lines over a whole run where the output is not a terminal."""


def train_with_progress(options: TrainOptions, console: Console) -> TrainResult:
    """Train, showing epochs, loss and the time left; then say what was made and what was left out.

    Raises:
        XRolloutError: as :func:`xrollout_ros.learning.training.train.train` does.
    """
    waiting = state_path(options.output)
    if waiting.exists() and not options.restart:
        console.print(f"an interrupted training is there ({waiting}); it goes on if it is this one", soft_wrap=True)
    result = _with_bar(options, console) if console.is_terminal else train(options, _Lines(console).report)
    _tell(result, console)
    return result


def _with_bar(options: TrainOptions, console: Console) -> TrainResult:
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("train", total=None, loss="reading episodes")

        def report(progress: fit.Progress) -> None:
            bar.update(task, total=progress.epochs, completed=progress.epoch, loss=_loss(progress))

        return train(options, report)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._due = 0.0

    def report(self, progress: fit.Progress) -> None:
        if progress.epoch < max(1.0, self._due) and progress.epoch < progress.epochs:
            return
        self._due = progress.epoch + progress.epochs / PLAIN_LINES
        left = progress.elapsed_s / progress.epoch * (progress.epochs - progress.epoch)
        self._console.print(
            f"epoch {progress.epoch}/{progress.epochs}  {_loss(progress)}  "
            f"{text.duration(progress.elapsed_s)}, {text.duration(left)} left"
        )


def _loss(progress: fit.Progress) -> str:
    validation = "" if progress.val_loss is None else f", validation {progress.val_loss:.4f}"
    return f"loss {progress.train_loss:.4f}{validation}"


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
