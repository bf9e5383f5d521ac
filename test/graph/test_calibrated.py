"""A calibrated policy in the graph: its alarm acts, but for the attempts of the audit, as in the in-process loop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from xrollout_ros.core.calibration import ALARM, OVERTIME, Usual
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.safety import ScoreSpec
from xrollout_ros.learning.calibration.scored import computed, recorded
from xrollout_ros.learning.calibration.sidecar import write_calibration
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.learning.metadata import read_meta, sha256
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot

from ..checkpoints import make_checkpoint
from ..unit.calibrations import calibration
from .conftest import Graph
from .people import safe_robot

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
ALARM_SPEC = {"kind": "score", "score": ALARM, "threshold": 1.0, "severity": "abort", "audit": 0.5}


def test_the_alarm_acts_but_for_the_audit_and_the_same_in_process(
    start_graph: Callable[..., Graph], tmp_path: Path
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint.pt")
    usual = (Usual(detector="policy_loss", location=0.0, scale=0.1),)
    made = calibration(
        checkpoint_hash=sha256(checkpoint.read_bytes()), policy_id=read_meta(checkpoint).policy_id, detectors=usual,
        ewma=0.1, time_limit_s=1.0,
    )  # fmt: skip
    write_calibration(made, checkpoint)
    path = safe_robot(tmp_path / "robot.yaml", detectors=[ALARM_SPEC])
    graph = start_graph("deploy", model=checkpoint, robot=path, episodes=4, drive="stepped")
    assert graph.wait(120) == 0, graph.output()
    assert "is calibrated: alpha 0.1, n 1" in graph.output()
    robot, task, policy = load_robot(str(path)), load_task("pick_and_place"), load_policy(checkpoint)
    spec, sim = ScoreSpec.model_validate(ALARM_SPEC), make_sim_robot(load_robot(str(path)), task, shapes=False)
    for episode in graph.episodes():
        meta = episode.meta
        audited = spec.only_told(meta.episode_id)
        found = [event for event in episode.safety_events if event.check == ALARM and event.began]
        assert [event.severity for event in found[:1]] == [Severity.CLIP if audited else Severity.ABORT]
        assert (meta.outcome is Outcome.ABORT) is not audited
        told = [each.message.action_taken for each in episode.topic("/xrollout/supervisor/event")]
        assert any("audit: logged only" in words for words in told) is audited
        scores = recorded(episode)
        assert {ALARM, OVERTIME, "policy_loss"} <= scores.names
        assert scores.scores == computed(episode, policy).scores
        again = run_attempt(sim, robot, meta.seed or 0, meta.start, policy=policy, episode_id=meta.episode_id)
        assert again.outcome is meta.outcome
        assert [(event.check, event.severity, event.value) for event in again.events if event.check == ALARM] == [
            (event.check, event.severity, event.value) for event in episode.safety_events if event.check == ALARM
        ]
    sim.close()
