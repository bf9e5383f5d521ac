"""Stages, start difficulty, triggers and the watch over what is deployed: what a cycle does next. Pure."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

pytest.importorskip("scipy")

from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, SafetyRecord
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.resources import load_task
from xrollout_ros.cycle.attempts import tallies
from xrollout_ros.cycle.recipe import FlywheelRecipe, StageSpec, TriggerSpec, load_recipe, recipe_from
from xrollout_ros.cycle.record import Stage, Tally
from xrollout_ros.cycle.seeds import Purpose, first_seed
from xrollout_ros.cycle.stages import HARDEST_SHARE, ladder, shares, stage_of
from xrollout_ros.cycle.triggers import fired
from xrollout_ros.cycle.watching import added, worse

SPEC = StageSpec()


@pytest.mark.parametrize(
    ("rate", "stage"),
    [(0, "bootstrap"), (0.44, "bootstrap"), (0.45, "mining"), (0.7, "active"), (0.84, "active"), (1, "auto_labels")],
)
def test_a_stage_follows_from_the_rate(rate: float, stage: str) -> None:
    assert stage_of(rate, SPEC) is Stage(stage)


def test_a_stage_is_gone_back_from_only_when_it_is_missed_clearly() -> None:
    assert stage_of(0.67, SPEC, Stage.ACTIVE) is Stage.ACTIVE
    assert stage_of(0.64, SPEC, Stage.ACTIVE) is Stage.MINING
    assert stage_of(0.2, SPEC, Stage.AUTO_LABELS) is Stage.BOOTSTRAP


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(Stage))
def test_more_success_is_never_an_earlier_stage(one: float, other: float, before: Stage) -> None:
    order = list(Stage)
    low, high = sorted((one, other))
    assert order.index(stage_of(low, SPEC, before)) <= order.index(stage_of(high, SPEC, before))


def test_stages_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValidationError, match="do not ascend"):
        StageSpec(mining=0.8, active=0.7)


def test_starts_are_ordered_by_how_wide_they_are() -> None:
    task = load_task("pick_and_place")
    assert ladder(task, ()) == ("nominal", "wide")
    assert ladder(task, ("wide",)) == ("wide",)


def test_the_harder_start_is_tried_more_once_the_easier_one_succeeds() -> None:
    rungs = ("easy", "middle", "hard")
    assert shares(rungs, {}, 0.7) == dict.fromkeys(rungs, pytest.approx(1 / 3))
    known = {"easy": Tally(successes=5, attempts=10)}
    assert shares(rungs, known, 0.7) == {"easy": 1.0}
    known["easy"] = Tally(successes=8, attempts=10)
    assert shares(rungs, known, 0.7) == {"easy": pytest.approx(1 - HARDEST_SHARE), "middle": HARDEST_SHARE}
    known["middle"] = Tally(successes=9, attempts=10)
    found = shares(rungs, known, 0.7)
    assert found["hard"] == HARDEST_SHARE
    assert sum(found.values()) == pytest.approx(1)


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from(Purpose), st.sampled_from(Purpose), st.integers(0, 50))
def test_no_two_purposes_or_cycles_share_a_seed(
    cycle: int, other_cycle: int, purpose: Purpose, other: Purpose, seed: int
) -> None:
    one, two = first_seed(seed, purpose, cycle), first_seed(seed, other, other_cycle)
    same = (cycle, purpose) == (other_cycle, other)
    assert (abs(one - two) < 10_000) is same


# --- triggers -------------------------------------------------------------------------------------------------------


class At:
    def __init__(self, hour: float) -> None:
        self.hour = hour

    def wall_ns(self) -> int:
        return int((1767225600 + self.hour * 3600) * NS)  # 2026-01-01T00:00:00Z

    def steady_ns(self) -> int:
        return self.wall_ns()


def attempt(outcome: str = "success", *, alarm: bool = False, start: str = "wide") -> EpisodeMeta:
    raised = SafetyRecord(at_s=0.1, check="alarm", severity=Severity.CLIP, value=2, limit=1, began=True)
    return EpisodeMeta(
        episode_id="01M8PBYC62YX6110J76X1R1QXX", kind=EpisodeKind.ATTEMPT, task="push", robot="arm", start=start,
        strategy="episodic", software_version="test", started_at="2026-01-01T00:00:00+00:00", outcome=outcome,
        policy_id="p", safety_events=[raised] if alarm else [],
    )  # fmt: skip


def test_each_trigger_fires_by_itself_and_says_why() -> None:
    spec = TriggerSpec(episodes=3, every_h=12, failure_rate=0.5, alarm_rate=0.5)
    assert fired(spec, [attempt()] * 2, At(1), "") == ""
    assert fired(spec, [attempt()] * 3, At(1), "") == "3 new attempts"
    assert fired(spec, [attempt()] * 2 + [attempt("unknown")], At(1), "") == "", "nobody knows what came of it"
    assert fired(spec, [attempt()], At(13), "") == "13.0 h since the last cycle"
    assert fired(spec, [], At(100), "") == "", "nothing new"
    assert fired(spec, [attempt()], At(20), "2026-01-01T10:00:00+00:00") == ""
    many = TriggerSpec(episodes=None, failure_rate=0.5, alarm_rate=0.5)
    assert fired(many, [attempt("failure")] * 3, At(1), "") == "", "three may be chance"
    assert fired(many, [attempt("failure")] * 20, At(1), "") == "20 of 20 attempts fail, more than 50%"
    assert fired(many, [attempt(alarm=True)] * 20, At(1), "") == "20 of 20 attempts raise an alarm, more than 50%"


def test_looking_after_each_attempt_fires_no_more_often_by_chance() -> None:
    spec, draw, wrong = TriggerSpec(episodes=None, failure_rate=0.3), random.Random(1), 0
    for _ in range(100):
        seen: list[EpisodeMeta] = []
        for _ in range(60):
            seen.append(attempt("failure" if draw.random() < 0.3 else "success"))
            if fired(spec, seen, At(1), ""):
                wrong += 1
                break
    assert wrong <= 10


def test_without_any_trigger_no_cycle_would_begin() -> None:
    with pytest.raises(ValidationError, match="no trigger"):
        TriggerSpec(episodes=None)


# --- what is deployed -----------------------------------------------------------------------------------------------


def test_worse_from_one_start_is_seen_whatever_the_other_does() -> None:
    reference = {"nominal": Tally(successes=95, attempts=100), "wide": Tally(successes=80, attempts=100)}
    same = {"nominal": Tally(successes=19, attempts=20), "wide": Tally(successes=16, attempts=20)}
    fallen = {"nominal": Tally(successes=19, attempts=20), "wide": Tally(successes=10, attempts=40)}
    assert worse(reference, {}) == 1
    assert worse(reference, same) < 1
    assert worse(reference, fallen) > 20
    assert worse({}, fallen) == 1, "there is nothing that it is held against"


def test_tallies_count_what_the_policy_did_by_itself() -> None:
    helped = attempt().model_copy(update={"interventions": [{"operator": "ann", "begin_s": 0, "end_s": 1}]})
    found = tallies([attempt(), attempt("failure"), attempt("unknown"), helped, attempt(start="nominal")])
    assert found == {"nominal": Tally(successes=1, attempts=1), "wide": Tally(successes=1, attempts=3)}
    assert added(found, found)["wide"] == Tally(successes=2, attempts=6)


# --- recipes --------------------------------------------------------------------------------------------------------


def test_the_shipped_recipe_is_the_usual_one(tmp_path: Path) -> None:
    assert load_recipe() == FlywheelRecipe()
    own = tmp_path / "own.yaml"
    own.write_text("deploy: {attempts: 7}\n")
    assert load_recipe(str(own)).deploy.attempts == 7


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"deploy": {"attempts": 0}}, "deploy.attempts"),
        ({"train": {"options": {"output": "x"}}}, "options.output is for the flywheel itself to say"),
        ({"train": {"level": 5}}, "train.level"),
        ({"colect": {}}, "colect"),
        ({"gates": {"L9": 0.5}}, "L9"),
    ],
)
def test_what_is_wrong_in_a_recipe_is_named(document: dict[str, object], named: str) -> None:
    with pytest.raises(SpecError, match=named.replace(".", r"\.")):
        recipe_from(document, "mine.yaml")
