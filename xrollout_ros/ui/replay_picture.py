"""Replays as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xrollout_ros.core.files import write_together
from xrollout_ros.episodes.reader import EpisodeData

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xrollout_ros.learning.agreement import Agreement
    from xrollout_ros.sim.replay import ActionReplay


def draw_replay(path: Path, episode: EpisodeData, replay: ActionReplay | None, agreement: Agreement | None) -> None:
    """Write a PNG: how far the replayed states are from the recorded ones, and the policy's actions from those sent.

    Raises:
        DataError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = [part for part in (replay, agreement) if part is not None]
    figure = Figure(figsize=(8, 3.5 * len(parts)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(len(parts), 1, squeeze=False)[:, 0])
    figure.suptitle(f"episode {episode.meta.episode_id}, {episode.meta.task}", fontsize=10)
    if replay is not None:
        _states(axes.pop(0), episode, replay)
    if agreement is not None:
        _actions(axes.pop(0), agreement)
    write_together({path: lambda fresh: figure.savefig(fresh, format="png")})


def _states(axes: Axes, episode: EpisodeData, replay: ActionReplay) -> None:
    for entry in episode.robot.observations:
        size = np.abs(replay.difference[:, episode.robot.state_slices()[entry.name]]).max(axis=1)
        axes.plot(replay.time_s, size, linewidth=1, label=f"{entry.name}, {entry.unit}")
    if replay.diverges_at is not None:
        axes.set_yscale("symlog", linthresh=1e-9)
        axes.axvline(replay.time_s[replay.diverges_at], color="0.5", linewidth=1, linestyle="--")
    axes.set_title("commands sent again: difference from the recorded states", fontsize=9)
    _finish(axes)


def _actions(axes: Axes, agreement: Agreement) -> None:
    for index, (name, unit) in enumerate(zip(agreement.names, agreement.units, strict=True)):
        axes.plot(agreement.time_s, agreement.chunk[:, index], linewidth=1, label=f"{name}, {unit}")
    axes.axvline(agreement.time_s[agreement.worst], color="0.5", linewidth=1, linestyle="--")
    axes.set_title("policy's chunks: mean error against the recorded actions", fontsize=9)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.set_xlabel("s")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7)
