"""The page *Failures*: how the policy fails, most costly first, and from which starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nicegui import background_tasks, ui

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.commands import answer
from xrollout_ros.ui.dashboard.frame import card, page

LOOK_S = 0.3
_MOST_MEMBERS = 12


@dataclass
class Findings:
    """What mining has found in a data folder; one for all that look."""

    data: Path
    found: Mapping[str, Any] | None = None
    problem: str = ""
    busy: bool = False

    def look(self) -> None:
        """Mine again, in a process of its own; pages see it when it is done."""
        if not self.busy:
            self.busy = True
            background_tasks.create(self._look(), name="mine")

    async def _look(self) -> None:
        try:
            self.found, self.problem = await answer("mine", "--data", str(self.data)), ""
        except XRolloutError as error:
            self.problem = str(error)
        finally:
            self.busy = False


def failures_page(findings: Findings, role: Role) -> None:
    """Make the page."""
    with page("Failures", role):
        with ui.row().classes("items-center gap-3"):
            ui.button("Look again", icon="refresh", on_click=findings.look).props("color=blue-8")
            spinner = ui.spinner(size="1.6rem")
            busy = ui.label("reading the newest policy's attempts").props('role="status"')
        problem = ui.label().classes("text-lg").props('role="alert"')
        content = ui.column().classes("w-full gap-3")
        shown: list[object] = [None, None]

        def refresh() -> None:
            for element in (spinner, busy):
                element.set_visibility(findings.busy)
            if shown == [findings.found, findings.problem]:
                return
            shown[:] = [findings.found, findings.problem]
            problem.set_text(findings.problem)
            content.clear()
            if findings.found is not None:
                with content:
                    _show(findings.found)

        if findings.found is None:
            findings.look()
        refresh()
        ui.timer(LOOK_S, refresh)


def _show(found: Mapping[str, Any]) -> None:
    attempts, successes = found["attempts"], found["successes"]
    policies = ", ".join(found["policies"])
    ui.label(f"{found['task']} on {found['robot']}: {success_rate(successes, attempts)}").classes(
        "text-xl font-semibold"
    )
    ui.label(f"policy {policies}").classes("opacity-80")
    with card("Failures, the costliest first"):
        if not found["groups"]:
            ui.label("none of these attempts failed: harder starts show more (`xrollout up deploy start:=wide`)")
        for rank, group in enumerate(found["groups"], 1):
            _group(rank, group, found["trends"].get(group["mode"], {}))
    if found["coverage"] is None:
        ui.label(f"No map of the starts: {found['why_no_coverage']}")
        return
    axes = found["coverage"]["axes"]
    for view in found["coverage"]["views"]:
        _map(axes, view)


def _group(rank: int, group: Mapping[str, Any], trend: Mapping[str, Any]) -> None:
    with ui.expansion(group=None).classes("w-full") as row:
        with row.add_slot("header"), ui.row().classes("w-full items-center gap-3"):
            ui.label(f"{rank}").classes("text-lg font-bold w-6")
            ui.label(group["mode"].replace("_", " ")).classes("text-lg grow")
            share = f"{group['frequency']:.0%} ({group['low']:.0%} to {group['high']:.0%})"
            ui.label(f"{len(group['members'])} attempts, {share}").classes("numbers")
        if trend:
            ui.label(f"{trend['words']}").classes("opacity-80")
        with ui.row().classes("gap-3 flex-wrap"):
            others = [member for member in group["members"] if member != group["medoid"]]
            ui.link(f"{group['medoid'][-8:]} (the most typical)", f"/episode/{group['medoid']}")
            for member in others[:_MOST_MEMBERS]:
                ui.link(member[-8:], f"/episode/{member}")
            if len(others) > _MOST_MEMBERS:
                ui.label(f"and {len(others) - _MOST_MEMBERS} more")


def _map(axes: list[Mapping[str, Any]], view: Mapping[str, Any]) -> None:
    """Success by start, as a heat map of two axes of the starts."""
    named = {axis["label"]: axis for axis in axes}
    across, down = (named[label] for label in view["axes"])
    cells = view["cells"]
    columns = sorted({(cell["low"][0], cell["high"][0]) for cell in cells})
    rows = sorted({(cell["low"][1], cell["high"][1]) for cell in cells})
    data, words = [], {}
    for cell in cells:
        place = [columns.index((cell["low"][0], cell["high"][0])), rows.index((cell["low"][1], cell["high"][1]))]
        rate = cell["successes"] / cell["attempts"] if cell["attempts"] else None
        label = f"{cell['successes']}/{cell['attempts']}" if cell["attempts"] else ""
        words[tuple(place)] = label
        data.append({"value": [*place, rate if rate is not None else "-"], "label": {"formatter": label}})
    with card(f"Success by start: {across['label']} and {down['label']}"):
        ui.echart(
            {
                "animation": False,
                "grid": {"left": 90, "right": 20, "top": 10, "bottom": 75},
                "xAxis": {"type": "category", "name": _named(across), "nameLocation": "middle", "nameGap": 28,
                          "data": [f"{low:.2f}–{high:.2f}" for low, high in columns]},
                "yAxis": {"type": "category", "name": _named(down), "nameLocation": "middle", "nameGap": 70,
                          "data": [f"{low:.2f}–{high:.2f}" for low, high in rows]},
                "visualMap": {"min": 0, "max": 1, "calculable": False, "orient": "horizontal", "left": "center",
                              "bottom": 0, "itemHeight": 90, "text": ["always", "never"],
                              "inRange": {"color": ["#b91c1c", "#facc15", "#15803d"]},
                              "textStyle": {"color": "#808080"}},
                "series": [{"type": "heatmap", "data": data, "label": {"show": True, "color": "#000000"}}],
            }
        ).classes("w-full h-80").props(f'role="img" aria-label="{_told(columns, rows, words)}"')  # fmt: skip


def _named(axis: Mapping[str, Any]) -> str:
    return f"{axis['label']} ({axis['unit']})" if axis.get("unit") else str(axis["label"])


def _told(columns: list[Any], rows: list[Any], words: Mapping[Any, str]) -> str:
    """The map in words, for who does not see it."""
    told = [
        f"{columns[across][0]:.2f}, {rows[down][0]:.2f}: {label}"
        for (across, down), label in sorted(words.items())
        if label
    ]
    return "Successes of attempts by start: " + "; ".join(told)
