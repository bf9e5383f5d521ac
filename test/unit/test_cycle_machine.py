"""The cycle as a state machine: what follows what, and that a kill at any point is no loss."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("scipy")

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeKind
from xrollout_ros.core.errors import CheckpointError, DataError, GraphError, SpecError, TrainingDivergedError
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.machine import abandon, named
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, WorkFailedError
from xrollout_ros.cycle.record import FILE, Ending, Stage, State, StopName, Tally, read_record
from xrollout_ros.cycle.reporting import report_of
from xrollout_ros.runtime.start_list import LIST, NUMBER

from .flywheels import Killed, World, in_memory, recipe_of

FIRST = PolicyRef(checkpoint="/first.pt", checkpoint_hash="f" * 64, policy_id="first")


def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **known: object) -> World:
    world = World(tmp_path / "flywheel", **known)  # type: ignore[arg-type]
    in_memory(monkeypatch, world)
    world.place.root.mkdir(parents=True)
    world.place.deploy(FIRST, "it was given")
    return world


def test_from_nothing_the_first_policy_is_made_and_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "flywheel")
    in_memory(monkeypatch, world)
    record = world.run()
    assert (record.number, record.ending) == (0, Ending.PROMOTED)
    assert [each.state for each in record.transitions] == [
        State.COLLECT, State.CURATE, State.TRAIN, State.VALIDATE, State.PROMOTE, State.DONE,
    ]  # fmt: skip
    assert record.validated is not None
    assert "nothing to compare it with" in record.validated.reason
    state = world.place.deployed()
    assert state is not None
    assert state.policy.policy_id == "policy0"
    assert state.before is None
    assert {meta.start for meta in world.episodes} == {"wide"}, "as the recipe's starts say"
    assert world.run().number == 1


def test_a_cycle_goes_all_the_way_and_promotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch)
    record = world.run()
    assert [each.state for each in record.transitions] == [
        State.DEPLOY, State.MINE, State.COLLECT, State.CURATE, State.TRAIN, State.VALIDATE, State.PROMOTE, State.DONE,
    ]  # fmt: skip
    assert (record.stage, record.target, record.ending) == (Stage.MINING, "dropped", Ending.PROMOTED)
    assert record.collected is not None
    assert record.collected.demonstrations == 3
    state = world.place.deployed()
    assert state is not None
    assert (state.policy.policy_id, state.before) == ("policy1", FIRST)
    # What it is held against live: the old one's attempts here, and its trials in the comparison.
    assert state.reference == {"wide": Tally(successes=5 + 10, attempts=10 + 40)}
    assert world.driving == "policy1"
    report = report_of(record, [])
    assert report.failures.new_modes == ("dropped",)
    assert report.held_out is not None
    assert report.held_out.failure_rate_reduction == pytest.approx(2 / 3)


@pytest.mark.parametrize(("verdict", "ending"), [("reject", Ending.REJECTED), ("inconclusive", Ending.INCONCLUSIVE)])
def test_what_is_not_shown_to_be_better_is_not_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, ending: Ending
) -> None:
    world = deployed(tmp_path, monkeypatch, verdict=verdict)
    record = world.run()
    assert record.ending is ending
    state = world.place.deployed()
    assert state is not None
    assert state.policy == FIRST
    assert world.driving == "first"
    assert record.lessons


def test_without_failures_there_is_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = deployed(tmp_path, monkeypatch, modes=()).run()
    assert record.ending is Ending.NO_FAILURES
    assert "harder starts" in record.next_step


@pytest.mark.parametrize(
    ("rate", "way"),
    [(0.1, "fresh starts"), (0.5, "that the policy failed from"), (0.75, "least sure"), (0.9, "own verified")],
)
def test_each_stage_collects_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float, way: str
) -> None:
    world = deployed(tmp_path, monkeypatch, usual=rate)
    record = world.run()
    assert record.collected is not None
    assert way in record.collected.way
    drivers = Counter(call.split(" ")[0] for call in world.calls)
    rollouts = [meta for meta in world.episodes if "generated" in meta.tags]
    assert bool(rollouts) is (rate == 0.9)
    assert drivers["operator"] == 3
    if rollouts:
        assert len(rollouts) == 3 * recipe_of().collect.tries
        assert len({(meta.seed, meta.parameters["policy_seed"]) for meta in rollouts}) == len(rollouts)
        assert record.deployed is not None
        assert record.deployed.attempts == 10, "what was made for training says nothing of how it does live"


# --- kills ----------------------------------------------------------------------------------------------------------


def number_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    world = deployed(tmp_path / "whole", monkeypatch)
    world.run()
    return len(world.calls)


def test_a_kill_at_any_point_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    calls = number_of_calls(tmp_path, monkeypatch)
    assert calls > 25
    for die_at in range(1, calls + 1):
        root = tmp_path / f"killed{die_at}"
        root.mkdir()
        world = deployed(root, monkeypatch)
        world.die_at = die_at
        with pytest.raises(Killed):
            world.run()
        world.die_at, before = 0, len(world.calls)
        on_disk = read_record(world.place.folder(world.place.records()[-1]) / FILE)
        record = world.run()
        assert record.restarts == 1
        assert record.transitions[: len(on_disk.transitions)] == on_disk.transitions, "nothing is forgotten"
        assert record.ending is Ending.PROMOTED
        made = Counter((meta.parameters[LIST], meta.parameters[NUMBER]) for meta in world.episodes)
        # An attempt whose bag was closed counts; one that was cut short is made again.
        assert max(made.values()) == 1, die_at
        assert sum(made.values()) == 10 + 3
        state = world.place.deployed()
        assert state is not None
        assert (state.policy.policy_id, world.driving) == ("policy1", "policy1")
        assert len(world.calls) - before <= calls


def test_a_kill_between_taking_back_and_saying_so_is_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch, rates={"first": 0.9, "policy1": 0.0})
    world.run({"stages": {"mining": 0.0, "active": 0.97, "auto_labels": 0.99}})
    real = world.place.deploy

    def deploy_and_die(*arguments: object, **named: object) -> None:
        real(*arguments, **named)  # type: ignore[arg-type]
        raise Killed

    monkeypatch.setattr(world.place, "deploy", deploy_and_die)
    with pytest.raises(Killed):
        world.run({"deploy": {"attempts": 60, "starts": ["wide"]}})
    monkeypatch.setattr(world.place, "deploy", real)
    record = world.run()
    assert record.ending is Ending.ROLLED_BACK
    assert world.driving == "first"


# --- taking back ----------------------------------------------------------------------------------------------------


def test_a_policy_that_does_worse_live_is_taken_back_before_its_attempts_are_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = deployed(tmp_path, monkeypatch, rates={"first": 0.9, "policy1": 0.1})
    assert world.run().ending is Ending.PROMOTED
    record = world.run({"deploy": {"attempts": 200, "starts": ["wide"]}})
    assert (record.ending, record.number) == (Ending.ROLLED_BACK, 2)
    assert record.deployed is not None
    assert record.deployed.attempts < 100
    assert record.deployed.worse_e_value >= 20
    state = world.place.deployed()
    assert state is not None
    assert (state.policy, state.before) == (FIRST, None)
    assert world.driving == "first"
    assert "does worse live" in record.reason
    following = world.run()
    assert following.base == FIRST


def test_a_policy_that_does_as_well_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch, rates={"first": 0.5, "policy1": 0.5})
    world.run()
    assert world.run({"deploy": {"attempts": 60, "starts": ["wide"]}}).ending is Ending.PROMOTED


# --- stops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "stop"),
    [
        (
            DataError("checkpoint.pt could not be written ([Errno 28] No space left on device)", "Name another file."),
            StopName.DISK_FULL,
        ),
        (WorkFailedError("", "the process that was to train ended by signal 9", "Look."), StopName.WORKER_KILLED),
        (WorkFailedError("TrainingDivergedError", "the loss is nan", "A smaller lr."), StopName.DIVERGED),
        (WorkFailedError("DataError", "level 4 holds nothing to train from", ""), StopName.NOTHING_TO_TRAIN_FROM),
        (CheckpointError("it is for robot so100"), StopName.WRONG_CHECKPOINT),
        (GraphError("the policy node has died"), StopName.GRAPH_FAILED),
        (TrainingDivergedError("nan"), StopName.DIVERGED),
        (SpecError("something"), StopName.FAILED),
        (OSError(28, "No space left on device"), StopName.DISK_FULL),
        (CycleStop(StopName.STOPPED, "somebody asked", "Go on."), StopName.STOPPED),
    ],
)
def test_what_goes_wrong_is_a_named_state_that_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, stop: StopName
) -> None:
    world = deployed(tmp_path, monkeypatch)
    world.fails["train"] = error
    record = world.run()
    assert record.state is State.TRAIN
    assert record.stop is not None
    assert record.stop.name is stop
    assert record.stop.reason
    assert record.stop.next_step
    if stop is StopName.DISK_FULL:
        assert "`xrollout flywheel run` goes on" in record.stop.next_step
    state = world.place.deployed()
    assert state is not None
    assert state.policy == FIRST, "the deployed policy is never worse off"
    world.fails.clear()
    collected = [call for call in world.calls if call.startswith("operator")]
    again = world.run()
    assert (again.ending, again.stop) == (Ending.PROMOTED, None)
    assert [call for call in world.calls if call.startswith("operator")] == collected, "nothing is made twice"


def test_a_policy_that_the_graph_refuses_is_not_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch)
    real = world.swap

    def swap(policy: PolicyRef) -> None:
        if policy.policy_id == "policy1":
            raise CheckpointError("it was made for another robot", "Train one for this.")
        real(policy)

    monkeypatch.setattr(world, "swap", swap)
    record = world.run()
    assert record.stop is not None
    assert (record.state, record.stop.name) == (State.PROMOTE, StopName.WRONG_CHECKPOINT)
    state = world.place.deployed()
    assert state is not None
    assert state.policy == FIRST


def test_another_task_does_not_go_on_with_a_cycle_and_abandoning_it_frees_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = deployed(tmp_path, monkeypatch)
    world.fails["mine"] = DataError("no")
    world.run()
    with pytest.raises(SpecError, match="begun with task 'push', now it is 'peg_insert'"):
        world.run(task="peg_insert")
    assert abandon(world.place, "it was wrong").ending is Ending.ABANDONED
    with pytest.raises(DataError, match="no cycle is under way"):
        abandon(world.place, "again")
    world.fails.clear()
    assert world.run().number == 2


def test_by_hand_it_says_what_people_have_to_do_and_goes_on_when_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = deployed(tmp_path, monkeypatch, automatic=False)
    world.driving = "first"
    record = world.run(wait=True)
    assert record.stop is not None
    assert record.stop.name is StopName.WAITING_FOR_ATTEMPTS
    for number in range(25):
        world.attempt("wide", EpisodeKind.ATTEMPT, "policy", number, parameters={})
    record = world.run(wait=True)
    assert record.stop is not None
    assert record.stop.name is StopName.WAITING_FOR_DEMONSTRATIONS
    assert "xrollout collect --plan" in record.stop.next_step
    assert "--resume" in record.stop.next_step
    assert "25 new attempts" in record.transitions[1].why
    lists = world.place  # the plan that people are shown
    plan = lists.folder(record) / "plan.json"
    assert plan.is_file()
    from xrollout_ros.mining.collection import listed
    from xrollout_ros.mining.plan import read_plan

    starts = listed(read_plan(plan))
    for place, number in enumerate(starts.numbers):
        world.attempt(
            "wide", EpisodeKind.DEMONSTRATION, "operator", number, parameters=starts.parameters_of(place), tags=[]
        )
    record = world.run(wait=True)
    assert record.stop is not None
    assert record.stop.name is StopName.WAITING_FOR_TRIALS
    assert "xrollout compare /first.pt" in record.stop.next_step


def test_by_hand_a_policy_that_does_worse_live_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch, rates={"first": 0.9, "policy1": 0.1})
    assert world.run().ending is Ending.PROMOTED
    for number in range(100):
        world.attempt("wide", EpisodeKind.ATTEMPT, "policy", number, parameters={})
    record = world.run({"trigger": {"episodes": 200}}, wait=True)
    assert (record.ending, record.number) == (Ending.ROLLED_BACK, 2), "no trigger fired: 100 attempts of 200"
    assert record.deployed is not None
    assert record.deployed.worse_e_value >= 20
    state = world.place.deployed()
    assert state is not None
    assert (state.policy, state.before) == (FIRST, None)
    assert "/first.pt" in record.next_step


def test_a_record_says_at_which_level_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch, automatic=False)
    assert world.run(wait=True).level == "L0"
    abandon(world.place, "it is another robot's turn")
    assert world.run(wait=True, robot="so100").level == "L1"


def test_named_states_follow_from_the_error() -> None:
    assert named(WorkFailedError("SpecError", "x", "y")) is StopName.FAILED


# --- the folder -----------------------------------------------------------------------------------------------------


def test_two_processes_do_not_run_cycles_in_one_folder(tmp_path: Path) -> None:
    one, other = (Place(tmp_path / "flywheel", SystemClock()) for _ in range(2))
    assert one.owner() is None
    with one.held():
        assert isinstance(other.owner(), int)
        with pytest.raises(DataError, match=r"two_cycles: process \d+ runs"), other.held():
            pass
    with other.held():
        pass
    assert one.owner() is None


def test_deploying_twice_is_deploying_once(tmp_path: Path) -> None:
    place = Place(tmp_path, SystemClock())
    other = FIRST.model_copy(update={"checkpoint_hash": "0" * 64, "policy_id": "other"})
    place.deploy(FIRST, "given")
    place.deploy(other, "better")
    once = place.deploy(other, "better")
    assert once.before == FIRST
    assert len(once.history) == 1
    assert place.deployed() == once


def test_a_damaged_record_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = deployed(tmp_path, monkeypatch)
    record = world.run()
    file = world.place.folder(record) / FILE
    file.write_text(file.read_text().replace('"PROMOTED"', "").replace('"promoted"', '"promotd"'))
    with pytest.raises(DataError, match="is not the record of a cycle: ending"):
        world.place.records()


def test_stopping_is_asked_for_by_a_file_that_is_forgotten(tmp_path: Path) -> None:
    place = Place(tmp_path, SystemClock())
    assert not place.asked_to_stop
    place.ask_to_stop()
    assert place.asked_to_stop
    place.forget_stop()
    assert not place.asked_to_stop
