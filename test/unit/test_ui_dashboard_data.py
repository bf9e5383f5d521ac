"""The dashboard's pages *Data* and *Cycle*, served; in a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui")
pytest.importorskip("scipy")

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome
from xrollout_ros.cycle.comparing.run import compare
from xrollout_ros.cycle.jobs import COMPARISON
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import State
from xrollout_ros.episodes import journal, paths
from xrollout_ros.ui.cycle_page import write_reports
from xrollout_ros.ui.dashboard.lineage import flowchart

from .dashboards import Served, opened
from .mining_data import add, demonstrate
from .test_cycle_comparing import Rates, plan
from .test_cycle_machine import deployed
from .test_ui_flywheel import on_the_disk


def _at(page: Any, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=name).click()


def test_a_cycle_is_followed_and_policies_are_promoted_and_taken_back(
    page: Any,
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _at(page, "Cycle")
    page.get_by_text("There is no flywheel in this folder yet.").wait_for()
    world = deployed(tmp_path, monkeypatch, verdict="inconclusive")
    world.run()
    (record,) = world.place.records()
    made = compare(
        plan(),
        world.place.folder(record) / COMPARISON,
        Rates({"nominal": 0.2, "wide": 0.2}, {"nominal": 0.9, "wide": 0.9}),
    )
    before, trained = on_the_disk(world.place, tmp_path)
    write_reports(world.place)
    flywheel = served.folder / "flywheel"
    shutil.copytree(world.place.root, flywheel)
    place = Place(flywheel, SystemClock())
    page.get_by_role("status").get_by_text("Cycle 1: inconclusive").wait_for(timeout=20_000)
    body = page.inner_text("body")
    assert f"cycle 1: {made.judge.pairs.count} of at most 120 pairs" in body
    assert "it was given" in body
    assert not page.get_by_role("button", name="Stop after this step").is_visible(), "no cycle is under way"

    page.get_by_role("button", name="Deploy the policy of cycle 1").click()
    page.get_by_role("button", name="Deploy the policy of cycle 1: sure?").click()
    page.get_by_text("promoted on the dashboard from cycle 1").wait_for(timeout=20_000)
    state = place.deployed()
    assert state is not None
    assert state.policy == trained
    page.get_by_role("button", name="Take the one before back").click()
    page.get_by_role("button", name="Take the one before back: sure?").click()
    page.get_by_text("taken back on the dashboard").wait_for(timeout=20_000)
    assert (state := place.deployed()) is not None
    assert state.policy == before

    # Now one is under way: the graph tells how far its step is.
    unfinished = record.model_copy(update={"number": 2, "state": State.TRAIN, "ending": None, "trained": None})
    place.save(unfinished)
    served.show(flywheel={"number": 2, "state": "TRAIN", "doing": "learning", "done": 30, "total": 120})
    page.get_by_text("Cycle 2: TRAIN (nobody is at it)").wait_for(timeout=20_000)
    page.get_by_text("learning 30 of 120").wait_for(timeout=20_000)
    with place.held():
        page.get_by_text("is at it)").wait_for(timeout=20_000)
        page.get_by_role("button", name="Stop after this step").click()
        page.get_by_role("button", name="Stop after this step: sure?").click()
        page.get_by_text("it ends after the attempt or step that is under way").wait_for(timeout=20_000)
        assert place.asked_to_stop
    page.get_by_role("button", name="Drop this cycle").click()
    page.get_by_role("button", name="Drop this cycle: sure?").click()
    page.get_by_role("status").get_by_text("Cycle 2: abandoned").wait_for(timeout=20_000)

    report = page.request.get(served.act.split("?")[0] + "cycle/1/report.html")
    assert report.status == 200
    assert "inconclusive" in report.text()
    for other in ("cycle/1/checkpoint.pt", "cycle/1/../../deployed.json", "cycle/9/report.html"):
        assert page.request.get(served.act.split("?")[0] + other).status == 404, other


def test_who_only_looks_can_change_nothing(served: Served) -> None:
    for path in ("cycle", "data"):
        shown = opened(served.read.replace("/?", f"/{path}?"))
        for button in ("Drop this cycle", "Take the one before back", "confirm"):
            assert button not in shown, (path, button)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(served.read.split("?")[0] + "cycle/1/report.html", timeout=10)


@pytest.mark.timeout(240)
def test_data_waits_for_review_by_keys_and_shows_what_is_covered(page: Any, served: Served, bags: Any) -> None:
    _at(page, "Data")
    page.get_by_text("There is no pyramid yet").wait_for()
    page.get_by_text("is not there").first.wait_for(timeout=30_000)
    for number in range(6):
        demonstrate(bags, (0.02 * number, 0.62), minute=number)
    for number in range(8):
        add(bags, (0.01 * number, 0.65), minute=10 + number)
    failed = [add(bags, (-0.2, 0.6 + 0.02 * number), "none", minute=30 + number, seed=number) for number in range(4)]
    data = served.folder / "data"
    shutil.copytree(bags.data, data)
    page.reload()
    page.get_by_text("episodes after it").wait_for(timeout=30_000)
    first = page.get_by_role("status").get_by_text("after it").inner_text().split(",")[0]
    assert first in {meta.episode_id for meta in failed}, "ambiguous ones first: nobody knows why these failed"

    def outcomes(episode_id: str) -> list[str]:
        told = journal.read(data / paths.JOURNAL).entries
        return [
            entry.what.outcome.value
            for entry in told
            if entry.episode_id == episode_id and entry.what.kind == "outcome"
        ]

    page.keyboard.press("s")
    page.get_by_text(f"{first}: success").wait_for(timeout=30_000)
    assert outcomes(first) == [Outcome.SUCCESS.value]
    following = page.get_by_role("status").filter(has_text="after it").filter(has_not_text=first)
    following.wait_for(timeout=30_000)
    page.keyboard.press("u")
    page.get_by_text(f"took back what was said of {first}").wait_for(timeout=30_000)
    page.get_by_role("status").filter(has_text="after it").filter(has_text=first).wait_for(timeout=30_000)
    page.keyboard.press("f")
    page.get_by_text("Escape: back").wait_for()
    page.keyboard.press("1")
    page.get_by_text(f"{first}: failure, ").wait_for(timeout=30_000)
    following.wait_for(timeout=30_000)
    # What is typed into a field is no decision.
    page.get_by_label("reason of the next decision").fill("scs")
    second = page.get_by_role("status").get_by_text("after it").inner_text().split(",")[0]
    assert second != first
    assert outcomes(second) == []

    shown = page.get_by_role("img", name="Demonstrations by start").or_(
        page.get_by_role("alert").filter(has_text=re.compile(r"\S"))
    )
    shown.first.wait_for(timeout=110_000)
    assert page.get_by_role("img", name="Demonstrations by start").count(), page.inner_text("body")
    page.get_by_label("policy, episode, dataset or clip").fill(first)
    page.get_by_role("button", name="Show", exact=True).click()
    page.locator("svg .node").get_by_text(first).wait_for(timeout=30_000)


def test_a_flowchart_holds_whatever_is_in_a_name() -> None:
    found = {
        "nodes": [
            {"kind": "policy", "id": "01A", "facts": {"task": 'a"];click n0 "x'}, "missing": ""},
            {"kind": "dataset", "id": "f" * 64, "facts": {"episodes": 23}, "missing": ""},
            {"kind": "episode", "id": "01B", "facts": {}, "missing": "its bag is gone"},
        ],
        "links": [{"from": ["dataset", "f" * 64], "to": ["policy", "01A"], "how": "trained", "direction": "came from"}],
        "left_out": [{"of": ["dataset", "f" * 64], "direction": "came from", "how": "holds", "count": 15}],
    }
    lines = flowchart(found).splitlines()
    assert lines[1] == 'n0["policy 01A<br/>a   click n0  x"]:::policy'
    assert 'n1["dataset ffffffffffff<br/>23 episodes"]:::dataset' in lines
    assert 'n2["episode 01B<br/>its bag is gone"]:::episode' in lines
    assert 'n1 -->|"trained"| n0' in lines
    assert 'more0 -->|"holds"| n1' in lines
    assert json.dumps(lines)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(browser: Any, served: Served, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    served.show(mode="HOLD", help="it cannot see the puck")
    page = browser.new_page(color_scheme=scheme)
    page.goto(served.act)
    page.get_by_text("Help wanted").wait_for()
    found = []
    for name in ("Now", "Failures", "Data", "Cycle"):
        _at(page, name)
        page.get_by_role("navigation").locator("[aria-current=page]", has_text=name).wait_for()
        page.wait_for_load_state("networkidle")
        found += [
            f"{name}: {each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}"
            for each in axe.run(page).response["violations"]
        ]
    page.close()
    assert found == []
