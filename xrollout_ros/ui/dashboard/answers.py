"""Shows the answer of a command that all pages share, and asks again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from xrollout_ros.ui.dashboard.commands import Question

LOOK_S = 0.3


def show_answer(question: Question, meanwhile: str, show: Callable[[Any], None]) -> None:
    """A button that asks again, and the newest answer below it.

    Args:
        question: asked at once where it never was.
        meanwhile: what is being done while it is asked, for people.
        show: makes the elements of an answer.
    """
    with ui.row().classes("items-center gap-3"):
        ui.button("Look again", icon="refresh", on_click=question.ask).props("color=blue-8")
        spinner = ui.spinner(size="1.6rem")
        busy = ui.label(meanwhile).props('role="status"')
    problem = ui.label().classes("text-lg").props('role="alert"')
    content = ui.column().classes("w-full gap-3")
    shown: list[object] = [None, None]

    def refresh() -> None:
        for element in (spinner, busy):
            element.set_visibility(question.busy)
        if shown == [question.found, question.problem]:
            return
        shown[:] = [question.found, question.problem]
        problem.set_text(question.problem)
        content.clear()
        if question.found is not None:
            with content:
                show(question.found)

    if question.found is None:
        question.ask()
    refresh()
    ui.timer(LOOK_S, refresh)
