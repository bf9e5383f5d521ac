"""Reports of comparisons and cycles: a page that loads nothing, the same as JSON, and what is behind each figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.cycle.comparing.result import FILE, ComparisonResult, read_result
from xrollout_ros.cycle.comparing.run import Tried, compare
from xrollout_ros.cycle.comparing.verdict import Rules
from xrollout_ros.cycle.cycle_report import CycleReport
from xrollout_ros.cycle.record import Deployed, Tally
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.ui import compare_output
from xrollout_ros.ui.cycle_page import DEPLOYMENT, FACTS, PAGE, write_reports
from xrollout_ros.ui.report import read_report

from .attempt_bags import CLOCK, write_bag
from .pages import Page
from .test_cycle_comparing import Rates, everywhere, plan
from .test_cycle_machine import deployed

# --- comparisons ----------------------------------------------------------------------------------------------------


def compared(
    folder: Path, a: float, b: float, rules: Rules | None = None, **odd: Tried
) -> tuple[ComparisonResult, Page]:
    made = compare(plan(rules), folder, Rates(everywhere(a), everywhere(b), **odd))
    found = compare_output.keep(made, folder)
    page = Page(folder / compare_output.PAGE)
    page.check()
    assert page.fetched == []
    assert read_result(folder) == found
    assert ComparisonResult.model_validate_json((folder / FILE).read_text()) == found
    return found, page


def test_a_comparison_names_the_pairs_behind_its_figures(tmp_path: Path) -> None:
    found, page = compared(tmp_path, 0.2, 0.9)
    assert found.verdict.value in page.text
    won, lost = 0, 0
    for pair in sorted({each.pair for each in found.trials}):
        a, b = ({each.arm: each for each in found.trials if each.pair == pair}[arm].outcome for arm in ("A", "B"))
        assert f"pair{pair}" in page.ids
        won, lost = won + (b > a), lost + (a > b)  # success > failure
        # Each pair that differs is linked twice: from its starts, and from all of them.
        assert page.links.count(f"pair{pair}") == (2 if a != b else 0)
    assert (won, lost) == (found.overall.won, found.overall.lost)
    for stratum in (*found.strata, found.overall):
        assert str(stratum.a) in page.text and str(stratum.b) in page.text
    assert page.tags.count("svg") == 2, "both trials of each pair, and the evidence"
    assert f"{won} with B alone, {lost} with A alone" in page.text
    assert f"enough: {found.bound:g}" in page.text
    assert "They were made in process and recorded nothing" in page.text
    assert found.plan.b.checkpoint in page.text


def test_what_is_left_out_of_a_comparison_is_shown_as_such(tmp_path: Path) -> None:
    odd = {"A3": Tried(Outcome.UNKNOWN, 40, "01J00000000000000000000003"), "B5": Tried(Outcome.SUCCESS, 0)}
    found, page = compared(tmp_path, 0.5, 0.5, Rules(most=12), **odd)
    assert found.unknown == (3,) and found.quarantined == (5,)
    assert page.text.count("left out") >= 3
    assert "xrollout episodes open 01J00000000000000000000003" in page.text


def test_policies_that_are_alike_in_all_pairs_are_drawn_too(tmp_path: Path) -> None:
    for rate in (0.0, 1.0):
        found, page = compared(tmp_path / str(rate), rate, rate, Rules(most=12))
        assert found.overall.won == found.overall.lost == 0
        assert "Pairs that differ" not in page.text


# --- cycles ---------------------------------------------------------------------------------------------------------


def test_a_cycle_names_the_attempts_behind_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch)
    world.run()
    (record,) = world.place.records()
    data = tmp_path / "bags"
    made = [
        write_bag(
            data, number, Outcome.SUCCESS if number else Outcome.FAILURE, start="nominal" if number == 3 else "wide"
        )
        for number in range(4)
    ]
    live = Deployed(
        policy_id="first",
        by_start={"wide": Tally(successes=2, attempts=3), "nominal": Tally(successes=1, attempts=1)},
        alarms=0,
        aborted=0,
        episodes=tuple(meta.episode_id for meta in made),
    )
    world.place.save(record.model_copy(update={"data": str(data), "deployed": live}))
    (path,) = write_reports(world.place)
    page = Page(path)
    page.check()
    assert page.fetched.count(f"{DEPLOYMENT}/{PAGE}") == 1
    own = read_report(path.parent / DEPLOYMENT)
    Page(path.parent / DEPLOYMENT / PAGE).check()
    assert [each.episode_id for each in own.attempts] == [meta.episode_id for meta in made]
    for meta in made:
        assert f"{DEPLOYMENT}/{PAGE}#{meta.episode_id}" in page.fetched
    assert "succeeded: 2 , 3" in page.text and "did not: 1" in page.text
    report = CycleReport.model_validate_json((path.parent / FACTS).read_text())
    assert report.deployed is not None and report.deployed.episodes == live.episodes
    assert str(report.deployed.by_start["wide"]) in page.text
    assert report.held_out is not None and str(report.held_out.after) in page.text
    # It is as it was found then: what people say of the attempts later changes no report.
    before = (path.parent / DEPLOYMENT / PAGE).read_bytes()
    write_reports(world.place)
    assert (path.parent / DEPLOYMENT / PAGE).read_bytes() == before
    said = journal.Reviewed(outcome=Outcome.SUCCESS, source=OutcomeSource.HUMAN, reason="it did")
    journal.append(data / JOURNAL, "human:ann", made[0].episode_id, said, CLOCK)
    assert read_report(path.parent / DEPLOYMENT).rate.successes == 3
    write_reports(world.place, anew=True)
    assert read_report(path.parent / DEPLOYMENT).rate.successes == 4


def test_a_cycle_whose_bags_are_gone_and_one_that_deployed_nothing_have_pages_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = deployed(tmp_path, monkeypatch, rates={"first": 0.3, "policy1": 0.8})
    world.run()
    world.run()
    first, _ = world.place.records()
    world.place.save(first.model_copy(update={"deployed": None}))
    paths = write_reports(world.place)
    for path in paths:
        page = Page(path)
        page.check()
        assert page.fetched == []
        CycleReport.model_validate_json((path.parent / FACTS).read_text())
    assert "Success of the deployed policy" not in Page(paths[0]).text
    last = Page(paths[1])
    assert "Success of the deployed policy" in last.text and last.tags.count("svg") == 1
    assert "cycle 2: 8 of 10" in last.html
