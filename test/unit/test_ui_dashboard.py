"""The dashboard's pages of a running graph and of its failures, served; in a real browser where there is one."""

from __future__ import annotations

import re
import shutil
import urllib.error
from typing import Any

import pytest

pytest.importorskip("nicegui")

from .dashboards import Served, opened
from .mining_data import add


def test_a_link_gives_the_page_and_only_who_may_act_gets_buttons(served: Served) -> None:
    served.show(mode="HOLD")
    acting, reading = opened(served.act), opened(served.read)
    for page in (acting, reading):
        assert "HOLD" in page
        assert "pick_and_place" in page
    assert "Take over" in acting
    assert "Take over" not in reading
    assert "read-only" in reading
    with pytest.raises(urllib.error.HTTPError, match="403"):
        opened(served.act.split("?")[0])
    with pytest.raises(urllib.error.HTTPError, match="404"):
        opened(served.act.replace("/?", "/camera/nowhere?"))


def test_what_changes_is_seen_at_once(page: Any, served: Served) -> None:
    page.get_by_text("AUTONOMOUS", exact=True).wait_for()
    assert "token" not in page.url
    served.show(mode="HOLD", reason="starved", help="it cannot see the puck")
    page.get_by_text("HOLD", exact=True).wait_for(timeout=10_000)
    page.get_by_text("Help wanted: it cannot see the puck").wait_for(timeout=10_000)
    assert page.get_by_text("1.5 of 1").is_visible(), "a score and its threshold"
    assert "4/7 = 57%" in page.inner_text("body")
    page.get_by_role("img", name="Where things are, as sensed").wait_for(timeout=10_000)
    assert page.get_by_text("gripper_opening").is_visible(), "there is no camera"


def test_a_graph_that_is_gone_is_said_and_its_return_is_seen(page: Any, served: Served) -> None:
    served.show(waiting_s=5.0)
    page.get_by_text("The graph has not been heard for 5.0 s.").wait_for(timeout=10_000)
    served.show(mode="TELEOP")
    page.get_by_text("TELEOP", exact=True).wait_for(timeout=10_000)
    assert not page.get_by_text("The graph has not been heard").is_visible()


def test_buttons_ask_once_or_twice_and_say_what_came_of_it(page: Any, served: Served) -> None:
    page.get_by_role("button", name="STOP", exact=True).click()
    assert served.told() == {"trigger": "emergency_stop"}, "at once"
    page.get_by_text("mode is ESTOP").wait_for(timeout=10_000)
    page.get_by_role("button", name="Take over").click()
    page.get_by_role("button", name="Take over: sure?").click()
    assert served.told() == {"request": "TAKE_OVER", "episode": "01J00000000000000000000000"}
    page.get_by_role("button", name="Failure").click()
    page.get_by_role("button", name="Failure: sure?").wait_for()
    page.get_by_role("button", name="Failure", exact=True).wait_for(timeout=20_000)
    page.get_by_role("button", name="Save highlight").click()
    assert served.told() == {"trigger": "save_highlight"}, "the unsure one has asked for nothing"
    page.get_by_text("Is a graph running in this ROS domain?").wait_for(timeout=10_000)


def test_failures_lead_to_the_episode_at_the_moment_it_went_wrong(page: Any, served: Served, bags: Any) -> None:
    page.get_by_role("link", name="Failures").click()
    page.get_by_role("alert").get_by_text("is not there").wait_for(timeout=30_000)
    for number in range(10):
        add(bags, (0.01 * number, 0.65), minute=number)
    for number in range(6):
        add(bags, (-0.2, 0.6 + 0.02 * number), "dropped", minute=20 + number, goal=(0.1 * number, 0.8), seed=number)
    shutil.copytree(bags.data, served.folder / "data")
    page.get_by_role("button", name="Look again").click()
    page.get_by_text("10/16").wait_for(timeout=60_000)
    assert "6 attempts" in page.inner_text("body")
    assert page.get_by_role("img", name="Success by start").count()
    page.get_by_text("dropped").first.click()
    page.get_by_role("link", name="most typical").click()
    page.get_by_text("Scrubber").wait_for(timeout=30_000)
    body = page.inner_text("body")
    assert "dropped" in body
    assert re.search(r"\d\.\d\d s, row \d+ of \d+", body)
    page.goto(page.url.rsplit("/", 1)[0] + "/NOWHERE")
    page.get_by_role("alert").wait_for()
    assert "NOWHERE" in page.inner_text("body")


def test_it_loads_nothing_from_elsewhere_and_fits_a_phone(browser: Any, served: Served) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served.read)
    page.get_by_text("read-only").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert asked
    assert all(url.startswith((served.act.split("?")[0], "data:")) for url in asked)
    context.close()
