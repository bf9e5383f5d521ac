"""The page of one episode: its curves, and the moment at which it went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nicegui import run, ui

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.modes import Source
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.frame import GREY, Facts, card, chart, page, show_link
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.review_viewer import Viewer
from xrollout_ros.ui.viewers.opened import Opened, find_bag, open_at

_MOST_ROWS = 4000
"""Of a curve: more cannot be seen."""


async def episode_page(episode_id: str, data: Path, viewer: Viewer, role: Role) -> None:
    """Make the page; an episode that cannot be read says why."""
    with page("Episode", role):
        if not episode_id.isalnum():
            ui.label(f"{episode_id!r} is no episode's id: letters and digits alone.").props('role="alert"')
            return
        try:
            read = await run.io_bound(_read, episode_id, data)
        except XRolloutError as error:
            ui.label(str(error)).classes("text-lg").props('role="alert"')
            return
        if read is not None:  # None: the server ends
            _EpisodePage(*read, viewer, role)


def _read(episode_id: str, data: Path) -> tuple[Opened, EpisodeData]:
    path = find_bag(episode_id, data)
    return open_at(path, at_s=None, before_s=3.0, after_s=3.0), read_episode(path)


class _EpisodePage:
    def __init__(self, opened: Opened, episode: EpisodeData, viewer: Viewer, role: Role) -> None:
        self._opened, self._episode, self._viewer = opened, episode, viewer
        meta, effective = episode.meta, opened.effective
        outcome = effective.outcome.value if effective is not None else meta.outcome.value
        with card("Episode"):
            facts = Facts("episode", "task", "outcome", "moment", "tags", "bag")
            facts.show(
                episode=meta.episode_id,
                task=f"{meta.task}, start {meta.start}, seed {meta.seed}",
                outcome=f"{outcome}: {meta.outcome_reason}".removesuffix(": "),
                moment=f"{opened.moment.at_s:.2f} s: {opened.moment.why}",
                tags=", ".join(effective.tags) if effective is not None else "",
                bag=str(opened.bag.path),
            )
            with ui.row().classes("items-center gap-3"):
                if role is Role.ACT:
                    ui.button("Open in Foxglove", icon="open_in_new", on_click=self._foxglove).props("color=blue-8")
                self._link = ui.link(target="", new_tab=True)
                self._link.set_visibility(False)
            with ui.expansion("Other ways to open it"):
                for how, what in how_to_open(opened.bag.path):
                    ui.label(f"{how}: {what}").classes("font-mono text-sm break-all")
        stamps = episode.stamp_s
        with card("Scrubber"):
            at = ui.label().classes("numbers")
            names = [dim.name for dim in episode.robot.actions]
            here = Facts("driven by", *names)
            row = int(np.clip(np.searchsorted(stamps, opened.moment.at_s), 0, len(stamps) - 1))

            def show(number: int) -> None:
                at.set_text(f"{stamps[number]:.2f} s, row {number} of {len(stamps)}")
                values = {name: f"{value:.4g}" for name, value in zip(names, episode.action[number], strict=True)}
                here.show(**{"driven by": Source(int(episode.source[number])).name.lower(), **values})

            slider = ui.slider(min=0, max=len(stamps) - 1, value=row).props('aria-label="Moment of the attempt"')
            slider.on_value_change(lambda event: show(int(event.value)))
            show(row)
        self._curves("Command", names, episode.action)
        for name, span in episode.robot.state_slices().items():
            values = episode.state[:, span]
            self._curves(name.replace("_", " "), [f"{name}[{number}]" for number in range(values.shape[1])], values)

    def _curves(self, title: str, names: list[str], values: np.ndarray[Any, Any]) -> None:
        every = max(1, len(values) // _MOST_ROWS)
        stamps = self._episode.stamp_s[::every]
        series: list[dict[str, Any]] = [
            {
                "name": name, "type": "line", "showSymbol": False,
                "data": np.column_stack([stamps, values[::every, number]]).round(5).tolist(),
            }
            for number, name in enumerate(names)
        ]  # fmt: skip
        series[0]["markLine"] = {
            "symbol": "none", "silent": True, "lineStyle": {"color": "#b91c1c", "width": 2},
            "label": {"formatter": "moment", "color": GREY}, "data": [{"xAxis": round(self._opened.moment.at_s, 3)}],
        }  # fmt: skip
        with card(title):
            chart(
                {
                    "grid": {"left": 55, "right": 20, "top": 20, "bottom": 75},
                    "legend": {"bottom": 0, "type": "scroll", "textStyle": {"color": GREY}},
                    "tooltip": {"trigger": "axis"},
                    "dataZoom": [{"type": "slider", "bottom": 28, "height": 16}],
                    "xAxis": {"type": "value", "name": "s", "min": "dataMin", "max": "dataMax"},
                    "yAxis": {"type": "value", "scale": True},
                    "series": series,
                }
            ).props(f'aria-label="{title} over time"')

    async def _foxglove(self) -> None:
        self._link.set_visibility(False)
        said = await run.io_bound(self._viewer.open, self._episode.meta.episode_id)
        shown = show_link(self._link, said or "")
        ui.notify(said, type="positive" if shown else "negative", multi_line=True, timeout=10_000)
