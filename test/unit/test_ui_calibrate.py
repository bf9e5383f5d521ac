"""`xrollout calibrate` and `xrollout mine --active` over real bags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")

from xrollout_ros.core.modes import Source
from xrollout_ros.episodes import paths
from xrollout_ros.learning.calibration.sidecar import sidecar_of
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.mining.plan import UNSURE, read_plan
from xrollout_ros.ui.cli import cli

from ..checkpoints import make_checkpoint

ROWS = 9


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


class Folder:
    """A data folder with attempts of a checkpoint."""

    def __init__(self, bags: Any, checkpoint: Path) -> None:
        self.bags, self.checkpoint, self.data = bags, checkpoint, bags.data
        info = load_policy(checkpoint).info
        self.own = {"policy_id": info.policy_id, "checkpoint_hash": info.checkpoint_hash}
        self.number = 0

    def add(self, outcome: str = "success", rows: int = ROWS, source: Source | None = None, **values: Any) -> str:
        """One attempt."""
        self.number += 1
        known = {**self.own, "outcome": outcome, "started_at": f"2026-01-31T12:00:{self.number:02d}+00:00", **values}
        meta = self.bags.meta(**known)
        state = np.random.default_rng(self.number).normal(0, 0.1, (rows, self.bags.robot.state_dim))
        action = np.zeros((rows, 4))
        folder = paths.episode_dir(self.bags.data, meta)
        if source is None:
            self.bags.episode(state, action, folder, **meta.model_dump())
            return str(meta.episode_id)
        with self.bags.open(folder, meta) as writer:
            for step in range(rows):
                stamp_ns = 5 * 10**9 + step * self.bags.robot.control_period_ns
                self.bags.observe(writer, state[step], stamp_ns, stamp_ns)
                self.bags.command(writer, meta, action[step], stamp_ns, stamp_ns, step=step, source=int(source))
            writer.close(meta)
        return str(meta.episode_id)


@pytest.fixture
def folder(bags: Any, tmp_path: Path) -> Folder:
    return Folder(bags, make_checkpoint(tmp_path / "checkpoint.pt"))


def test_a_policy_is_calibrated_on_its_own_successes_alone(folder: Folder) -> None:
    used = {folder.add(rows=ROWS + number % 3) for number in range(17)}
    folder.add("failure", rows=30)
    folder.add(kind="demonstration", policy_id="", checkpoint_hash="", operator="scripted")
    folder.add(checkpoint_hash="cd" * 32, policy_id="01JD0000000000000000000009")
    folder.add(interventions=[{"operator": "anna", "begin_s": 0.0, "end_s": 0.1}])
    folder.add(source=Source.RECOVERY)
    folder.add("unknown")
    folder.add(parameters={"temperature": 2.0})
    folder.add(parameters={"control": "calm"})
    folder.add(tags=["targeted"])
    before = folder.checkpoint.read_bytes()
    told = run("calibrate", "--model", folder.checkpoint, "--data", folder.data)
    assert told.exit_code == 0, told.output
    for words in ("successes: 17 (starts: nominal 17): 8 normalize, 9 give", "policy_loss", "the 9th smallest of 9",
                  "of 1 failure it finds", "computed again, since the bags lack scores: 17"):  # fmt: skip
        assert words in told.output
    result = run("calibrate", "--model", folder.checkpoint, "--data", folder.data, "--json")
    found = json.loads(result.stdout)
    made = found["calibration"]
    assert found["state"] == "calibrated"
    assert {*made["normalized_on"], *made["calibrated_on"]} == used
    assert made["engine"] == "rtc"
    assert [each["detector"] for each in made["detectors"]] == ["policy_loss", "chunk_consistency"]
    assert found["left_out"] == {
        "somebody helped": 1,
        "a recovery drove": 1,
        "its outcome is not known": 1,
        "made with another temperature or under constraints": 2,
        "disturbed on purpose, or from starts that were chosen for a failure": 1,
    }
    assert found["alarm"]["failures"] == 1
    assert folder.checkpoint.read_bytes() == before
    policy = load_policy(folder.checkpoint)
    assert policy.info.calibration is not None
    assert policy.info.calibration.calibration_id == made["calibration_id"]


def test_too_few_successes_is_a_state(folder: Folder) -> None:
    empty = run("calibrate", "--model", folder.checkpoint, "--data", folder.bags.data.parent / "none")
    assert empty.exit_code == 5
    folder.add(checkpoint_hash="cd" * 32, policy_id="01JD0000000000000000000009")
    none = run("calibrate", "--model", folder.checkpoint, "--data", folder.data)
    assert none.exit_code == 5
    assert "no_attempts" in none.output
    assert "01JD0000000000000000000009 (1)" in none.output
    folder.add("failure")
    assert "no_successes" in run("calibrate", "--model", folder.checkpoint, "--data", folder.data).output
    folder.add()
    few = run("calibrate", "--model", folder.checkpoint, "--data", folder.data, "--json")
    assert few.exit_code == 5
    told = json.loads(few.stdout)["error"]
    assert (told["state"], told["found"], told["needed"]) == ("too_few_successes", 1, 17)
    assert told["what"]
    assert "xrollout up deploy" in told["remedy"]
    assert not sidecar_of(folder.checkpoint).exists()


def test_bad_arguments_are_named(folder: Folder) -> None:
    bad = [
        (("--alpha", "1.5"), "alpha is 1.5"),
        (("--engine", "other"), "engine is 'other'"),
        (("--audit",), "not_calibrated"),
    ]
    for more, words in bad:
        result = run("calibrate", "--model", folder.checkpoint, "--data", folder.data, *more)
        assert result.exit_code in (2, 3), result.output
        assert words in result.output
    missing = run("calibrate", "--model", folder.data / "no.pt", "--data", folder.data)
    assert missing.exit_code == 3
    assert run("calibrate", "--data", folder.data).exit_code == 2


def test_a_foreign_calibration_is_replaced_and_an_audit_without_attempts_says_so(folder: Folder) -> None:
    for _ in range(17):
        folder.add()
    sidecar_of(folder.checkpoint).write_text("{}")
    assert run("calibrate", "--model", folder.checkpoint, "--data", folder.data, "--audit").exit_code == 3
    assert run("calibrate", "--model", folder.checkpoint, "--data", folder.data).exit_code == 0
    folder.add(started_at="2099-01-01T00:00:00+00:00")
    audited = run("calibrate", "--model", folder.checkpoint, "--data", folder.data, "--audit", "--json")
    assert audited.exit_code == 0, audited.output
    told = json.loads(audited.stdout)
    assert told["state"] == "no_successes"
    assert told["left_out"] == {"from before the calibration": 17, "made without the calibrated alarm": 1}
    assert "deploy more" in run("calibrate", "--model", folder.checkpoint, "--data", folder.data, "--audit").output


def test_starts_of_recorded_attempts_are_chosen_by_score(folder: Folder, tmp_path: Path) -> None:
    ids = {folder.add("failure" if number % 2 else "success", seed=number) for number in range(12)}
    plan, sheet = tmp_path / "plan.json", tmp_path / "sheet.html"
    arguments = ["mine", "--active", folder.checkpoint, "--candidates", 0, "--data", folder.data, "--demonstrations", 3]
    result = run(*arguments, "--output", plan, "--sheet", sheet)
    assert result.exit_code == 0, result.output
    made = read_plan(plan)
    assert (made.target.mode, made.target.members, made.demonstrations) == (UNSURE, (), 3)
    assert {each.episode_id for each in made.starts} <= ids
    assert all(each.seed is not None and each.values and each.unsure is not None for each in made.starts)
    assert made.starts[0].unsure == 1.0
    assert (made.evidence.success.count, made.evidence.success.attempts) == (6, 12)
    page = sheet.read_text()
    assert made.starts[0].episode_id in page
    assert "xrollout episodes open" not in page
    assert json.loads(run(*arguments, "--json").stdout)["plan"]["target"]["mode"] == UNSURE


def test_active_refuses_what_it_cannot_do(folder: Folder) -> None:
    few = run("mine", "--active", folder.checkpoint, "--candidates", 0, "--data", folder.data.parent)
    assert few.exit_code == 5
    folder.add()
    one = run("mine", "--active", folder.checkpoint, "--candidates", 0, "--data", folder.data)
    assert "too_few_candidates" in one.output
    assert run("mine", "--candidates", 3, "--data", folder.data).exit_code == 2
    assert run("mine", "--active", folder.checkpoint, "--mode", "dropped", "--data", folder.data).exit_code == 2
    tagged = run("mine", "--active", folder.checkpoint, "--candidates", 5, "--tag", "x", "--data", folder.data)
    assert tagged.exit_code == 2
    assert "says nothing of fresh starts" in tagged.output
