"""What is sensed, on the page *Now*, where no camera shows it: places from above and from the side, else values."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from nicegui import ui

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.ui.dashboard.frame import GREY, PALETTE, Facts, card, chart, readable
from xrollout_ros.ui.dashboard.live import Live

LOOK_S = 0.2
_ROOM_M = 0.05
"""Around the places: the axes do not jump with every movement."""
_VIEWS = (("from above: y over x, m", 0, 1), ("from the side: z over x, m", 0, 2))


class SceneCard:
    """Listens for as long as the page is open and no camera sends anything."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._looking = ExitStack()
        self._names: list[str] = []
        self._edges: dict[int, tuple[float, float]] = {}
        with card("Scene") as self._card:
            self._chart = chart(_options([], {}), "h-72").props('aria-label="Where things are, as sensed"')
            self._box = ui.column().classes("w-full")
        self._facts: Facts | None = None
        self._card.set_visibility(False)
        ui.timer(LOOK_S, self._look)
        ui.context.client.on_delete(self._looking.close)

    def _look(self) -> None:
        episode = self._live.model().episode
        wanted = episode is not None and not self._live.pictures.topics()
        if not wanted:
            self._looking.close()
            self._card.set_visibility(False)
            return
        assert episode is not None
        if not self._card.visible:
            self._looking.close()
            self._looking.enter_context(self._live.scene.watching())
            self._card.set_visibility(True)
        try:
            values = self._live.scene.values(episode.robot)
        except XRolloutError:
            return
        places = {name: value for name, (value, unit) in values.items() if value.shape == (3,) and unit == "m"}
        self._chart.set_visibility(bool(places))
        self._draw(places)
        self._tell({name: each for name, each in values.items() if name not in places})

    def _draw(self, places: dict[str, Array]) -> None:
        for axis in range(3):
            seen = [float(place[axis]) for place in places.values() if np.isfinite(place[axis])]
            low, high = self._edges.get(axis, (np.inf, -np.inf))
            if seen and (min(seen) < low or max(seen) > high):
                self._edges[axis] = (min(low, min(seen) - _ROOM_M), max(high, max(seen) + _ROOM_M))
                self._names = []
        if list(places) != self._names:
            self._names = list(places)
            self._chart.options.clear()
            self._chart.options.update(readable(_options(self._names, self._edges)))
        for number, (_, across, up) in enumerate(_VIEWS):
            for place, value in enumerate(places.values()):
                series = self._chart.options["series"][number * len(places) + place]
                series["data"] = [[round(float(value[across]), 4), round(float(value[up]), 4)]]

    def _tell(self, values: dict[str, tuple[Array, str]]) -> None:
        if self._facts is None and values:
            with self._box:
                self._facts = Facts(*values)
        if self._facts is not None:
            self._facts.show(
                **{
                    name: " ".join(f"{number:.3g}" for number in np.ravel(value)) + f" {unit}".replace(" 1", "")
                    for name, (value, unit) in values.items()
                }
            )


def _options(names: list[str], edges: dict[int, tuple[float, float]]) -> dict[str, Any]:
    def axis(number: int, index: int) -> dict[str, Any]:
        low, high = edges.get(number, (0.0, 1.0))
        return {"type": "value", "gridIndex": index, "min": round(low, 2), "max": round(high, 2)}

    return {
        "title": [{"text": title, "left": f"{50 * number + 4}%", "textStyle": {"fontSize": 12, "color": GREY}}
                  for number, (title, _, _) in enumerate(_VIEWS)],
        "grid": [{"left": "9%", "width": "36%", "top": 40, "bottom": 60},
                 {"left": "59%", "width": "36%", "top": 40, "bottom": 60}],
        "legend": {"bottom": 0, "type": "scroll", "textStyle": {"color": GREY}, "data": names},
        "xAxis": [axis(across, number) for number, (_, across, _) in enumerate(_VIEWS)],
        "yAxis": [axis(up, number) for number, (_, _, up) in enumerate(_VIEWS)],
        "series": [
            {"name": name, "type": "scatter", "symbolSize": 14, "xAxisIndex": number, "yAxisIndex": number,
             "data": [], "itemStyle": {"color": PALETTE[place % len(PALETTE)]}}
            for number in range(len(_VIEWS))
            for place, name in enumerate(names)
        ],
    }  # fmt: skip
