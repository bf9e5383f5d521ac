"""The checks of `xrollout doctor`, each on a subject made for it, without ROS."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import xrollout_ros
from xrollout_ros.core.modes import Phase
from xrollout_ros.core.resources import load_robot, load_task, robot_ids, share_dir
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.urdf import UrdfJoint
from xrollout_ros.episodes.definitions import ament_prefixes
from xrollout_ros.graph.middleware import NEW, OLD, TRANSPORTS, profile_variable
from xrollout_ros.runtime.monitor_model import EpisodeView, MonitorModel, NodeHealth
from xrollout_ros.runtime.survey import Endpoint, GraphSurvey, QosMismatch, TopicSurvey, is_onlooker
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.doctor import cameras, data, environment, model, rehearsal, robot, running, subject, table
from xrollout_ros.ui.doctor.finding import Check, Finding, Level, Subject, error, ok, skipped, warning
from xrollout_ros.ui.doctor.machine import ThisMachine
from xrollout_ros.ui.doctor.registry import GROUPS, examine

from ..checkpoints import make_checkpoint
from .robots import JOINTS
from .surveys import graph, joint_states, listened, picture, topic

MB, GB = 10**6, 10**9
CAMERA = {"name": "wrist", "topic": "/wrist/image_raw", "width": 640, "height": 480, "rate_hz": 30.0}
WITH_CAMERA = RobotSpec.model_validate({**JOINTS.model_dump(mode="json"), "cameras": [CAMERA]})
SIMULATED = load_robot("metaworld_sawyer")


@dataclass
class FakeMachine:
    environ: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ("rclpy", "xrollout")
    disk: tuple[int, int] = (500 * GB, 400 * GB)
    rate: float = 500.0 * MB
    now_s: float = 1.8e9
    problem: OSError | None = None

    def has_module(self, name: str) -> bool:
        return name in self.modules

    def disk_bytes(self, path: Path) -> tuple[int, int]:
        return self.disk

    def write_rate(self, folder: Path) -> float:
        if self.problem is not None:
            raise self.problem
        return self.rate

    def wall_s(self) -> float:
        return self.now_s


def about(folder: Path = Path("/"), **values: Any) -> Subject:
    return Subject(**{"machine": FakeMachine(), "data": folder, **values})


def one(findings: Any) -> Finding:
    [found] = list(findings)
    return found


# --- machine --------------------------------------------------------------------------------------------------------


def test_ros_and_messages_are_there_or_named(tmp_path: Path) -> None:
    bare = about(machine=FakeMachine(modules=()))
    assert one(environment.ros_installed(bare)).level is Level.ERROR
    assert one(environment.messages_built(bare)).level is Level.ERROR
    share = tmp_path / "share/xrollout"
    share.mkdir(parents=True)
    built = about(machine=FakeMachine({"AMENT_PREFIX_PATH": f"/nowhere:{tmp_path}"}))
    (share / "package.xml").write_text("<package><version>0.0.7</version></package>")
    assert "0.0.7" in one(environment.messages_built(built)).value
    (share / "package.xml").write_text(f"<package><version>{xrollout_ros.__version__}</version></package>")
    stale = one(environment.messages_built(built))
    assert stale.level is Level.ERROR
    assert "Heartbeat" in stale.value
    source = Path(xrollout_ros.__file__).parents[1]
    for path in [*source.glob("msg/*.msg"), *source.glob("srv/*.srv"), *source.glob("action/*.action")]:
        target = share / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert one(environment.messages_built(built)).level is Level.OK


@pytest.mark.parametrize(
    ("check", "environ", "level"),
    [
        (environment.middleware, {}, Level.OK),
        (environment.middleware, {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, Level.WARNING),
        (environment.discovery, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, Level.OK),
        (environment.discovery, {"ROS_LOCALHOST_ONLY": "1"}, Level.WARNING),
    ],
)
def test_variables(check: Any, environ: dict[str, str], level: Level) -> None:
    assert one(check(about(machine=FakeMachine(environ)))).level is level


@pytest.mark.parametrize(("free", "level"), [(8 * MB, Level.ERROR), (100 * MB, Level.WARNING), (GB, Level.OK)])
def test_shared_memory_has_room(free: int, level: Level) -> None:
    assert one(environment.shared_memory(about(machine=FakeMachine(disk=(GB, free))))).level is level


def test_the_fast_dds_profile_is_there_and_read(tmp_path: Path) -> None:
    def look(environ: dict[str, str]) -> Finding:
        return one(environment.fast_dds(about(machine=FakeMachine(environ))))

    read = profile_variable(os.environ, ament_prefixes())
    other = {NEW: OLD, OLD: NEW}[read]
    profile = tmp_path / "profile.xml"
    profile.write_text("")
    assert look({}).value.startswith(str(share_dir() / "config/fastdds.xml"))
    assert look({read: str(profile)}).value == str(profile)
    assert (look({read: "/nowhere.xml"}).level, look({other: str(profile)}).level) == (Level.ERROR, Level.WARNING)
    assert look({TRANSPORTS: "UDPv4"}).level is Level.OK


def test_the_clock() -> None:
    assert one(environment.clock(about(machine=FakeMachine(now_s=100.0)))).level is Level.ERROR
    assert one(environment.clock(about(survey=graph(clock_jump_s=0.5)))).level is Level.WARNING
    assert one(environment.clock(about(survey=graph()))).level is Level.OK


# --- robot ----------------------------------------------------------------------------------------------------------


def test_limits_that_limit_nothing() -> None:
    findings = list(robot.limits(about(robot=load_robot("so100"))))
    assert [each.level for each in findings] == [Level.OK]
    wide = JOINTS.model_copy(
        update={"actions": (JOINTS.actions[1].model_copy(update={"lower": -1e6, "max_rate": None}),)}
    )
    values = [each.value for each in robot.limits(about(robot=wide))]
    assert any("without max_rate" in each for each in values)
    assert any("too wide" in each for each in values)


@pytest.mark.parametrize("name", robot_ids())
def test_shipped_robots_are_safe_by_themselves(name: str) -> None:
    findings = [*robot.limits(about(robot=load_robot(name))), *robot.rates(about(robot=load_robot(name)))]
    assert [each for each in findings if each.level is not Level.OK] == []


def test_a_policy_faster_than_its_sensors() -> None:
    slow = JOINTS.model_copy(update={"observations": (JOINTS.observations[0].model_copy(update={"rate_hz": 10.0}),)})
    assert "below policy_rate_hz" in one(robot.rates(about(robot=slow))).value


def joint(name: str, **values: Any) -> dict[str, UrdfJoint]:
    known = {"type": "revolute", "lower": -2.0, "upper": 2.0, "velocity": 3.0}
    return {name: UrdfJoint(name, **{**known, **values})}


@pytest.mark.parametrize(
    ("joints", "level", "said"),
    [
        (joint("shoulder"), Level.OK, "1 actions"),
        (joint("shoulder", upper=0.5), Level.ERROR, "limits [-1, 1]"),
        (joint("shoulder", velocity=1.0), Level.ERROR, "max_rate 2"),
        (joint("wheel", type="continuous", lower=None, upper=None), Level.OK, "1 actions"),
        (joint("wheel", velocity=0.5), Level.ERROR, "limits [-1, 1]"),
        (joint("nose"), Level.SKIPPED, "no action"),
    ],
)
def test_limits_against_the_urdf(joints: dict[str, UrdfJoint], level: Level, said: str) -> None:
    found = one(robot.against_urdf(about(robot=JOINTS, joints=joints)))
    assert (found.level, said in found.value) == (level, True), found


def test_a_joint_is_found_by_what_measures_it() -> None:
    named = JOINTS.observations[0].model_copy(update={"names": ("a", "b")})
    robot_spec = JOINTS.model_copy(update={"observations": (named,)})
    found = robot.urdf_joint(robot_spec, robot_spec.actions[0], joint("b"))
    assert found is not None
    assert found.name == "b"


def test_a_simulated_robot_is_looked_at_only_while_it_runs() -> None:
    assert one(robot.observations(about(robot=SIMULATED, survey=graph()))).level is Level.SKIPPED
    # Without an attempt it is silent by right; in one, silence is an error.
    topics = [topic(entry.topic, entry.type, publisher="/xrollout/sim_robot") for entry in SIMULATED.observations]
    idle = graph(*topics, nodes=("/xrollout/sim_robot",))
    assert {each.level for each in robot.observations(about(robot=SIMULATED, survey=idle))} == {Level.SKIPPED}
    running_now = replace(idle, monitor=monitor(episode=episode(Phase.RUNNING)))
    assert {each.level for each in robot.observations(about(robot=SIMULATED, survey=running_now))} == {Level.ERROR}


def test_the_stepped_drive_has_no_rates() -> None:
    spec = SIMULATED.model_copy(update={"observations": SIMULATED.observations[:1]})
    entry = spec.observations[0]
    sample = SimpleNamespace(point=SimpleNamespace(x=0.0, y=0.0, z=0.0))
    stepped = graph(
        topic(entry.topic, entry.type, sample, rate_hz=1.0),
        listened("/xrollout/command", "xrollout/msg/Command", "/xrollout/sim_robot"),
        nodes=("/xrollout/sim_robot",),
    )
    assert one(robot.observations(about(robot=spec, survey=stepped))).level is Level.OK


def test_values_that_are_not_finite() -> None:
    state = joint_states("a", "b", rate_hz=100.0)
    state.heard.sample.position = [0.0, float("nan")]  # type: ignore[union-attr]
    assert "not finite" in one(robot.observations(about(robot=JOINTS, survey=graph(state)))).value


def test_who_only_looks_moves_nothing() -> None:
    kind = "std_msgs/msg/Float64MultiArray"
    seen = graph(listened("/command", kind, "/rosbag2_recorder"))
    assert one(robot.command(about(robot=JOINTS, survey=seen), kind)).value == "nobody listens to it"
    driven = graph(listened("/command", kind, "/arm_driver"))
    assert one(robot.command(about(robot=JOINTS, survey=driven), kind)).level is Level.OK
    assert [is_onlooker(f"/xrollout/{name}") for name in ("recorder", "sim_robot")] == [True, False]


# --- cameras --------------------------------------------------------------------------------------------------------


def info(k: float = 500.0, width: int = 640, height: int = 480) -> TopicSurvey:
    sample = SimpleNamespace(k=[k, 0, 0, 0, k, 0, 0, 0, bool(k)], width=width, height=height)
    return topic("/wrist/camera_info", "sensor_msgs/msg/CameraInfo", sample)


@pytest.mark.parametrize(
    ("found", "level", "said"),
    [
        (info(), Level.OK, "500"),
        (info(k=0.0), Level.ERROR, "K is zero"),
        (info(width=320), Level.ERROR, "made for 320×480"),
        (picture("/other"), Level.WARNING, "nothing on /wrist/camera_info"),
    ],
)
def test_calibration(found: TopicSurvey, level: Level, said: str) -> None:
    said_of = one(cameras.calibration(about(robot=WITH_CAMERA, survey=graph(found))))
    assert (said_of.level, said in said_of.value) == (level, True), said_of


def test_a_camera_that_is_whole() -> None:
    survey = graph(picture("/wrist/image_raw", rate_hz=29.0))
    assert one(cameras.cameras(about(robot=WITH_CAMERA, survey=survey))).value == "640×480 at 29 Hz"
    assert list(cameras.cameras(about(robot=JOINTS, survey=survey))) == []


# --- graph ----------------------------------------------------------------------------------------------------------


def monitor(**values: Any) -> MonitorModel:
    known = {
        "namespace": "/xrollout", "waiting_s": 0.0, "mode": None, "mode_age_s": 0.0, "reason": "", "operator": "",
        "episode": None, "closed": 0, "successes": 0, "command_rate_hz": 0.0, "command_source": None, "policy": None,
        "recorder": None, "nodes": (), "missing": (), "rates": (), "safety": (), "failures": (),
    }  # fmt: skip
    return MonitorModel(**{**known, **values})


def episode(phase: Phase) -> EpisodeView:
    return EpisodeView("id", phase, "attempt", "t", "metaworld_sawyer", "nominal", 1, 1, 1)


def node(name: str, lifecycle: str = "active", age_s: float = 0.1, restarts: int = 0) -> NodeHealth:
    return NodeHealth(name, "01", lifecycle, age_s, 9.0, 0.0, restarts)


@pytest.mark.parametrize(
    ("survey", "level", "said"),
    [
        (graph(), Level.OK, "none runs in domain 7"),
        (graph(nodes=("/xrollout/manager",) * 2), Level.ERROR, "2 times"),
        (graph(nodes=("/xrollout/monitor",) * 2), Level.OK, "none runs"),
        (graph(nodes=("/xrollout/recorder",)), Level.ERROR, "without a heartbeat"),
        (graph(monitor=monitor(nodes=(node("policy"), node("manager", "plain")))), Level.OK, "2 nodes"),
        (graph(monitor=monitor(nodes=(node("policy", "inactive"),))), Level.ERROR, "inactive, not active"),
        (graph(monitor=monitor(nodes=(node("policy", age_s=3.0),))), Level.ERROR, "no heartbeat for 3.0 s"),
        (graph(monitor=monitor(nodes=(node("policy", restarts=2),))), Level.WARNING, "restarted 2 times"),
        (graph(monitor=monitor(nodes=(node("policy"),), missing=("recorder",))), Level.ERROR, "not there"),
    ],
)
def test_the_running_graph(survey: GraphSurvey, level: Level, said: str) -> None:
    found = one(running.nodes(about(survey=survey)))
    assert (found.level, said in found.value) == (level, True), found


def test_qos_counts_where_it_matters() -> None:
    def mismatch(name: str) -> GraphSurvey:
        return graph(qos_mismatches=(QosMismatch(name, "/driver", "/xrollout/policy", "best effort"),))

    assert one(running.qos(about(robot=JOINTS, survey=mismatch("/joint_states")))).level is Level.ERROR
    assert one(running.qos(about(robot=JOINTS, survey=mismatch("/xrollout/chunk")))).level is Level.ERROR
    assert one(running.qos(about(robot=JOINTS, survey=mismatch("/somebody/elses")))).level is Level.OK


# --- model ----------------------------------------------------------------------------------------------------------


def test_a_model_for_another_robot(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "c.pt")
    task = load_task("pick_and_place")
    fits = list(model.model(about(robot=SIMULATED, task=task, model=checkpoint)))
    assert [each.thing for each in fits] == [f"model {checkpoint}", "calibration", "inference"]
    assert fits[1].level is Level.SKIPPED
    assert fits[0].level is Level.OK
    other = one(model.model(about(robot=load_robot("gym_mountain_car"), model=checkpoint)))
    assert other.level is Level.ERROR
    assert "gym_mountain_car" in other.value
    assert one(model.model(about(model=tmp_path / "none.pt"))).level is Level.ERROR
    assert one(model.model(about())).level is Level.SKIPPED


@pytest.mark.parametrize(("p99_s", "level"), [(0.005, Level.OK), (0.02, Level.WARNING), (0.041, Level.ERROR)])
def test_slow_inference(p99_s: float, level: Level) -> None:
    assert model.slow(p99_s, 0.01, 4).level is level


# --- data -----------------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    full = FakeMachine(problem=OSError(28, "No space left on device"))
    assert "No space left" in one(data.writable(about(tmp_path, machine=full))).value
    file = tmp_path / "file"
    file.write_text("")
    assert one(data.writable(about(file))).level is Level.ERROR
    assert one(data.writable(about(file / "below"))).level is Level.ERROR
    assert one(data.writable(about(tmp_path / "new"))).level is Level.OK
    if os.getuid():
        tmp_path.chmod(0o500)
        assert one(data.writable(about(tmp_path))).level is Level.ERROR
        tmp_path.chmod(0o700)


def test_a_disk_slower_than_the_cameras(tmp_path: Path) -> None:
    for rate, level in ((10 * MB, Level.ERROR), (40 * MB, Level.WARNING), (100 * MB, Level.OK)):
        found = one(data.writable(about(tmp_path, machine=FakeMachine(rate=rate), robot=WITH_CAMERA)))
        assert found.level is level


def test_space_for_bags(tmp_path: Path) -> None:
    assert one(data.space(about(tmp_path, machine=FakeMachine(disk=(GB, 100 * MB))))).level is Level.ERROR
    assert one(data.space(about(tmp_path / "new"))).level is Level.OK


def test_bags_that_are_torn_or_foreign_and_a_journal_with_holes(tmp_path: Path) -> None:
    torn, foreign = tmp_path / "day/torn", tmp_path / "day/foreign"
    for folder in (torn, foreign):
        folder.mkdir(parents=True)
        (folder / "x_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (foreign / "metadata.yaml").write_text("rosbag2_bagfile_information: {version: 9}\n")
    (tmp_path / "journal.jsonl").write_text('{"id": "torn')
    subject_here = about(tmp_path)
    by_thing = {each.thing: each for each in data.bags(subject_here)}
    assert "torn" in by_thing[f"bag {torn}"].value
    assert by_thing[f"bag {foreign}"].level is Level.WARNING
    assert "line 1" in one(data.journal(subject_here)).value


# --- all of it ------------------------------------------------------------------------------------------------------


def test_this_machine_can_be_asked(tmp_path: Path) -> None:
    machine = ThisMachine()
    assert machine.write_rate(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
    assert machine.has_module("yaml")
    assert not machine.has_module("no_such_module_here")
    assert machine.disk_bytes(tmp_path)[0] >= machine.disk_bytes(tmp_path)[1] > 0


def test_a_check_that_breaks_is_an_error_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(subject_given: Subject) -> list[Finding]:
        raise OSError("the disk is gone")

    monkeypatch.setitem(GROUPS, "data", (Check("bags", breaks), Check("fine", lambda _: [ok("a", "b")])))
    first, second = examine(about(), ("data",))
    assert (first.level, first.check, "the disk is gone" in first.value) == (Level.ERROR, "bags", True)
    assert (second.level, second.check) == (Level.OK, "fine")


def test_every_problem_says_what_is_allowed_and_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("builtin_interfaces", reason="ROS 2 is not installed")
    survey = graph(joint_states("x"), nodes=("/xrollout/manager",) * 2)
    machine = FakeMachine({"ROS_LOCALHOST_ONLY": "1"}, (), (GB, 0), 1.0, 0.0)
    found = list(examine(about(tmp_path, machine=machine, robot=WITH_CAMERA, survey=survey)))
    problems = [each for each in found if each.level in (Level.ERROR, Level.WARNING)]
    assert len(problems) > 8
    for each in problems:
        assert each.check, each
        assert each.value, each
        assert each.allowed, each
        assert each.remedy, each


def test_the_documentation_lists_every_check() -> None:
    text = (Path(xrollout_ros.__file__).parents[1] / "docs/doctor.md").read_text()
    for group in GROUPS.values():
        for check in group:
            assert f"| {check.name} |" in text, check.name
    assert f"| {rehearsal.NAME} |" in text


def test_what_is_meant(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "c.pt")
    assert subject.choose(None, None, None) == ("metaworld_sawyer", "pick_and_place")
    assert subject.choose(None, "mountain_car", None) == ("gym_mountain_car", "mountain_car")
    assert subject.choose("gym_mountain_car", None, None) == ("gym_mountain_car", "mountain_car")
    assert subject.choose(None, None, checkpoint) == ("metaworld_sawyer", "pick_and_place")
    assert subject.choose("diff_drive", None, None) == ("diff_drive", "")
    assert subject.choose(None, None, tmp_path / "none.pt") == ("metaworld_sawyer", "pick_and_place")


@pytest.mark.parametrize(
    ("values", "asked", "said"),
    [
        ({}, False, "left out"),
        ({"survey": None}, None, "ROS is not there"),
        ({"robot": JOINTS}, True, "real robot"),
        ({"task": None}, None, "no task"),
        ({"survey": graph(nodes=("/xrollout/manager",))}, None, "a graph runs"),
        ({"survey": graph(nodes=("/xrollout/monitor",))}, None, ""),
    ],
)
def test_when_sample_episodes_are_recorded(values: dict[str, Any], asked: bool | None, said: str) -> None:
    known = {"robot": SIMULATED, "task": load_task("pick_and_place"), "survey": graph(), **values}
    findings = list(rehearsal.preconditions(about(**known), asked))
    assert [each.level for each in findings] == ([Level.ERROR if asked else Level.SKIPPED] if said else [])
    assert all(said in each.value for each in findings)


def test_findings_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [ok("a", "1"), skipped("b", "2"), warning("c", "3", "4", "do"), error("d", "5", "6", "mend")]
    assert table.verdict(findings[:2]) == "all is well: 1 ok, 1 not checked"
    assert table.verdict(findings) == "1 error, 1 warning; 1 ok, 1 not checked"
    document = json.loads(json.dumps(table.as_json(findings)))
    assert not document["passed"]
    assert table.as_json(findings[:3])["passed"]
    assert document["findings"][3] == {
        "level": "error", "thing": "d", "value": "5", "allowed": "6", "remedy": "mend", "check": "",
    }  # fmt: skip


def test_a_wrong_robot_is_refused_before_anything_else() -> None:
    done = CliRunner().invoke(cli, ["doctor", "--robot", "r2d2"])
    assert done.exit_code == 2
    assert "r2d2" in done.output


def test_endpoints_name_their_types() -> None:
    both = TopicSurvey("/t", (Endpoint("/a", "x/msg/A"),), (Endpoint("/b", "x/msg/B"),))
    assert both.types == ("x/msg/A", "x/msg/B")
