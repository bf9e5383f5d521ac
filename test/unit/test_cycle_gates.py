"""Environment levels and their gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import CheckpointError, SpecError
from xrollout_ros.core.levels import LEVELS, USUAL, LevelSpec, check_level, level_before
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import SafetyLimits
from xrollout_ros.cycle import gates
from xrollout_ros.episodes import paths
from xrollout_ros.graph.description import describe
from xrollout_ros.runtime.overrides import with_level
from xrollout_ros.ui.cli import cli

from ..checkpoints import make_checkpoint

SAWYER = load_robot("metaworld_sawyer")
HASH = "a" * 64


def real(**changes: Any) -> RobotSpec:
    return SAWYER.model_copy(update={"sim": None, **changes})


def test_limits_get_tighter_from_level_to_level() -> None:
    before = SAWYER
    for level in LEVELS:
        now = with_level(SAWYER, level)
        assert all(one.upper <= other.upper for one, other in zip(now.actions, before.actions, strict=True))
        severities = zip(now.safety.detectors, before.safety.detectors, strict=True)
        assert all(one.severity >= other.severity for one, other in severities)
        before = now
    assert with_level(SAWYER, "L0") == SAWYER
    assert with_level(SAWYER, "L4").actions[0].upper == pytest.approx(0.7)
    assert with_level(SAWYER, "L4").actions[3].upper == 1, "a gripper stays as it is"
    assert {each.severity for each in with_level(SAWYER, "L4").safety.detectors} >= {Severity.HOLD}


def test_a_robot_says_itself_what_a_level_allows_but_never_more_than_the_one_before() -> None:
    safety = SAWYER.safety.model_copy(update={"levels": {"L2": LevelSpec(speed=0.5), "L3": LevelSpec(speed=0.4)}})
    assert with_level(SAWYER.model_copy(update={"safety": safety}), "L2").actions[0].upper == 0.5
    with pytest.raises(ValidationError, match=r"speed 0\.9 of L2 is more than 0\.5 of L1"):
        SafetyLimits.model_validate({"levels": {"L1": {"speed": 0.5}, "L2": {"speed": 0.9}}})
    with pytest.raises(ValidationError, match="alarms 'log' of L4 are less than 'hold' of L3"):
        SafetyLimits.model_validate({"levels": {"L4": {"speed": 0.1, "force": 0.1}}})


def test_levels_are_known_by_name() -> None:
    assert check_level("L3") == "L3"
    assert level_before("L0") is None
    assert level_before("L4") == "L3"
    with pytest.raises(SpecError, match="level 'L7' is unknown"):
        check_level("L7")
    assert set(USUAL) == set(LEVELS)


def test_a_gate_asks_for_enough_attempts_and_a_bound_of_success() -> None:
    assert "19 attempts" in gates.judge("L1", 19, 19, 0.6)
    assert "14 of 22 attempts at L1 succeeded: at least 43% (95 %), asked is 60%" in gates.judge("L1", 14, 22, 0.6)
    assert gates.judge("L1", 22, 22, 0.6) == ""
    assert gates.asked_of("L1", {"L1": 0.95}) == 0.95


def test_a_policy_goes_to_the_next_level_with_the_certificate_of_the_one_before(tmp_path: Path) -> None:
    model = tmp_path / "checkpoint.pt"
    simulated = real(simulation="metaworld_sawyer")
    gates.check_gate(SAWYER, "L0", model, HASH)
    gates.check_gate(real(), "L1", model, HASH)
    with pytest.raises(CheckpointError, match=r"has not passed the gate of L0 \(simulation\); passed: none"):
        gates.check_gate(simulated, "L1", model, HASH)
    gates.certify(model, HASH, "L0", 40, 40, 0.6, "ann", SystemClock())
    gates.check_gate(simulated, "L1", model, HASH)
    with pytest.raises(CheckpointError, match="has not passed the gate of L1"):
        gates.check_gate(simulated, "L2", model, HASH)
    gates.certify(model, HASH, "L1", 0, 0, 0.6, "ann", SystemClock(), waived="tried on the other cell")
    gates.check_gate(simulated, "L2", model, HASH)
    with pytest.raises(CheckpointError, match="are of another checkpoint"):
        gates.check_gate(simulated, "L2", model, "b" * 64)
    gates.sidecar_of(model).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        gates.read_certificates(model, HASH)


def test_the_graph_refuses_a_level_that_is_not_the_robots(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint.pt")
    deploy = {"model": str(checkpoint), "data": str(tmp_path / "data")}
    described = describe("deploy", deploy)
    manager = described.processes[-1].parameters
    supervisor = next(each for each in described.processes if each.name == "supervisor")
    assert (manager["level"], supervisor.parameters["level"]) == ("L0", "L0")
    with pytest.raises(SpecError, match="level L2: robot 'metaworld_sawyer' is simulated"):
        describe("deploy", {**deploy, "level": "L2"})


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command_counts_attempts_at_the_level_and_writes_the_certificate(bags: Any, tmp_path: Path) -> None:
    from xrollout_ros.learning.metadata import sha256

    checkpoint = make_checkpoint(tmp_path / "checkpoint.pt")
    known = {"checkpoint_hash": sha256(checkpoint.read_bytes()), "policy_id": "p", "level": "L1"}

    def add(number: int, **values: Any) -> None:
        meta = bags.meta(started_at=f"2026-01-31T12:00:{number:02d}+00:00", **{**known, **values})
        rows = np.zeros((3, bags.robot.state_dim)), np.zeros((3, 4))
        bags.episode(*rows, paths.episode_dir(bags.data, meta), **meta.model_dump())

    for number in range(21):
        add(number, outcome="success")
    add(30, outcome="failure", level="L0")
    refused = run("gate", checkpoint, "--level", "L0", "--data", bags.data)
    assert refused.exit_code == 23, refused.output
    assert "1 attempts at L0, a gate is judged by 20 or more" in refused.output
    passed = run("gate", checkpoint, "--level", "L1", "--data", bags.data, "--reviewer", "ann", "--json")
    assert passed.exit_code == 0, passed.output
    assert json.loads(passed.output)["successes"] == 21
    (made,) = gates.read_certificates(checkpoint, known["checkpoint_hash"]).passed
    assert (made.level, made.by, made.attempts) == ("L1", "ann", 21)
    waived = run("gate", checkpoint, "--level", "L0", "--data", bags.data, "--waive", "no simulation")
    assert waived.exit_code == 0
    assert "waived by" in waived.output
