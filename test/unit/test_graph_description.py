"""The graph as data: arguments, defaults, what is refused before anything starts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import yaml

from xrollout_ros.core.errors import CheckpointError, SpecError, XRolloutError
from xrollout_ros.core.resources import share_dir
from xrollout_ros.graph.arguments import ARGUMENTS
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.graph.starter import arguments_of
from xrollout_ros.learning.calibration.sidecar import write_calibration
from xrollout_ros.learning.metadata import sha256

from ..checkpoints import make_checkpoint
from .calibrations import calibration


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("model") / "checkpoint.pt")


def names(description: GraphDescription) -> list[str]:
    return [process.name for process in description.processes]


def test_model_alone_is_enough(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XROLLOUT_DATA", raising=False)
    description = describe("deploy", {"model": str(model)})
    assert names(description) == ["sim_robot", "recorder", "supervisor", "policy", "tagger", "manager"]
    assert [process.managed for process in description.processes] == [True] * 5 + [False]
    assert (description.robot.id, description.task.id) == ("metaworld_sawyer", "pick_and_place")
    assert description.data == tmp_path / "raw_rollouts"
    assert description.episodes == 10
    manager = description.processes[-1].parameters
    assert manager["nodes"] == "sim_robot,recorder,supervisor,policy,tagger"
    assert (manager["drive"], manager["start"], manager["kind"]) == ("stepped", "nominal", "attempt")
    policy = description.processes[3].parameters
    assert policy["model_hash"] != ""
    assert (policy["engine"], policy["device"]) == ("rtc", "auto")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"engine": "warp"}, "sync, rtc, temporal_ensembling"), ({"device": "tpu"}, "auto, cpu, cuda")],
)
def test_an_engine_or_a_device_that_is_not_there_is_refused(model: Path, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        describe("deploy", {"model": str(model), **arguments})


def test_demonstrations_have_an_operator_a_kind_and_a_tag(tmp_path: Path) -> None:
    description = describe("record", {"task": "push", "tags": "mine", "data": str(tmp_path)})
    assert names(description) == ["sim_robot", "recorder", "supervisor", "teleop", "tagger", "manager"]
    manager = description.processes[-1].parameters
    assert (manager["operator"], manager["kind"], manager["tags"]) == ("metaworld", "demonstration", "bootstrap,mine")
    assert description.episodes == 8


def test_a_real_robot_has_no_simulator_runs_in_real_time_and_on_request(tmp_path: Path, model: Path) -> None:
    robot = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    del robot["sim"]
    path = tmp_path / "real.yaml"
    path.write_text(yaml.safe_dump(robot))
    description = describe("deploy", {"model": str(model), "robot": str(path)})
    assert "sim_robot" not in names(description)
    assert description.processes[-1].parameters["drive"] == "real_time"
    assert description.processes[0].parameters["robot"] == str(path)
    assert description.episodes == 0
    with pytest.raises(SpecError, match="is not simulated"):
        describe("deploy", {"model": str(model), "robot": str(path), "drive": "stepped"})


def test_strategy_base_needs_no_tagger(model: Path) -> None:
    assert "tagger" not in names(describe("deploy", {"model": str(model), "strategy": "base"}))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"modell": "x"}, "unknown argument modell"),
        ({"robot": "r2d2"}, "unknown robot 'r2d2'"),
        ({"task": "juggle"}, "unknown task 'juggle'"),
        ({"task": "push"}, "was trained for task 'pick_and_place'"),
        ({"robot": "gym_mountain_car"}, "does not fit robot 'gym_mountain_car'"),
        ({"start": "nowhere"}, "argument start is 'nowhere'"),
        ({"strategy": "hope"}, "argument strategy is 'hope'"),
        ({"drive": "fast"}, "argument drive is 'fast'"),
        ({"kind": "demonstration"}, "argument kind is 'demonstration'"),
        ({"episodes": "-1"}, "argument episodes is '-1'"),
        ({"episodes": "many"}, "argument episodes is 'many'"),
        ({"seed": "1.5"}, "argument seed is '1.5'"),
        ({"camera": "perhaps"}, "argument camera is 'perhaps'"),
        ({"interpolation": "quadratic"}, "interpolation is 'quadratic'"),
        ({"delay_steps": "-2"}, "argument delay_steps is '-2'"),
    ],
)
def test_wrong_arguments_name_the_value_and_what_is_allowed(model: Path, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(XRolloutError, match=said) as error:
        describe("deploy", {"model": str(model), **arguments})
    assert error.value.remedy
    assert error.value.exit_code != 0


def test_the_interpolation_is_the_robots_unless_another_is_given(model: Path) -> None:
    for given, expected in (("", "linear"), ("cubic", "cubic")):
        described = describe("deploy", {"model": str(model), "interpolation": given})
        assert described.robot.motion.interpolation.value == expected
        [supervisor] = [process for process in described.processes if process.name == "supervisor"]
        assert supervisor.parameters["interpolation"] == given


def test_a_data_folder_that_cannot_be_is_refused_before_anything_starts(model: Path, tmp_path: Path) -> None:
    for data in (model, model / "below"):
        with pytest.raises(XRolloutError, match="is a file"):
            describe("deploy", {"model": str(model), "data": str(data)})


def test_a_missing_model_and_one_with_code_in_it_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no model was given"):
        describe("deploy", {})
    with pytest.raises(CheckpointError, match=r"nowhere\.pt"):
        describe("deploy", {"model": str(tmp_path / "nowhere.pt")})

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "was_here",))

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        describe("deploy", {"model": str(tmp_path / "evil.pt")})
    assert not (tmp_path / "was_here").exists()


def test_a_calibration_of_another_checkpoint_is_refused_before_anything_starts(tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "checkpoint.pt")
    write_calibration(calibration(), model)
    with pytest.raises(CheckpointError, match="of another checkpoint"):
        describe("deploy", {"model": str(model), "data": str(tmp_path / "data")})
    write_calibration(calibration(checkpoint_hash=sha256(model.read_bytes())), model)
    assert describe("deploy", {"model": str(model), "data": str(tmp_path / "data")})


def test_unknown_graph() -> None:
    with pytest.raises(SpecError, match="unknown graph 'fly'"):
        describe("fly", {})
    with pytest.raises(SpecError, match="no task was given"):
        describe("record", {})


def test_both_graphs_share_their_common_arguments() -> None:
    shared = {argument.name for argument in ARGUMENTS["deploy"]} & {argument.name for argument in ARGUMENTS["record"]}
    assert {"robot", "task", "strategy", "episodes", "data", "start", "seed", "drive", "camera"} <= shared


def test_a_command_line_keeps_types_and_strings_that_look_like_something_else(model: Path) -> None:
    description = describe("deploy", {"model": str(model), "site": "007", "tags": "yes,null"})
    words = arguments_of(description.processes[-1])
    given = dict(word.split(":=", 1) for word in words if ":=" in word)
    assert yaml.safe_load(given["site"]) == "007"
    assert yaml.safe_load(given["tags"]) == "yes,null"
    assert yaml.safe_load(given["episodes"]) == 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategy": "sentry"}, "strategy sentry uploads every attempt, but no place was given"),
        ({"strategy": "base", "upload": "/there"}, "strategy base keeps nothing"),
        ({"strategy": "highlight", "resume": "true"}, "strategy highlight keeps no attempts"),
        ({"upload": "gopher://there"}, "cannot upload to 'gopher://there'"),
        ({"upload_mbit": "5"}, "upload_mbit 5, but nothing is uploaded"),
        ({"upload": "/there", "upload_mbit": "-1"}, "argument upload_mbit is '-1'"),
        ({"ring_seconds": "0"}, "argument ring_seconds is '0'"),
        ({"ring_seconds": "nan"}, "argument ring_seconds is 'nan'"),
        ({"ring_mib": "0"}, "argument ring_mib is '0'"),
        ({"ring_mib": "1e9"}, "argument ring_mib is 1e"),
        ({"camera": "true", "ring_mib": "0.01"}, "one image of camera"),
        ({"highlight_after": "-3"}, "argument highlight_after is '-3'"),
        ({"corrections": "true"}, "strategy episodic cannot keep corrections only"),
        ({"strategy": "dagger", "correction_before": "2"}, "but whole attempts are kept"),
        ({"strategy": "dagger", "corrections": "true", "correction_before": "31"}, "more than ring_seconds 30"),
        ({"resume": "maybe"}, "argument resume is 'maybe'"),
        ({"reset_seconds": "soon"}, "argument reset_seconds is 'soon'"),
    ],
)
def test_what_is_kept_must_make_sense(model: Path, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(SpecError) as error:
        describe("deploy", {"model": str(model), **arguments})
    assert said in str(error.value)


def test_an_uploader_is_started_where_a_place_is_given_and_is_not_vital(model: Path, tmp_path: Path) -> None:
    description = describe(
        "deploy", {"model": str(model), "strategy": "sentry", "upload": str(tmp_path / "there"), "upload_mbit": "8"}
    )
    assert names(description)[-2:] == ["uploader", "manager"]
    uploader, manager = description.processes[-2:]
    assert not uploader.vital
    assert (uploader.parameters["url"], uploader.parameters["mbit"]) == (f"file://{tmp_path / 'there'}", 8.0)
    assert "uploader" not in str(manager.parameters["nodes"])
    assert manager.parameters["strategy"] == "sentry"


def test_strategies_without_bags_need_no_tagger_and_corrections_reach_the_recorder(model: Path) -> None:
    assert "tagger" not in names(describe("deploy", {"model": str(model), "strategy": "highlight"}))
    given = {"model": str(model), "strategy": "dagger", "corrections": "true", "correction_after": "2.5"}
    recorder = describe("deploy", given).processes[1].parameters
    assert (recorder["corrections"], recorder["correction_before"], recorder["correction_after"]) == (True, 1.0, 2.5)


def test_an_operator_may_be_named_for_a_deployment(model: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("{source: joy, axes: {dx: {axis: 1}}}")
    description = describe("deploy", {"model": str(model), "operator": str(mine), "data": str(tmp_path)})
    assert names(description) == ["sim_robot", "recorder", "supervisor", "policy", "teleop", "tagger", "manager"]
    manager, teleop = description.processes[-1].parameters, description.processes[4].parameters
    assert (manager["operator"], manager["kind"], manager["drive"]) == ("joy", "attempt", "real_time")
    assert (teleop["operator"], teleop["terminal"]) == (str(mine), "")
    scripted = describe("deploy", {"model": str(model), "operator": "scripted", "data": str(tmp_path)})
    assert scripted.processes[-1].parameters["drive"] == "stepped"
    assert scripted.processes[-1].parameters["operator"] == "metaworld"


def test_an_operator_that_cannot_drive_is_refused_before_anything_starts(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("{source: joy, axes: {warp: {axis: 1}}}")
    for graph, arguments, said in (
        ("deploy", {"operator": str(mine)}, "the joystick moves warp"),
        ("deploy", {"operator": "pedal", "drive": "real_time"}, "a pedal alone moves nothing"),
        ("deploy", {"operator": "joy", "drive": "stepped"}, "does not wait for a person"),
        ("deploy", {"operator": "leader"}, "moves dx, which is a delta"),
        ("record", {"operator": "juggler"}, "unknown operator 'juggler'"),
    ):
        given = {"model": str(model)} if graph == "deploy" else {"task": "push"}
        with pytest.raises(SpecError, match=said):
            describe(graph, {**given, **arguments, "data": str(tmp_path)})
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(XRolloutError, match="keyboard needs a terminal"):
            describe("deploy", {"model": str(model), "operator": "keyboard"})


def test_a_list_of_starts_takes_the_place_of_counted_seeds(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "starts.json"
    path.write_text('[{"start": "wide", "seed": 5}, {"start": "nominal", "seed": 6}]')
    for graph, arguments in (("deploy", {"model": str(model)}), ("record", {"task": "pick_and_place"})):
        described = describe(graph, {**arguments, "starts": str(path), "data": str(tmp_path)})
        assert described.episodes == 2
        assert described.processes[-1].parameters["starts"] == str(path)
        inline = describe(graph, {**arguments, "starts": "wide:5", "data": str(tmp_path)})
        assert (inline.episodes, inline.processes[-1].parameters["starts"]) == (1, "wide:5")
        for wrong, said in (
            ({"starts": "far:5"}, "start 1 of far:5: task 'pick_and_place' has no start 'far'"),
            ({"starts": "wide"}, "start 1 of wide has no seed"),
            ({"starts": "wide:5", "episodes": "3"}, "argument episodes is '3', and starts names"),
            ({"starts": "wide:5", "seed": "7"}, "argument seed is '7'"),
            ({"starts": "wide:5", "start": "wide"}, "argument start is 'wide'"),
            ({"starts": str(tmp_path / "nowhere.json")}, "cannot be read"),
        ):
            with pytest.raises(SpecError, match=said):
                describe(graph, {**arguments, **wrong, "data": str(tmp_path)})
    # Not bootstrapping: somebody has chosen where to begin.
    assert inline.processes[-1].parameters["tags"] == ""


def test_how_a_policy_is_made_to_act_is_told_to_who_does_it_and_kept(model: Path, tmp_path: Path) -> None:
    described = describe("deploy", {"model": str(model), "control": "calm:0.5", "temperature": "1.5"})
    by_name = {process.name: process.parameters for process in described.processes}
    assert by_name["supervisor"]["control"] == "calm:0.5"
    assert by_name["policy"]["temperature"] == 1.5
    kept = json.loads(str(by_name["manager"]["acting"]))
    assert kept == {"control": "calm", "control_value": 0.5, "temperature": 1.5}
    for wrong, said in (
        ({"control": "wild"}, "unknown control 'wild'"),
        ({"control": "calm:2"}, "share 2"),
        ({"control": "calm:x"}, "'x' is no number"),
        ({"control": "guarded:1"}, "takes no number"),
        ({"temperature": "0"}, "argument temperature is '0'"),
        ({"temperature": "inf"}, "argument temperature is 'inf'"),
    ):
        with pytest.raises(SpecError, match=said):
            describe("deploy", {"model": str(model), **wrong})
