"""The loss curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xrollout_ros.learning.training.fit import Progress


def draw_losses(path: Path, history: Sequence[Progress], title: str, loss_name: str) -> None:
    """Write a PNG with the training loss, and the validation loss where episodes were held out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    epochs = [progress.epoch for progress in history]
    marker = "o" if len(history) == 1 else None
    axes.plot(epochs, [progress.train_loss for progress in history], label="training", linewidth=1, marker=marker)
    validation = [(progress.epoch, progress.val_loss) for progress in history if progress.val_loss is not None]
    if validation:
        axes.plot(
            [epoch for epoch, _ in validation],
            [loss for _, loss in validation],
            label="validation (held-out episodes, averaged weights)",
            linewidth=1,
            marker=marker,
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel(loss_name)
    if all(progress.train_loss > 0 for progress in history):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(path, format="png")
