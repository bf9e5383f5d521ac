"""What all pages have in common: colours, the bar at the top, and what they are made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import ui

from xrollout_ros.core.modes import Mode
from xrollout_ros.ui.dashboard.access import Role

PAGES = (
    ("/", "Now", "sensors"),
    ("/failures", "Failures", "troubleshoot"),
    ("/data", "Data", "layers"),
    ("/cycle", "Cycle", "autorenew"),
)
PALETTE = ("#2563eb", "#c2410c", "#15803d", "#7e22ce", "#0e7490", "#be185d", "#a16207", "#4d7c0f", "#475569")
"""One thing beside another in a chart."""
GREY = "#808080"
"""Of words in charts: to be read on dark and on light."""
MODE_COLOURS = {
    Mode.IDLE: "#475569",
    Mode.AUTONOMOUS: "#15803d",
    Mode.HOLD: "#a16207",
    Mode.HANDOVER: "#0e7490",
    Mode.TELEOP: "#1d4ed8",
    Mode.RECOVERING: "#a21caf",
    Mode.ESTOP: "#b91c1c",
}
"""With white on them, each has a contrast of 4.5 or more."""
OUTCOME_COLOURS = {"success": "#15803d", "failure": "#b91c1c", "abort": "#a21caf", "unknown": "#a16207"}
_ADDRESS = re.compile(r"https?://\S+")
_STYLE = """
<style>
  body { font-family: system-ui, sans-serif; }
  .nicegui-content { padding: 0.75rem; max-width: 110rem; margin: 0 auto; width: 100%; }
  .facts { display: grid; grid-template-columns: max-content 1fr; column-gap: 0.9rem; row-gap: 0.15rem; width: 100%; }
  .facts dt { opacity: 0.75; } .facts dd { margin: 0; overflow-wrap: anywhere; }
  .numbers { font-variant-numeric: tabular-nums; }
  .nicegui-link { color: #1d4ed8; } .body--dark .nicegui-link { color: #93c5fd; }
  :focus-visible { outline: 3px solid #2563eb; outline-offset: 2px; }
</style>
<script>document.documentElement.lang = "en"</script>
"""


@contextmanager
def page(title: str, role: Role) -> Iterator[None]:
    """A page's frame; what is made inside goes into it."""
    ui.add_head_html(_STYLE)
    ui.page_title(f"{title} · XRollout")
    dark = ui.dark_mode(None)
    with ui.header().classes("items-center gap-2 py-2 bg-slate-900 text-white"):
        ui.label("XRollout").classes("text-lg font-bold").props('role="heading" aria-level="1"')
        with ui.element("nav").props('aria-label="Pages"').classes("flex gap-1"):
            for path, name, icon in PAGES:
                link = ui.link(target=path).classes(
                    "flex items-center gap-1 px-2 py-1 rounded !text-white no-underline"
                )
                if name == title:
                    link.classes("bg-slate-700").props('aria-current="page"')
                with link:
                    ui.icon(icon)
                    ui.label(name)
        ui.space()
        if role is Role.READ:
            ui.badge("read-only").props("color=blue-grey-7")
        button = ui.button(icon="contrast", on_click=lambda: dark.set_value(not dark.value))
        button.props('flat round color=white aria-label="Dark or light"')
    yield


def chart(options: dict[str, Any], classes: str = "h-64", **known: Any) -> ui.echart:
    """A chart whose axes can be read on dark and on light."""
    return ui.echart(readable(options), **known).classes(f"w-full {classes}").props('role="img"')


def show_chart(made: ui.echart, options: dict[str, Any], told: str) -> None:
    """Show something else in a chart, and say it in words."""
    made.options.clear()
    made.options.update(readable(options))
    made.props(f'aria-label="{told}"')
    made.update()


def readable(options: dict[str, Any]) -> dict[str, Any]:
    """With axes and grid in colours that can be read on dark and on light."""
    words, lines = {"color": GREY}, {"lineStyle": {"color": f"{GREY}55"}}

    def axis(given: dict[str, Any]) -> dict[str, Any]:
        label = {**words, **given.get("axisLabel", {})}
        return {"nameTextStyle": words, "splitLine": lines, "axisLine": lines, **given, "axisLabel": label}

    axes = {
        name: [axis(each) for each in options[name]] if isinstance(options[name], list) else axis(options[name])
        for name in ("xAxis", "yAxis")
    }
    return {"animation": False, **options, **axes}


@contextmanager
def card(title: str, classes: str = "") -> Iterator[ui.card]:
    """A box with a heading."""
    with ui.card().classes(f"w-full gap-2 p-3 mb-3 break-inside-avoid {classes}") as made:
        ui.label(title).classes("text-sm font-semibold opacity-80").props('role="heading" aria-level="2"')
        yield made


def hint(why: str, *commands: str) -> ui.column:
    """What to do where there is nothing to show."""
    with ui.column().classes("w-full gap-2 py-6") as made:
        ui.label(why).classes("text-lg")
        for command in commands:
            ui.label(command).classes("font-mono text-sm rounded px-2 py-1 bg-slate-200 text-slate-900 break-all")
    return made


def show_link(link: ui.link, said: str) -> bool:
    """Give a link the first address in what was said; false: there is none, and it is hidden."""
    found = _ADDRESS.search(said)
    link.set_visibility(found is not None)
    if found is not None:
        link.set_text(found.group())
        link.props(f'href="{found.group()}"')
    return found is not None


class Facts:
    """Names and values in two columns."""

    def __init__(self, *names: str) -> None:
        self._values: dict[str, ui.label] = {}
        with ui.element("dl").classes("facts numbers"):
            for name in names:
                with ui.element("dt"):
                    ui.label(name)
                with ui.element("dd"):
                    self._values[name] = ui.label("–")

    def show(self, **values: str) -> None:
        """Set values; NiceGUI sends what has changed."""
        for name, value in values.items():
            self._values[name].set_text(value or "–")
