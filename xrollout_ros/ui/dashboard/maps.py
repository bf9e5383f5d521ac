"""Maps on the pages: of the starts, and of the failures among each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nicegui import events, ui

from xrollout_ros.ui.dashboard.frame import GREY, PALETTE, card, chart

What = Literal["success", "attempts", "demonstrations"]
_TITLES = {
    "success": "Success by start",
    "attempts": "Attempts by start",
    "demonstrations": "Demonstrations by start",
}
_COLOURS = {"success": ["#b91c1c", "#facc15", "#15803d"], "attempts": ["#dbeafe", "#3b82f6"],
            "demonstrations": ["#dcfce7", "#22c55e"]}  # fmt: skip


def maps_of_starts(coverage: Mapping[str, Any], *kinds: What) -> None:
    """Heat maps of two axes of the starts each, as ``xrollout mine --json`` tells its coverage."""
    for view in coverage["views"]:
        for what in kinds:
            _map(coverage["axes"], view, what)


def _map(axes: Sequence[Mapping[str, Any]], view: Mapping[str, Any], what: What) -> None:
    named = {axis["label"]: axis for axis in axes}
    shown = [named[label] for label in view["axes"]]
    cells = view["cells"]
    columns = sorted({(cell["low"][0], cell["high"][0]) for cell in cells})
    rows = sorted({(cell["low"][1], cell["high"][1]) for cell in cells}) if len(shown) > 1 else [(0.0, 1.0)]
    data, words = [], {}
    for cell in cells:
        row = rows.index((cell["low"][1], cell["high"][1])) if len(shown) > 1 else 0
        place = (columns.index((cell["low"][0], cell["high"][0])), row)
        value, label = _value(cell, what)
        words[place] = label
        item = {"value": [*place, "-" if value is None else value], "label": {"formatter": label}}
        if cell["region"] is not None:
            item["itemStyle"] = {
                "borderColor": "#c24e00" if cell["region"] == "desert" else "#7e22ce",
                "borderWidth": 2,
            }
        data.append(item)
    most = 1.0 if what == "success" else max([1, *(cell[what] for cell in cells)])
    title = f"{_TITLES[what]}: {' and '.join(axis['label'] for axis in shown)}"
    down = _named(shown[1]) if len(shown) > 1 else ""
    with card(title):
        chart(
            {
                "grid": {"left": 90, "right": 20, "top": 10, "bottom": 75},
                "xAxis": {"type": "category", "name": _named(shown[0]), "nameLocation": "middle", "nameGap": 28,
                          "data": [f"{low:.2f}–{high:.2f}" for low, high in columns]},
                "yAxis": {"type": "category", "name": down, "nameLocation": "middle", "nameGap": 70,
                          "data": [f"{low:.2f}–{high:.2f}" for low, high in rows] if down else [""]},
                "visualMap": {"min": 0, "max": most, "calculable": False, "orient": "horizontal", "left": "center",
                              "bottom": 0, "itemHeight": 90, "inRange": {"color": _COLOURS[what]},
                              "text": ["always", "never"] if what == "success" else [f"{most:g}", "0"],
                              "textStyle": {"color": GREY}},
                "series": [{"type": "heatmap", "data": data, "label": {"show": True, "color": "#000000"}}],
            },
            "h-80",
        ).props(f'aria-label="{title}: {_told(columns, rows, words)}"')  # fmt: skip


def _value(cell: Mapping[str, Any], what: What) -> tuple[float | None, str]:
    if what != "success":
        return cell[what], str(cell[what])
    if not cell["attempts"]:
        return None, ""
    return cell["successes"] / cell["attempts"], f"{cell['successes']}/{cell['attempts']}"


def _named(axis: Mapping[str, Any]) -> str:
    return f"{axis['label']} ({axis['unit']})" if axis.get("unit") else str(axis["label"])


def _told(columns: Sequence[Any], rows: Sequence[Any], words: Mapping[tuple[int, int], str]) -> str:
    """The map in words, for who does not see it."""
    return "; ".join(
        f"{columns[across][0]:.2f}, {rows[down][0]:.2f}: {label}"
        for (across, down), label in sorted(words.items())
        if label
    )


def map_of_failures(found: Mapping[str, Any]) -> None:
    """Failures among each other, each group in a colour, its most typical one large; a click leads to the episode."""
    places = found["places"]
    series = []
    for number, group in enumerate(found["groups"]):
        data = [
            {
                "value": places[member],
                "name": member,
                "symbolSize": 20 if member == group["medoid"] else 9,
                "symbol": "diamond" if member == group["medoid"] else "circle",
            }
            for member in group["members"]
            if member in places
        ]
        if data:
            colour = {"color": PALETTE[number % len(PALETTE)]}
            series.append({"type": "scatter", "name": group_name(group), "data": data, "itemStyle": colour})
    if not series:
        return

    def opened(event: events.EChartPointClickEventArguments) -> None:
        ui.navigate.to(f"/episode/{event.name}")

    count = sum(len(each["data"]) for each in series)
    told = f"{count} failures in {len(series)} groups; the list has them all"
    with card("Failures among each other: near is alike, the diamond is the most typical of its group"):
        chart(
            {
                "grid": {"left": 40, "right": 20, "top": 15, "bottom": 60},
                "legend": {"bottom": 0, "type": "scroll", "textStyle": {"color": GREY}},
                "tooltip": {"formatter": "{a}<br>{b}"},
                "xAxis": {"type": "value", "scale": True},
                "yAxis": {"type": "value", "scale": True},
                "series": series,
            },
            "h-96",
            on_point_click=opened,
        ).props(f'aria-label="{told}"')  # fmt: skip


def group_name(group: Mapping[str, Any]) -> str:
    """For people."""
    mode = str(group["mode"]).replace("_", " ")
    return mode if group["cluster"] is None else f"{mode} #{group['cluster']}"
