"""Pictures of what somebody recorded in the first hour: ``python -m docs.making.plots FOLDER`` draws them anew.

FOLDER is that of the first hour, with its bags and the pyramid of its flywheel.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from docs.making.drawing import ACCENT, FAINT, INK, SOFT, WARM, Drawing
from docs.making.source import ROOT
from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.task import ReachSpec
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.store import find_episodes

PICTURES = ROOT / "docs" / "pictures"
_COLOURS = {Source.POLICY: ACCENT, Source.OPERATOR: WARM, Source.HOLD: FAINT, Source.RECOVERY: "#5a4fa2"}
_NAMES = {
    Source.POLICY: "the policy's", Source.OPERATOR: "the operator's",
    Source.HOLD: "hold", Source.RECOVERY: "a recovery's",
}  # fmt: skip


def figure(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure on white paper, and its axes below each other."""
    made = Figure(figsize=(9.2, height), dpi=110, layout="constrained", facecolor="white")
    axes = list(made.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(colors=INK, labelsize=9)
        each.grid(color=FAINT, alpha=0.25)
    return made, axes


def attempt(episode: EpisodeData, path: Path) -> None:
    """An attempt with a takeover: where the hand was, what was commanded by whom, and the modes."""
    made, (above, below) = figure(2, 4.6)
    hand, _ = apart(episode)
    for axis, name in enumerate("xyz"):
        above.plot(episode.stamp_s, hand[:, axis] - hand[0, axis], label=name, color=(INK, ACCENT, WARM)[axis], lw=1.6)
    above.set_ylabel("hand, m from its start", fontsize=9)
    above.legend(fontsize=9, frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    speed = np.linalg.norm(episode.action[:, :3], axis=1)
    for source, colour in _COLOURS.items():
        rows = episode.source == source
        if rows.any():
            below.scatter(episode.stamp_s[rows], speed[rows], s=5, color=colour, label=f"{_NAMES[source]} command")
    below.set_ylabel("length of the command", fontsize=9)
    below.set_xlabel("s since the first command", fontsize=9)
    below.legend(fontsize=9, frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    for span in episode.meta.interventions:
        for each in (above, below):
            each.axvspan(span.begin_s, span.end_s, color=WARM, alpha=0.09)
        above.annotate(
            "intervention",
            (span.begin_s, 0.93),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=9,
            color=WARM,
            va="center",
        )
    changes = np.flatnonzero(np.diff(episode.mode.astype(int), prepend=-1))
    for row in changes:
        below.axvline(episode.stamp_s[row], color=FAINT, lw=0.8, ls=":")
    told = " → ".join(Mode(int(episode.mode[row])).name for row in changes)
    made.suptitle(
        f"{told}; {episode.meta.outcome.value}, said by: {episode.meta.outcome_source.value}", fontsize=10, color=INK
    )
    made.savefig(path)


def failure(episode: EpisodeData, judged: dict[str, Any], path: Path) -> None:
    """An attempt that failed: how far hand and object were apart, and what the rule says of it."""
    made, (axes,) = figure(1, 3.4)
    _, distance = apart(episode)
    axes.plot(episode.stamp_s, distance, color=INK, lw=1.8, label="hand to object")
    axes.axhline(_reach(episode).distance_m, color=ACCENT, lw=1.2, ls="--", label="near enough to begin (reach)")
    at_s = judged["failure_moment_s"]
    axes.axvline(at_s, color=WARM, lw=1.4)
    axes.annotate(
        f"{judged['failure_mode']} in {judged['failure_stage']}, at {at_s:.2f} s", (at_s, 0.9),
        xycoords=("data", "axes fraction"), xytext=(6, 0), textcoords="offset points", color=WARM, fontsize=10,
    )  # fmt: skip
    axes.set_ylim(0, None)
    axes.set_ylabel("m", fontsize=9)
    axes.set_xlabel("s since the first command", fontsize=9)
    axes.legend(fontsize=9, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    made.savefig(path)


def pyramid(report: dict[str, Any]) -> str:
    """The levels of a pyramid, as wide as they hold episodes."""
    drawing = Drawing(760, 330, "Levels of a pyramid")
    levels = report["levels"]
    most = max(level["episodes"] for level in levels)
    for place, level in enumerate(reversed(levels)):
        width = 120 + 400 * level["episodes"] / most
        y = 20 + 74 * place
        fill = SOFT if level["episodes"] else "#ffffff"
        drawing.parts.append(
            f'<rect x="{300 - width / 2:.0f}" y="{y}" width="{width:.0f}" height="60" rx="8" fill="{fill}" '
            f'stroke="{ACCENT}" stroke-width="1.4"/>'
        )
        drawing.words(300, y + 22, f"{level['level']} {level['name']}", weight="600")
        drawing.words(300, y + 42, f"{level['episodes']} episode{'s' * (level['episodes'] != 1)}", size=11)
        drawing.words(650, y + 30, f"{level['training_rows']} rows that train", size=12)
    return drawing.svg()


def apart(episode: EpisodeData) -> tuple[np.ndarray, np.ndarray]:
    """The hand's place (T, 3) m, and its distance from the object (T,) m."""
    columns, begin = {}, 0
    for entry in episode.robot.observations:
        columns[entry.name] = episode.state[:, begin : begin + entry.size]
        begin += entry.size
    reach = _reach(episode)
    hand, thing = columns[reach.hand], columns[reach.object]
    return hand, np.linalg.norm(hand - thing, axis=1)


def _reach(episode: EpisodeData) -> ReachSpec:
    assert episode.task is not None, f"{episode.path} does not say which task it is of"
    assert episode.task.reach is not None, "the task names no hand and no object"
    return episode.task.reach


def main(folder: Path) -> None:
    """Draw all of them."""
    data = folder / "raw_rollouts"
    found = [(entry.path, entry.meta) for entry in find_episodes(data) if entry.meta is not None]
    attempts = {path: meta for path, meta in found if meta.kind is EpisodeKind.ATTEMPT}
    helped = {
        path: sum(span.end_s - span.begin_s for span in meta.interventions)
        for path, meta in attempts.items()
        if meta.interventions and meta.outcome is Outcome.SUCCESS
    }
    attempt(read_episode(max(helped, key=lambda path: helped[path])), PICTURES / "concept_attempt.png")
    with Catalog(data) as catalog:
        catalog.update()
        rows = catalog.listing(["failure=never_reached", "outcome=failure"], limit=1)
    failed = next(path for path, meta in attempts.items() if meta.episode_id == rows[0]["episode_id"])
    failure(read_episode(failed), rows[0], PICTURES / "concept_failure.png")
    report = json.loads((folder / "flywheel" / "pyramid" / "report.json").read_text(encoding="utf-8"))
    (PICTURES / "concept_pyramid.svg").write_text(pyramid(report), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
