"""`xrollout doctor` on a driver that is whole, then on one that is broken in one thing at a time."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.resources import load_robot
from xrollout_ros.ui.doctor.finding import Finding, Level
from xrollout_ros.ui.doctor.machine import ThisMachine
from xrollout_ros.ui.doctor.registry import examine
from xrollout_ros.ui.doctor.subject import gather
from xrollout_ros.ui.ros2_doctor import XRolloutCheck, XRolloutReport

from .conftest import COMMAND
from .fake_driver import SPEC, WRONG_TYPE, Fault, driver, write_spec

pytestmark = [pytest.mark.graph, pytest.mark.timeout(120)]
LISTEN_S = 1.2
PATIENCE_S = 3.0
GROUPS = ("robot", "cameras", "graph")


def look(spec: Path, fault: Fault, data: Path) -> list[Finding]:
    with driver(fault):
        subject, problems = gather(ThisMachine(), data, load_robot(str(spec)), None, None, LISTEN_S, PATIENCE_S)
    return [*problems, *examine(subject, GROUPS)]


def wrong(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.level in (Level.ERROR, Level.WARNING)]


@pytest.mark.usefixtures("ros_domain")
def test_a_whole_driver_is_well(tmp_path: Path) -> None:
    findings = look(write_spec(tmp_path / "arm.yaml"), Fault(), tmp_path)
    assert wrong(findings) == []
    said = {each.thing: each for each in findings}
    assert said["observation joints"].level is Level.OK
    assert said["camera wrist"].level is Level.OK
    assert said["calibration of camera wrist"].value == "focal length 20 × 20 pixels"
    assert said["command topic /arm/commands"].value == "/fake_driver listens"
    assert said["limits against the URDF"].value == "2 actions within them"


@dataclass(frozen=True)
class Break:
    thing: str
    value: str
    fault: Fault = field(default_factory=Fault)
    spec: dict[str, Any] = field(default_factory=dict)
    level: Level = Level.ERROR


def first_action(**values: Any) -> dict[str, Any]:
    return {"actions": [{**SPEC["actions"][0], **values}, SPEC["actions"][1]]}


def without_max_rate() -> dict[str, Any]:
    actions = [{key: value for key, value in action.items() if key != "max_rate"} for action in SPEC["actions"]]
    return {"actions": actions}


BREAKS = {
    "missing topic": Break("observation joints", "nobody publishes /joint_states", Fault(silent=True)),
    "wrong type": Break("observation joints", "published as geometry_msgs/msg/Twist", Fault(joint_type=WRONG_TYPE)),
    "joint missing": Break("observation joints", "no joint elbow", Fault(joints=("shoulder", "wrist"))),
    "stale stamps": Break("observation joints", "stale: stamps are 3.", Fault(late_s=3.0)),
    "stamps in the future": Break("observation joints", "in the future", Fault(late_s=-3.0)),
    "no stamps": Break("observation joints", "with stamp 0", Fault(unstamped=True)),
    "stamps go backwards": Break("observation joints", "backwards", Fault(backwards=True)),
    "rate too low": Break("observation joints", "rate ", Fault(rate_hz=10.0)),
    "camera rate too low": Break("camera wrist", "rate ", Fault(rate_hz=8.0)),
    "camera size": Break("camera wrist", "pictures of 64×24", Fault(width=64)),
    "camera frozen": Break("camera wrist", "frozen: ", Fault(frozen=True)),
    "uncalibrated": Break("calibration of camera wrist", "uncalibrated: its matrix K is zero", Fault(calibrated=False)),
    "limits outside the URDF": Break("action shoulder", "limits [-2, 1]", spec=first_action(lower=-2.0)),
    "no max_rate": Break("action elbow", "without max_rate", spec=without_max_rate(), level=Level.WARNING),
    "nobody listens": Break("command topic /arm/commands", "nobody listens", Fault(listens=False)),
    "listens to another type": Break("command topic /arm/commands", "as geometry_msgs", Fault(listens_to=WRONG_TYPE)),
    "a rival commands": Break("command topic /arm/commands", "/fake_driver commands the robot too", Fault(rival=True)),
    "QoS that never meets": Break("QoS of /wrist/image_raw", "/fake_driver never reaches", Fault(picky=True)),
}


@pytest.mark.usefixtures("ros_domain")
@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_named(name: str, tmp_path: Path) -> None:
    broken = BREAKS[name]
    found = wrong(look(write_spec(tmp_path / "arm.yaml", **broken.spec), broken.fault, tmp_path))
    hits = [each for each in found if each.thing == broken.thing and broken.value in each.value]
    assert hits, found
    assert hits[0].level is broken.level
    assert hits[0].allowed
    assert hits[0].remedy


def test_the_command_names_all_and_fails(ros_domain: dict[str, str], tmp_path: Path) -> None:
    spec = write_spec(tmp_path / "arm.yaml", **without_max_rate())
    data = tmp_path / "data"
    (data / "2026-01-01/torn").mkdir(parents=True)
    (data / "2026-01-01/torn/torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (data / "journal.jsonl").write_text('{"id": \n')
    with driver(Fault(calibrated=False, late_s=3.0)):
        done = subprocess.run(
            [*COMMAND, "doctor", "--robot", spec, "--data", data, "--duration", "2", "--json"],
            env=ros_domain,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=60,
        )
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert not said["passed"]
    by_thing = {each["thing"]: each for each in said["findings"]}
    assert by_thing["calibration of camera wrist"]["level"] == "error"
    assert "stale" in by_thing["observation joints"]["value"]
    assert by_thing["action elbow"]["level"] == "warning"
    assert "torn" in by_thing[f"bag {data / '2026-01-01/torn'}"]["value"]
    assert by_thing["journal"]["level"] == "warning"
    assert "real robot" in by_thing["sample episodes"]["value"]


def test_ten_sample_episodes_record_read_and_train(ros_domain: dict[str, str], tmp_path: Path) -> None:
    arguments = ["doctor", "--data", tmp_path / "data", "--duration", "1", "--json"]
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], env=ros_domain, capture_output=True, text=True, cwd=tmp_path, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    findings = json.loads(done.stdout)["findings"]
    sample = {each["thing"]: each for each in findings if each["check"] == "sample episodes"}
    assert [each.removeprefix("sample episodes: ") for each in sample] == ["record", "read", "train"]
    assert {each["level"] for each in sample.values()} == {"ok"}
    assert "10 episodes" in sample["sample episodes: train"]["value"]
    assert not (tmp_path / "data").exists()


@pytest.mark.ros2cli
def test_ros2_doctor_counts_what_is_wrong(
    ros_domain: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ros2doctor", reason="ros2doctor is not installed")
    monkeypatch.chdir(tmp_path)
    check = XRolloutCheck()
    assert check.category() == XRolloutReport().category() == "xrollout"
    before = check.check()
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "nowhere.xml"))
    with pytest.warns(UserWarning, match=r"nowhere\.xml"):
        after = check.check()
    assert (before.error, after.error) == (0, 1)
    assert any(name == "Fast DDS profile" for name, _ in XRolloutReport().report().items)
