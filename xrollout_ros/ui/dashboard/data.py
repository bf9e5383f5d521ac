"""The page *Data*: the pyramid over time, what waits for review, which starts are covered, what came from what."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nicegui import ui

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.learning.pyramid.opening import Build, read_history, read_report
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.answers import show_answer
from xrollout_ros.ui.dashboard.commands import Question
from xrollout_ros.ui.dashboard.frame import GREY, card, chart, hint, page, show_chart
from xrollout_ros.ui.dashboard.lineage import LineageCard
from xrollout_ros.ui.dashboard.maps import maps_of_starts
from xrollout_ros.ui.dashboard.review import ReviewCard
from xrollout_ros.ui.review_viewer import Viewer

LOOK_S = 2.0
_COLOURS = ("#64748b", "#0e7490", "#2563eb", "#15803d")
"""Of the levels, the lowest first."""


def data_page(data: Path, pyramid: Path, findings: Question, viewer: Viewer, role: Role) -> None:
    """Make the page.

    Args:
        data: folder of the bags.
        pyramid: its folder.
        findings: what mining says.
        viewer: opens an episode.
        role: who looks.
    """
    with page("Data", role):
        _Pyramid(data, pyramid)
        if role is Role.ACT:
            ReviewCard(data, viewer)
        with card("Starts: what was tried, and what was demonstrated"):
            show_answer(findings, "reading starts", _show_starts)
        LineageCard(data, findings)


def _show_starts(found: Mapping[str, Any]) -> None:
    coverage = found["coverage"]
    if coverage is None:
        ui.label(f"No map of the starts: {found['why_no_coverage']}")
        return
    near, far = coverage["near_demonstrations"], coverage["far_from_demonstrations"]
    ui.label(
        f"near a demonstrated start {near['successes']} of {near['attempts']} succeeded, far from all "
        f"{far['successes']} of {far['attempts']}"
    ).classes("numbers")
    ui.label("Framed: orange, nothing was demonstrated there; violet, it was and yet attempts fail.").classes(
        "opacity-80"
    )
    with ui.element("div").classes("grid grid-cols-1 lg:grid-cols-2 gap-x-3 w-full"):
        maps_of_starts(coverage, "attempts", "demonstrations")


class _Pyramid:
    """Its levels as the last build left them, and what each build changed."""

    def __init__(self, data: Path, folder: Path) -> None:
        self._folder = folder
        self._state: object = None
        with card("Pyramid"):
            self._nothing = hint(
                "There is no pyramid yet: episodes are sorted into four levels, each a dataset to train from.",
                f"xrollout pyramid build --raw-data {data} --output {folder}",
            )
            self._problem = ui.label().props('role="alert"')
            self._head = ui.label().classes("numbers")
            columns = [
                {"name": name, "label": name, "field": name, "align": "left" if name == "level" else "right"}
                for name in ("level", "episodes", "train", "rows", "demonstration", "intervention", "rollout")
            ]
            self._levels = ui.table(rows=[], columns=columns, row_key="level").classes("w-full").props("flat dense")
            self._chart = chart(_over_time([]))
        for each in (self._nothing, self._levels, self._chart):
            each.set_visibility(False)
        ui.timer(LOOK_S, self._look)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._read)
        except XRolloutError as error:
            self._problem.set_text(str(error))
            return
        if found is None:
            return
        self._problem.set_text("")
        report, builds = found
        self._nothing.set_visibility(report is None)
        for each in (self._levels, self._chart):
            each.set_visibility(report is not None)
        if report is None:
            return
        self._head.set_text(
            f"{report['task']} on {report['robot']}: {report['episodes']} episodes, recipe {report['recipe']}"
        )
        self._levels.rows[:] = [_row(level) for level in report["levels"]]
        self._levels.update()
        told = "; ".join(f"{build.at}: {', '.join(str(level.episodes) for level in build.levels)}" for build in builds)
        show_chart(self._chart, _over_time(builds), f"Episodes in each level after each build: {told}")

    def _read(self) -> tuple[dict[str, Any] | None, list[Build]] | None:
        """None: as it was."""
        state = [(path.name, path.stat().st_mtime_ns) for path in sorted(self._folder.glob("*.json*"))]
        if state == self._state:
            return None
        found = (read_report(self._folder), read_history(self._folder)) if state else (None, [])
        self._state = state
        return found


def _row(level: Mapping[str, Any]) -> dict[str, Any]:
    frames = level["training_frames"]
    return {
        "level": f"{level['level']} {level['name']}", "episodes": level["episodes"],
        "train": level["training_episodes"], "rows": level["training_rows"],
        **{name: frames.get(name, 0) for name in ("demonstration", "intervention", "rollout")},
    }  # fmt: skip


def _over_time(builds: list[Build]) -> dict[str, Any]:
    """Episodes in each level, build by build."""
    numbers = sorted({level.level for build in builds for level in build.levels})
    return {
        "grid": {"left": 60, "right": 30, "top": 25, "bottom": 60},
        "tooltip": {"trigger": "axis"},
        "legend": {"bottom": 0, "textStyle": {"color": GREY}},
        "xAxis": {"type": "category", "data": [build.at[5:16].replace("T", " ") for build in builds]},
        "yAxis": {"type": "value", "name": "episodes", "minInterval": 1},
        "series": [
            {
                "name": f"level {number}", "type": "line", "step": "end", "symbolSize": 7,
                "lineStyle": {"color": _COLOURS[number - 1]}, "itemStyle": {"color": _COLOURS[number - 1]},
                "data": [next((level.episodes for level in build.levels if level.level == number), None)
                         for build in builds],
            }
            for number in numbers
        ],
    }  # fmt: skip
