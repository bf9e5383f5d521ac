"""Mining a data folder: population, what is left out, plans and their warnings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.lineage.records import PolicyRecord, register
from xrollout_ros.mining import looking
from xrollout_ros.mining.coverage import coverage
from xrollout_ros.mining.looking import Look, look_into
from xrollout_ros.mining.mine import Mined, mine
from xrollout_ros.mining.plan import CollectionPlan, read_plan, write_plan
from xrollout_ros.mining.planning import chosen_starts

from .mining_data import POLICIES, add, demonstrate
from .test_mining_coverage import PLANE
from .test_mining_failures import row


def mined(data: Path, *where: str, **options: Any) -> Mined:
    with Catalog(data) as catalog:
        catalog.update()
        return mine(catalog, where, **options)


def kinds(found: Mined) -> set[str]:
    assert found.plan is not None
    return {warning.kind for warning in found.plan.warnings}


def fill(bags: Any) -> Path:
    """Twelve attempts: six successes in the middle, four failures to the left, two drops to the right."""
    for number in range(6):
        add(bags, (0.01 * number, 0.65), minute=number, seed=100 + number)
    for number in range(4):
        add(bags, (-0.2 - 0.02 * number, 0.6 + 0.03 * number), "never_reached", minute=10 + number, seed=number)
    for number in range(2):
        add(bags, (0.2, 0.6 + 0.05 * number), "dropped", minute=20 + number, severity=0.6, seed=50 + number)
    for number in range(4):
        demonstrate(bags, (0.02 * number, 0.65), minute=30 + number)
    data: Path = bags.data
    return data


def test_a_plan_for_the_costliest_failure(bags: Any) -> None:
    found = mined(fill(bags))
    assert (found.attempts, found.successes) == (12, 6)
    assert [(group.name, len(group.members)) for group in found.groups] == [("never_reached", 4), ("dropped", 2)]
    plan = found.plan
    assert plan is not None
    assert plan.target.mode == found.groups[0].mode
    assert plan.demonstrations == len(plan.starts) == len(plan.target.members)
    assert plan.starts[0].episode_id == plan.target.medoid
    assert {each.episode_id for each in plan.starts} <= {row.episode_id for row in found.population.failures}
    assert plan.starts[0].evidence == f"it was {plan.target.mode}"
    by_label = {each.label: each for each in plan.starts[0].values}
    assert by_label["object_position z"].value == pytest.approx(0.02)
    assert by_label["object_position x"].unit == "m"
    assert found.coverage is not None
    assert found.coverage.near.successes == 6
    assert "only one policy" in plan.evidence.course


def test_a_mode_is_chosen_and_the_number_is_bounded(bags: Any) -> None:
    found = mined(fill(bags), mode="never_reached", demonstrations=3)
    assert found.plan is not None
    assert found.plan.target.mode == "never_reached"
    assert found.plan.demonstrations == 3
    assert len({each.episode_id for each in found.plan.starts}) == 3
    assert "few_starts" not in kinds(found)
    assert "few_starts" in kinds(mined(bags.data, mode="never_reached", demonstrations=5))
    assert "few_starts" not in kinds(mined(bags.data, mode="never_reached"))
    with pytest.raises(DataError, match="These occur: "):
        mined(bags.data, mode="collision")
    with pytest.raises(DataError, match="at least 1"):
        mined(bags.data, demonstrations=0)


def test_the_newest_policy_is_mined_unless_another_is_named(bags: Any) -> None:
    fill(bags)
    add(bags, (0.3, 0.6), "grasp_failure", minute=90, policy_id=POLICIES[1])
    found = mined(bags.data)
    assert found.population.policies == (POLICIES[1],)
    assert found.population.newest_policy
    assert found.modes == ("grasp_failure",)
    assert "few_failures" in kinds(found)
    older = mined(bags.data, f"policy={POLICIES[0]}")
    assert older.attempts == 12
    assert not older.population.newest_policy
    assert mined(bags.data, f"policy={','.join(POLICIES)}").attempts == 13


def test_only_so_many_are_read_the_newest(bags: Any) -> None:
    found = mined(fill(bags), most=5)
    assert (found.attempts, found.population.older) == (5, 7)
    assert {row.started_at[14:16] for row in found.population.attempts} == {"11", "12", "13", "20", "21"}


def test_what_cannot_be_read_is_named_and_left_out(bags: Any) -> None:
    data = fill(bags)
    with Catalog(data) as catalog:
        catalog.update()
        failed = [row for row in mine(catalog).population.failures if row.mode == "never_reached"]
        shutil.rmtree(data / failed[0].path)
        torn = next((data / failed[1].path).glob("*.mcap"))
        torn.write_bytes(torn.read_bytes()[:-20])
        found = mine(catalog, mode="never_reached")
    assert set(found.unreadable) == {failed[0].episode_id, failed[1].episode_id}
    assert found.attempts == 10
    assert found.plan is not None
    assert set(found.plan.target.members).isdisjoint(found.unreadable)
    assert "unreadable_bags" in kinds(found)


def test_nothing_left_to_read(bags: Any) -> None:
    data = fill(bags)
    with Catalog(data) as catalog:
        catalog.update()
        for row_ in mine(catalog).population.attempts:
            shutil.rmtree(data / row_.path)
        with pytest.raises(DataError, match="none of the 12 attempts"):
            mine(catalog)


def test_many_bags_are_read_by_processes_with_the_same_result(bags: Any) -> None:
    data = fill(bags)
    with Catalog(data) as catalog:
        catalog.update()
        rows = mine(catalog).population.attempts
    told: list[tuple[int, int]] = []
    names = ("object_position", "goal_position")
    task = load_task("pick_and_place")
    alone = look_into(data, rows, names, task)
    together = look_into(data, rows, names, task, workers=2, progress=lambda done, total: told.append((done, total)))
    assert together == alone
    assert told[-1] == (len(rows), len(rows))
    assert len(rows) <= looking.ALONE


def test_without_failures_there_is_no_plan_and_a_kind_word(bags: Any) -> None:
    add(bags, (0.0, 0.65))
    found = mined(bags.data, mode="dropped")
    assert found.plan is None
    assert "no attempt failed" in found.why_no_plan


def test_no_plan_for_what_no_demonstration_mends_unless_it_is_asked_for(bags: Any) -> None:
    for number in range(3):
        add(bags, (0.0, 0.6 + 0.02 * number), "system_fault", minute=number)
    add(bags, (0.1, 0.6), "none", minute=5)
    found = mined(bags.data)
    assert found.plan is None
    assert "system_fault" in found.why_no_plan
    assert "no_demonstration_helps" in kinds(mined(bags.data, mode="system_fault"))
    assert "not_judged" in kinds(mined(bags.data, mode="untagged"))


def test_it_warns_where_attempts_succeed_already(bags: Any) -> None:
    for number in range(40):
        add(bags, (0.001 * number, 0.65), minute=number)
    add(bags, (0.02, 0.65), "never_reached", minute=50)
    assert "already_succeeds" in kinds(mined(bags.data))


def test_it_warns_of_a_plateau_and_of_starts_that_were_demonstrated(bags: Any) -> None:
    for number in range(30):
        failed = "dropped" if number % 2 else ""
        add(bags, (0.01 * (number % 10), 0.6), failed, minute=number)
        add(
            bags,
            (0.01 * (number % 10), 0.6),
            "dropped" if number < 20 else "",
            minute=90 + number,
            policy_id=POLICIES[1],
        )
    for number in range(10):
        demonstrate(bags, (0.01 * number, 0.6), minute=60 + number)
    found = mined(bags.data)
    assert {"plateaued", "demonstrated_already"} <= kinds(found)
    assert "10 demonstrations" in found.trends["dropped"].words


def test_a_task_that_names_no_start_gets_a_plan_all_the_same(bags: Any) -> None:
    task = load_task("pick_and_place").model_copy(update={"reach": None, "tagging": TaggingSpec()})
    found = mined(fill(bags), task=task)
    assert found.coverage is None
    assert "tagging.familiar" in found.why_no_coverage
    assert "starts_not_known" in kinds(found)
    assert found.plan is not None
    assert found.plan.starts[0].values == ()


def test_questions_that_cannot_be_answered(bags: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="Deploy a policy first"):
        mined(tmp_path / "empty")
    data = fill(bags)
    with pytest.raises(DataError, match="There are attempts at pick_and_place"):
        mined(data, "task=push")
    for condition in ("outcome=failure", "failure=dropped", "success=false"):
        with pytest.raises(DataError, match="by how they ended"):
            mined(data, condition)
    add(bags, (0.0, 0.6), "dropped", task="push", minute=70)
    with pytest.raises(DataError, match="--task"):
        mined(data)
    assert mined(data, "task=pick_and_place").attempts == 12


def test_unknown_outcomes_are_told(bags: Any) -> None:
    fill(bags)
    add(bags, (0.0, 0.6), outcome="unknown", minute=80)
    found = mined(bags.data)
    assert found.population.unknown == 1
    assert "unknown_outcomes" in kinds(found)
    add(bags, (0.0, 0.6), outcome="unknown", minute=81, kind="clip")
    assert mined(bags.data).population.unknown == 1, "a highlight is no attempt"


def test_fewer_attempts_to_read_are_no_fewer_demonstrations(bags: Any) -> None:
    assert len(mined(fill(bags), most=3).population.demonstrations) == 4


def test_a_sensor_that_said_no_number_leaves_its_attempt_out(bags: Any) -> None:
    data = fill(bags)
    bad = add(bags, (float("nan"), 0.65), "never_reached", minute=40, seed=99)
    found = mined(data)
    assert "not finite" in found.unreadable[bad.episode_id]
    assert found.attempts == 12
    assert found.plan is not None
    assert len({start.episode_id for start in found.plan.starts}) == len(found.plan.starts)


def test_a_plan_survives_the_disk(bags: Any, tmp_path: Path) -> None:
    plan = mined(fill(bags)).plan
    assert plan is not None
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert [path.name for path in tmp_path.glob("plan*")] == ["plan.json"]
    document = json.loads((tmp_path / "plan.json").read_text())
    for change, words in (
        ({"version": 2}, "another version"),
        ({"starts": []}, "starts"),
        ({"unheard_of": 1}, "unheard_of"),
    ):
        (tmp_path / "other.json").write_text(json.dumps({**document, **change}))
        with pytest.raises(DataError, match=words):
            read_plan(tmp_path / "other.json")
    (tmp_path / "other.json").write_text("{")
    with pytest.raises(DataError, match="no collection plan"):
        read_plan(tmp_path / "other.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_plan(tmp_path / "none.json")
    with pytest.raises(DataError, match="could not be written"):
        write_plan(plan, tmp_path / "plan.json" / "below.json")


@settings(deadline=None, max_examples=60)
@given(
    places=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20),
    count=st.integers(1, 25),
    named=st.booleans(),
)
def test_chosen_starts_are_members_and_differ(places: list[tuple[int, int]], count: int, named: bool) -> None:
    rows = [row(number) for number in range(len(places))]
    looks = {
        each.episode_id: Look((float(x), float(y), 0.0), ("a", "b"), (float(x), float(y)))
        for each, (x, y) in zip(rows, places, strict=True)
    }
    covered = coverage(rows, [], looks, PLANE) if named else None
    chosen = chosen_starts([each.episode_id for each in rows], looks, covered, count)
    assert chosen[0] == rows[0].episode_id
    assert set(chosen) <= set(looks)
    assert len(chosen) == len({looks[name].start for name in chosen}) == min(count, len(set(places)))


def test_near_means_near_what_the_policy_was_trained_from(bags: Any) -> None:
    data = fill(bags)
    far = demonstrate(bags, (-0.2, 0.6), minute=50)
    assert mined(data).population.learned[-1].episode_id == far.episode_id
    assert not mined(data).population.learned_known
    with Catalog(data) as catalog:
        shown = [row.episode_id for row in mine(catalog).population.demonstrations if row.episode_id != far.episode_id]
    register(data, [PolicyRecord(policy_id=POLICIES[0], episodes=tuple(shown))])
    found = mined(data)
    assert found.population.learned_known
    assert [row.episode_id for row in found.population.learned] == shown
    assert found.coverage is not None
    assert len(found.coverage.demonstrations) == len(shown)


def test_an_id_of_somebody_else_is_no_stumbling_block(bags: Any) -> None:
    for number in range(2):
        folder = bags.data / f"theirs{number}"
        state, action = np.full((4, bags.robot.state_dim), 0.1 * number), np.zeros((4, bags.robot.action_dim))
        bags.episode(state, action, folder, episode_id=f"o'take {number}", outcome="failure", policy_id="theirs")
    plan = mined(bags.data, mode="untagged").plan
    assert plan is not None
    assert {each.episode_id for each in plan.starts} == {"o'take 0", "o'take 1"}


def test_plans_are_the_same_but_for_their_id(bags: Any) -> None:
    one, two = mined(fill(bags)).plan, mined(bags.data).plan
    assert isinstance(one, CollectionPlan)
    assert isinstance(two, CollectionPlan)
    same = {"plan_id", "created_at"}
    assert one.model_dump(exclude=same) == two.model_dump(exclude=same)
    assert np.isfinite(one.evidence.score)


@pytest.mark.parametrize("kind", ["density", None])
def test_failures_far_from_all_demonstrations_are_novel(bags: Any, kind: Any) -> None:
    for number in range(4):
        demonstrate(bags, (0.02 * number, 0.65), minute=number)
    add(bags, (0.01, 0.65), "dropped", minute=10)
    add(bags, (0.9, 0.1), "dropped", minute=11)
    plan = mined(bags.data, novelty=kind).plan
    assert plan is not None
    novelty = {round(each.values[0].value, 2): (each.novelty, each.novel_since_s) for each in plan.starts}
    if kind is None:
        assert set(novelty.values()) == {(None, None)}
        return
    near, far = novelty[0.01], novelty[0.9]
    assert far[0] is not None
    assert near[0] is not None
    assert far[0] > max(1.0, near[0])
    assert far[1] == 0.0
