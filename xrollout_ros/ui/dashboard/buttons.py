"""The page's buttons: what a person may ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from nicegui import ui

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.ui.asking import ASKS, SURE_S, Ask
from xrollout_ros.ui.dashboard.live import Live

_LOOKS = {
    "Take over": ("pan_tool", "blue-8"),
    "Hand back": ("smart_toy", "green-9"),
    "Hold": ("pause", "brown-8"),
    "Success": ("check", "green-9"),
    "Failure": ("close", "deep-orange-10"),
    "Save highlight": ("movie", "blue-grey-8"),
    "STOP": ("dangerous", "red-10"),
    "Reset stop": ("restart_alt", "blue-grey-8"),
}
"""Icon and colour of each button."""


async def tell(do: Callable[[], str]) -> None:
    """Do something beside the server's loop, and tell what came of it."""
    try:
        said = await asyncio.to_thread(do)
    except XRolloutError as error:
        tell_problem(error)
        return
    ui.notify(said, type="positive")


def tell_problem(error: XRolloutError) -> None:
    """Tell what is wrong, long enough to be read."""
    ui.notify(str(error), type="negative", timeout=10_000, close_button=True)


def twice(button: ui.button, do: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """What a button does that acts when it is pressed again within some seconds."""
    name, sure = button.text, False

    def back() -> None:
        nonlocal sure
        sure = False
        button.set_text(name)

    async def pressed() -> None:
        nonlocal sure
        if sure:
            back()
            await do()
            return
        sure = True
        button.set_text(f"{name}: sure?")
        ui.timer(SURE_S, back, once=True)

    return pressed


class Buttons:
    """One for each of ``ASKS``, side by side."""

    def __init__(self, live: Live) -> None:
        self._live = live
        with ui.element("div").classes("grid grid-cols-2 sm:grid-cols-4 xl:grid-cols-8 gap-2 w-full"):
            for ask in ASKS:
                icon, colour = _LOOKS[ask.name]
                button = ui.button(ask.name, icon=icon).props(f"color={colour}").classes("w-full min-h-14")
                do = partial(self._do, ask)
                button.on_click(twice(button, do) if ask.twice else do)

    async def _do(self, ask: Ask) -> None:
        episode = self._live.model().episode
        await tell(partial(ask.do, self._live.actor, episode.episode_id if episode is not None else ""))
