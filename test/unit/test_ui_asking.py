"""What keys and buttons ask for: once where it is harmless or urgent, twice where it counts."""

from __future__ import annotations

import threading

import pytest

from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.modes import Request
from xrollout_ros.ui.asking import ASKS, SURE_S, AskedByKeys, keys_line

ID = "01J00000000000000000000000"


class Told:
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.refuses = ""
        self.waits: threading.Event | None = None

    def request(self, what: Request, episode_id: str = "", reason: str = "") -> None:
        self.asked.append((what.name, episode_id))

    def trigger(self, name: str) -> str:
        if name == "save_highlight" and self.waits is not None:
            self.waits.wait(30)
        self.asked.append((name, ""))
        if self.refuses:
            raise GraphError(self.refuses, "Start a graph.")
        return "done"


class Pressed:
    """Keys of which each is answered before the next."""

    def __init__(self) -> None:
        self.told, self.now_s = Told(), 0.0
        self.by_keys = AskedByKeys(self.told, lambda: self.now_s)

    def __call__(self, *keys: str) -> str:
        for key in keys:
            self.by_keys.press(key, ID)
            if self.by_keys._asked is not None:
                self.by_keys._asked.result(10)
        return self.by_keys.line()


@pytest.mark.parametrize("ask", ASKS, ids=lambda ask: ask.name)
def test_each_key_asks_for_its_thing_as_often_as_it_needs(ask: object) -> None:
    pressed = Pressed()
    key, twice, name = ask.key, ask.twice, ask.name  # type: ignore[attr-defined]
    said = pressed(key)
    if twice:
        assert pressed.told.asked == []
        assert said == f"{name}: sure? press {key} again"
        said = pressed(key)
    assert len(pressed.told.asked) == 1
    assert said.startswith(f"{name}: ")
    assert "sure" not in said
    assert f"{key} {name.lower() if name != 'STOP' else name}" in keys_line()


def test_a_stop_is_asked_for_at_once_and_waits_for_no_other_answer() -> None:
    told = Told()
    told.waits = threading.Event()
    keys = AskedByKeys(told)
    keys.press("l", ID)
    keys.press("e", ID)
    assert keys._asked is not None
    keys._asked.result(10)
    assert told.asked == [("emergency_stop", "")]
    assert keys.line() == "STOP: done"
    told.waits.set()
    keys.close()


def test_nothing_is_meant_that_was_not_pressed_again_in_time_or_at_once() -> None:
    pressed = Pressed()
    pressed("t")
    pressed.now_s = SURE_S
    assert pressed("t") == "Take over: sure? press t again", "too late: it asks anew"
    pressed("b")
    assert pressed("t") == "Take over: sure? press t again", "something else came between"
    pressed("x")
    assert pressed("t") == "Take over: sure? press t again", "even if that is for nothing"
    assert pressed.told.asked == []
    assert pressed("t").startswith("Take over: asked for: take over")
    assert pressed.told.asked == [("TAKE_OVER", ID)]


def test_why_it_came_to_nothing_is_said() -> None:
    pressed = Pressed()
    pressed.told.refuses = "the service save_highlight is not there"
    assert pressed("l") == "Save highlight: the service save_highlight is not there. Start a graph."


def test_names_and_keys_are_each_for_one_thing() -> None:
    assert len({ask.key for ask in ASKS}) == len({ask.name for ask in ASKS}) == len(ASKS)
    assert "q" not in {ask.key for ask in ASKS}
