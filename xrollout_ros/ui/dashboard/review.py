"""Reviewing on a page: one episode after another, by the keys of `xrollout review` or by buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from nicegui import events, ui

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.mining.review.api import Case, Done, Reviews
from xrollout_ros.mining.review.queue import Waiting
from xrollout_ros.mining.success.label import LAYER as LABELS_LAYER
from xrollout_ros.mining.taxonomy import IN_SUCCESSES
from xrollout_ros.ui import text
from xrollout_ros.ui.dashboard.buttons import tell_problem
from xrollout_ros.ui.dashboard.frame import card, show_link
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.people import default_reviewer
from xrollout_ros.ui.review_line import Line, asks_why, meta_of, moment_of
from xrollout_ros.ui.review_screen import KEYS, MODE_KEYS, OUTCOME_KEYS, in_words, label_in_words, lines_of
from xrollout_ros.ui.review_viewer import Viewer

_ON_PAGE = {key: what for key, what in KEYS if key in "cmsfdnou"}
"""Reason and moment have fields of their own, and a page needs no quitting."""
T = TypeVar("T")
Lines = list[tuple[str, str]]


class ReviewCard:
    """What waits for one reviewer.

    Args:
        data: folder of the bags.
        viewer: opens an episode.
    """

    def __init__(self, data: Path, viewer: Viewer) -> None:
        self._data, self._viewer = data, viewer
        self._line = Line()
        self._case: Case | None = None
        self._decided: list[str] = []
        self._asks: str = ""
        """``m`` or ``f``: a mode is to be named."""
        self._alone = asyncio.Lock()
        with card("Review: what waits for you"):
            with ui.row().classes("items-end gap-3"):
                self._reviewer = ui.input("reviewer", value=default_reviewer()).props("dense outlined")
                self._reviewer.on("change", self._begin)
                self._reason = ui.input("reason of the next decision").props("dense outlined").classes("w-64")
                self._moment = ui.number("moment, s", min=0, format="%.2f").props("dense outlined").classes("w-32")
            self._head = ui.label().classes("text-lg font-semibold break-all").props('role="status"')
            self._facts = ui.element("dl").classes("facts numbers")
            self._keys = ui.row().classes("gap-2")
            with self._keys:
                for key, what in _ON_PAGE.items():
                    button = ui.button(f"{key} · {what}", on_click=partial(self._press, key))
                    button.props("color=blue-grey-8 no-caps")
            self._modes = ui.row().classes("gap-2")
            with self._modes:
                for key, mode in MODE_KEYS.items():
                    button = ui.button(f"{key} · {mode.replace('_', ' ')}", on_click=partial(self._press, key))
                    button.props("color=blue-8 no-caps dense")
                ui.label("Enter: failure, nobody knows why; Escape: back").classes("opacity-80")
            self._said = ui.label().classes("opacity-80")
            self._link = ui.link(target="", new_tab=True)
        self._modes.set_visibility(False)
        self._link.set_visibility(False)
        # Not those that are typed into a field.
        ui.keyboard(self._on_key, repeating=False, ignore=["input", "select", "textarea"])
        ui.timer(0.0, self._begin, once=True)

    async def _on_key(self, event: events.KeyEventArguments) -> None:
        if event.action.keydown and not (event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt):
            await self._press({"Escape": "esc", "Enter": "enter", " ": "n"}.get(event.key.name, event.key.name))

    async def _begin(self) -> None:
        self._line, self._decided = Line(), []
        await self._next(None)

    async def _press(self, key: str) -> None:
        case = self._case
        if self._alone.locked():
            return  # what is pressed while the next one is fetched is no decision about it
        if key == "u":
            await self._undo()
        elif case is None:
            return
        elif self._asks:
            await self._named(case, key)
        elif asks_why(key, case):
            self._ask(key)
        elif key in MODE_KEYS and key.isdigit():
            await self._decide(case, mode=MODE_KEYS[key])
        elif key in OUTCOME_KEYS:
            await self._decide(case, outcome=OUTCOME_KEYS[key])
        elif key == "c":
            await self._decide(case)
        elif key == "n":
            self._line.passed.add(case.episode_id)
            await self._next(None)
        elif key == "o":
            await self._open(case)

    def _ask(self, key: str) -> None:
        self._asks = key
        self._modes.set_visibility(bool(key))
        self._keys.set_visibility(not key)

    async def _named(self, case: Case, key: str) -> None:
        """A mode was asked for."""
        failed = Outcome.FAILURE if self._asks == "f" else None
        mode = MODE_KEYS.get(key)
        if key == "esc":
            self._ask("")
        elif mode is not None and not (failed and mode in IN_SUCCESSES):
            await self._decide(case, mode=mode, outcome=failed)
        elif key == "enter" and failed:
            await self._decide(case, outcome=failed)

    async def _decide(self, case: Case, mode: str | None = None, outcome: Outcome | None = None) -> None:
        moment_s = None if self._moment.value is None else float(self._moment.value)
        reason = str(self._reason.value or "")

        def decided(reviews: Reviews) -> Done:
            return reviews.decide(case.episode_id, mode=mode, outcome=outcome, moment_s=moment_s, reason=reason)

        done = await self._with(decided)
        if done is not None:
            self._decided.append(case.episode_id)
            said = f"{case.episode_id}: {in_words(done.decision)}"
            others = [f"{author} says {word.label}; the last word holds" for author, word in done.others.items()]
            label = [label_in_words(done.label)] if done.label is not None else []
            self._said.set_text(". ".join([said, *others, *label]))
            await self._next(None)

    async def _undo(self) -> None:
        if not self._decided:
            self._said.set_text("nothing of this page is left to undo; `xrollout review undo` goes further back")
            return
        episode_id = self._decided[-1]
        if await self._with(lambda reviews: reviews.undo(episode_id)) is not None:
            self._decided.pop()
            self._said.set_text(f"took back what was said of {episode_id}")
            await self._next(episode_id)

    async def _next(self, wanted: str | None) -> None:
        def fetched(reviews: Reviews) -> tuple[Case, Waiting, Lines] | None:
            waits = self._line.next(reviews, wanted)
            if waits is None:
                return None
            case = reviews.case(waits.episode_id)
            return case, waits, [(label, line.plain) for label, line in lines_of(case, waits, meta_of(case.bag))]

        self._ask("")
        self._link.set_visibility(False)
        self._head.set_text("…")
        self._case = None
        problem: list[str] = []
        found = await self._with(fetched, problem)
        self._facts.clear()
        self._keys.set_visibility(found is not None)
        if found is None:
            waits = f"nothing waits for {self._reviewer.value}"
            passed = len(self._line.passed)
            self._head.set_text(problem[0] if problem else waits + (f" ({passed} passed over)" if passed else ""))
            return
        self._case, _, lines = found
        self._reason.set_value("")
        self._moment.set_value(None)
        self._head.set_text(f"{self._case.episode_id}, {text.plural(self._line.left, 'episode')} after it")
        with self._facts:
            for label, line in lines:
                with ui.element("dt"):
                    ui.label(label)
                with ui.element("dd"):
                    ui.label(line)

    async def _open(self, case: Case) -> None:
        without = (LABELS_LAYER,) if case.sealed else ()
        said = await asyncio.to_thread(self._viewer.open, case.episode_id, moment_of(case), without)
        show_link(self._link, said)
        self._said.set_text(said)

    async def _with(self, do: Callable[[Reviews], T], problem: list[str] | None = None) -> T | None:
        """Do something with the catalog, in a thread; what is wrong is told, and none is given then."""
        name = str(self._reviewer.value or "")

        def done() -> T:
            with caught_up(self._data) as catalog:
                return do(Reviews(catalog, name))

        async with self._alone:
            try:
                return await asyncio.to_thread(done)
            except XRolloutError as error:
                if problem is not None:
                    problem.append(str(error))
                else:
                    tell_problem(error)
                return None
