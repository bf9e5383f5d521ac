"""Rows of a name, a bar and a value, as many as the graph tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nicegui import ui


@dataclass(frozen=True)
class Gauge:
    """One row."""

    name: str
    value: str
    share: float | None
    """How full the bar is; None: there is no bar."""
    colour: str = "primary"


class Gauges:
    """Rows that are made anew when the names change; else only what is in them."""

    def __init__(self) -> None:
        self._box = ui.element("div").classes("facts numbers items-center")
        self._names: list[str] = []
        self._rows: list[tuple[ui.linear_progress, ui.label]] = []

    def show(self, gauges: Sequence[Gauge]) -> None:
        """Show these."""
        if self._names != [gauge.name for gauge in gauges]:
            self._names = [gauge.name for gauge in gauges]
            self._box.clear()
            with self._box:
                self._rows = [self._row(name) for name in self._names]
        for (bar, label), gauge in zip(self._rows, gauges, strict=True):
            bar.set_visibility(gauge.share is not None)
            bar.set_value(round(min(1.0, max(0.0, gauge.share or 0.0)), 3))
            bar.props(f"color={gauge.colour}")
            label.set_text(gauge.value)

    def _row(self, name: str) -> tuple[ui.linear_progress, ui.label]:
        ui.label(name)
        with ui.row().classes("items-center gap-2 no-wrap w-full"):
            bar = ui.linear_progress(0, show_value=False).props(f'aria-label="{name}"')
            return bar, ui.label().classes("w-20 text-right whitespace-nowrap")
