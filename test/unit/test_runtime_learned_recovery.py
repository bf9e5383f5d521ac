"""A learned recovery: whose chunks are played, when it has succeeded, and when the next one is tried."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from xrollout_ros.core.chunk import ActionChunk, Array, Command
from xrollout_ros.core.errors import CheckpointError, SpecError
from xrollout_ros.core.modes import Mode, Severity, Source
from xrollout_ros.core.ports import PolicyInfo, Prefix
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.runtime.modes import Event
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot

from ..checkpoints import make_checkpoint
from .robots import robot
from .test_runtime_recovery import SCORE
from .test_runtime_safety import ARM, HAND, PERIOD_NS, Drive

LEARNED = {"kind": "learned", "clear_s": 0.1, "answer_s": 0.2}
HOLD = {"kind": "hold", "duration_s": 0.1}


class Recovering(Drive):
    """A drive in which an alarm has begun a recovery."""

    def __init__(self, *recoveries: Any, actions: Any = None, **safety: Any) -> None:
        spec = robot(actions or HAND, safety={"detectors": [SCORE], "recoveries": list(recoveries), **safety})
        super().__init__(spec, time_limit_s=100.0)
        self.begun = self.alarm()

    def alarm(self) -> Command:
        return self.tick([0] * self.spec.action_dim, scores={"chunk_consistency": 2.0})

    def answer(self, rows: Any, episode: str = "e", stamp_ns: int | None = None) -> None:
        actions = np.asarray(rows, dtype=np.float32)
        stamp = self.t_ns if stamp_ns is None else stamp_ns
        self.supervisor.submit_recovery_chunk(ActionChunk(episode, "r", 7, self.step, stamp, stamp, PERIOD_NS, actions))

    def go_on(self, ticks: int) -> list[Command]:
        return [self.tick([0] * self.spec.action_dim) for _ in range(ticks)]

    @property
    def reason(self) -> str:
        return self.supervisor.reason


def test_its_policys_chunks_drive_and_nobody_elses() -> None:
    drive = Recovering(LEARNED)
    assert (drive.mode, drive.begun.source, drive.begun.recovery) == (Mode.RECOVERING, Source.HOLD, "learned")
    assert drive.supervisor.awaits_recovery_policy
    waiting = drive.tick([1, 1, 0])
    assert (waiting.source, waiting.recovery, waiting.action.tolist()) == (Source.HOLD, "learned", [0, 0, 0])
    drive.answer([[-0.5, 0, 0]] * 8)
    commands = [drive.tick([1, 1, 0]) for _ in range(8)]
    assert {command.source for command in commands} == {Source.RECOVERY}
    assert [(command.chunk_sequence, command.chunk_index) for command in commands] == [(7, row) for row in range(8)]
    deltas = [command.action[0] for command in commands]
    assert deltas[0] == 0 and deltas[-1] < 0 and (np.diff(deltas) < 0).all(), "control passes without a jump"


def test_it_succeeds_when_nothing_objects_for_long_enough_and_the_policy_goes_on() -> None:
    drive = Recovering(LEARNED, force={"observation": "joints", "limit": 0.5, "severity": "recover"})
    drive.place(0.6, 0)
    drive.answer([[-0.5, 0, 0]] * 60)
    drive.go_on(30)
    assert drive.mode is Mode.RECOVERING
    drive.place(0.1, 0)
    drive.go_on(10)
    assert drive.mode is Mode.RECOVERING
    drive.go_on(1)
    assert drive.mode is Mode.AUTONOMOUS
    commands = drive.go_on(3)
    assert {(command.source, command.recovery) for command in commands} == {(Source.POLICY, "")}
    drive.answer([[-0.5, 0, 0]] * 60)
    assert drive.go_on(1)[0].source is Source.POLICY, "what it still says moves nothing"


def test_it_can_be_told_where_to_lead() -> None:
    within = {"observation": "joints", "lower": [-0.1, -0.1], "upper": [0.1, 0.1]}
    drive = Recovering({**LEARNED, "within": within})
    drive.place(0.5, 0)
    drive.answer([[-0.5, 0, 0]] * 200)
    drive.go_on(50)
    assert drive.mode is Mode.RECOVERING
    drive.place(0.05, 0)
    drive.go_on(5)
    drive.place(0.15, 0)  # out again: it counts anew
    drive.go_on(5)
    drive.place(0.05, 0)
    drive.go_on(10)
    assert drive.mode is Mode.RECOVERING
    drive.go_on(1)
    assert drive.mode is Mode.AUTONOMOUS


def test_without_an_action_it_never_succeeds_and_gives_way_to_the_next() -> None:
    drive = Recovering({**LEARNED, "clear_s": 0.01}, HOLD)
    assert {command.recovery for command in drive.go_on(20)} == {"learned"}
    changed = drive.go_on(2)[-1]
    assert (changed.recovery, drive.reason) == ("hold", "recovery: learned gave up; hold")
    assert ("recovery", Severity.CLIP, True) in drive.told()
    drive.go_on(15)
    assert drive.mode is Mode.AUTONOMOUS


def test_when_its_chunks_run_out_it_gives_up_too_and_the_last_one_aborts() -> None:
    drive = Recovering({**LEARNED, "clear_s": 5.0})
    drive.answer([[-0.5, 0, 0]] * 5)
    drive.go_on(5)
    assert {command.source for command in drive.go_on(20)} == {Source.HOLD}
    assert drive.mode is Mode.RECOVERING
    drive.go_on(2)
    assert (drive.mode, drive.told()[-1]) == (Mode.HOLD, ("recovery", Severity.ABORT, True))
    assert drive.reason == "recovery: none has succeeded; learned gave up"


def test_its_time_is_limited() -> None:
    drive = Recovering({**LEARNED, "clear_s": 5.0, "time_limit_s": 0.3}, HOLD)
    drive.answer([[-0.5, 0, 0]] * 100)
    drive.go_on(32)
    assert drive.reason == "recovery: learned did not succeed within 0.3 s; hold"


@pytest.mark.parametrize("rows", [[[np.nan, 0, 0]], [[0, 0]], [[np.inf, 0, 0]] * 4])
def test_a_chunk_that_cannot_be_used_is_told_and_ends_it(rows: Any) -> None:
    drive = Recovering(LEARNED, HOLD)
    drive.answer(rows)
    command = drive.go_on(1)[0]
    assert (command.source, drive.mode, command.recovery) == (Source.HOLD, Mode.RECOVERING, "hold")
    assert drive.told()[1][0] in ("finite", "complete")
    assert drive.told()[1][1] is Severity.CLIP


def test_what_came_before_its_turn_or_of_another_attempt_is_discarded() -> None:
    drive = Drive(robot(HAND, safety={"detectors": [SCORE], "recoveries": [LEARNED]}))
    before = ActionChunk("e", "r", 0, 0, 0, 0, PERIOD_NS, np.ones((90, 3), dtype=np.float32))
    drive.supervisor.submit_recovery_chunk(before)
    drive.tick([0, 0, 0])
    drive.tick([0, 0, 0], scores={"chunk_consistency": 2.0})
    drive.supervisor.submit_recovery_chunk(before)
    drive.supervisor.submit_recovery_chunk(ActionChunk("f", "r", 0, 2, 10**9, 10**9, PERIOD_NS, before.actions))
    assert drive.tick([0, 0, 0]).source is Source.HOLD
    assert drive.supervisor.chunks_discarded == 3
    assert drive.supervisor.in_force == ["chunk_consistency (recover)"]


def test_the_jumps_that_a_policy_may_not_make_its_recovery_may_not_either() -> None:
    drive = Recovering({**LEARNED, "clear_s": 50}, actions=ARM, jump={"limits": {"shoulder": 0.1}, "severity": "clip"})
    drive.answer([[0.0, 0.0]] * 80)
    drive.go_on(80)
    drive.answer([[0.0, 0.0]] * 2 + [[0.4, 0.0]] * 5)
    shoulder = [command.action[0] for command in drive.go_on(4)]
    assert shoulder[1] == 0 and 0 < max(shoulder) <= 0.1 + 0.1 + 1e-9
    assert ("jump", Severity.CLIP, True) in drive.told()


def test_an_arm_that_was_moved_is_held_where_it_came_to_and_not_led_back() -> None:
    """The next recovery goes on from there."""
    drive = Recovering({**LEARNED, "clear_s": 50}, HOLD, actions=ARM)
    drive.answer([[0.3, 0.0]] * 150)
    for _ in range(150):
        drive.place(*drive.go_on(1)[0].action)
    moved = drive.go_on(1)[0].action
    assert moved[0] == pytest.approx(0.3, abs=0.01)
    for command in drive.go_on(25):
        np.testing.assert_allclose(command.action, moved, atol=0.01)
        drive.place(*command.action)


@pytest.mark.parametrize("event", [Event.TAKE_OVER, Event.HOLD, Event.EMERGENCY_STOP])
def test_it_can_be_interrupted(event: Event) -> None:
    drive = Recovering(LEARNED)
    drive.answer([[-0.5, 0, 0]] * 50)
    drive.go_on(3)
    drive.supervisor.ask(event, "test", "anna")
    command = drive.tick([0, 0, 0], operator=[0, 0, 0])
    assert (command.recovery, drive.supervisor.awaits_recovery_policy) == ("", False)
    assert command.source is not Source.RECOVERY


def test_bounds_and_models_that_do_not_fit_are_refused() -> None:
    wrong = {"observation": "joints", "lower": [0, 0, 0], "upper": [1, 1, 1]}
    with pytest.raises(ValueError, match="3 bounds of 'joints', which has 2 values"):
        robot(HAND, safety={"recoveries": [{**LEARNED, "within": wrong}]})
    with pytest.raises(ValueError, match="one checkpoint serves all"):
        robot(HAND, safety={"recoveries": [{**LEARNED, "model": "a.pt"}, LEARNED]})
    with pytest.raises(ValueError, match="the observation 'nothing'"):
        robot(HAND, safety={"recoveries": [{**LEARNED, "within": {**wrong, "observation": "nothing"}}]})


# --- in process -------------------------------------------------------------------------------------------------


class Steady:
    """A policy that always wants the same."""

    def __init__(self, action: Any) -> None:
        size = load_robot("metaworld_sawyer").state_dim
        self.info = PolicyInfo("steady", "", "metaworld_sawyer", "pick_and_place", 8, 4, size, 4)
        self.scores: Mapping[str, float] = {}
        self._chunk = np.tile(np.asarray(action, dtype=np.float32), (8, 1))

    def reset(self, seed: int) -> None:
        pass

    def predict(self, state: Array, prefix: Prefix | None = None) -> Any:
        return self._chunk


def fenced() -> RobotSpec:
    """The simulated arm, which must not go far to the left; a recovery leads it back."""
    document = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    document["safety"] = {
        "point": {"observation": "hand_position"},
        "workspace": {"lower": [-0.1, 0.2, 0.0], "upper": [0.6, 1.0, 0.7]},
        "recoveries": [LEARNED],
    }
    return RobotSpec.model_validate(document)


def test_in_process_the_policy_leaves_the_workspace_the_recovery_leads_back_and_the_policy_goes_on() -> None:
    spec, task = fenced(), load_task("pick_and_place")

    def attempt(recovery: Steady | None) -> Any:
        sim = make_sim_robot(spec, task, shapes=False)
        return run_attempt(sim, spec, 3, "nominal", policy=Steady([-1, 0, 0, 0]), recovery=recovery)

    made = attempt(Steady([1, 0, 0, 0]))
    sources = [command.source for command in made.commands]
    first = sources.index(Source.RECOVERY)
    assert (np.array([command.action[0] for command in made.commands])[np.array(sources) == Source.RECOVERY] >= 0).all()
    assert Source.POLICY in sources[first:], "the policy goes on"
    again = attempt(Steady([1, 0, 0, 0]))
    assert again.actions.tobytes() == made.actions.tobytes()
    alone = attempt(None)
    assert Source.RECOVERY not in [command.source for command in alone.commands]
    assert [event.check for event in alone.events][-1] == "recovery"


# --- the graph as data ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint.pt")


def described(folder: Path, model: Path, learned: dict[str, Any] | None, **arguments: str) -> GraphDescription:
    document = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    document["safety"] = {"recoveries": [learned] if learned else []}
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(document))
    return describe("deploy", {"model": str(model), "robot": str(path), "data": str(folder / "data"), **arguments})


def test_the_graph_has_a_node_for_it(tmp_path: Path, model: Path) -> None:
    recovery = make_checkpoint(tmp_path / "recovery.pt")
    by_spec = described(tmp_path, model, {"kind": "learned", "model": "recovery.pt"})
    by_argument = described(tmp_path, model, {"kind": "learned"}, recovery_model=str(recovery), delay_steps="2")
    for description in (by_spec, by_argument):
        names = [process.name for process in description.processes]
        assert names == ["sim_robot", "recorder", "supervisor", "policy", "recovery_policy", "tagger", "manager"]
        assert description.processes[4].parameters["model"] == str(recovery)
        assert description.processes[3].parameters["model"] == str(model)
        manager = description.processes[-1].parameters
        assert "recovery_policy" in str(manager["nodes"]).split(",")
        assert manager["recovery_hash"] == description.processes[4].parameters["model_hash"]
    assert by_argument.processes[4].parameters["delay_steps"] == 2


def test_a_model_that_is_missing_not_wanted_or_does_not_fit_is_refused_at_the_start(
    tmp_path: Path, model: Path
) -> None:
    with pytest.raises(SpecError, match="no model for it"):
        described(tmp_path, model, {"kind": "learned"})
    with pytest.raises(SpecError, match="no recovery of the kind 'learned'"):
        described(tmp_path, model, None, recovery_model=str(model))
    with pytest.raises(CheckpointError, match="there is no checkpoint at"):
        described(tmp_path, model, {"kind": "learned", "model": "absent.pt"})
    other = make_checkpoint(tmp_path / "other.pt", robot_id="so100", task_id="so100_pick_and_place")
    with pytest.raises(CheckpointError, match="does not fit robot 'metaworld_sawyer'"):
        described(tmp_path, model, {"kind": "learned"}, recovery_model=str(other))
