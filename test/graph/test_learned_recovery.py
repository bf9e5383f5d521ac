"""A learned recovery in whole graphs: it withdraws and the policy goes on; its node dies, and the next one is tried."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.episodes.bag_reader import verify
from xrollout_ros.graph.monitor import observe
from xrollout_ros.learning.checkpoint import load_policy
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot

from ..checkpoints import make_checkpoint
from .conftest import Graph, pick_and_place, wait_for, wait_for_policy_commands

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
Start = Callable[..., Graph]
ALARM = {"kind": "score", "score": "chunk_consistency", "threshold": 1e-6, "severity": "recover"}
"""A policy of random weights raises it with its second chunk."""
LEARNED = {"kind": "learned", "clear_s": 0.5}


@pytest.fixture
def recovery(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "recovery.pt", scale=0.5, max_prefix=4)


@pytest.fixture
def short_task(tmp_path: Path) -> Path:
    """pick_and_place with just enough time for two recoveries."""
    return pick_and_place(tmp_path / "short_task.yaml", 4.0)


def alarmed(folder: Path, *recoveries: dict[str, Any]) -> Path:
    """The simulated arm with an alarm and these recoveries."""
    document = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    document["safety"] = {"detectors": [ALARM], "recoveries": list(recoveries)}
    path = folder / "alarmed.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("delay_steps", [0, 2])
def test_it_withdraws_and_the_policy_goes_on_the_same_in_the_graph_and_in_process(
    start_graph: Start, checkpoint: Path, recovery: Path, short_task: Path, tmp_path: Path, delay_steps: int
) -> None:
    path = alarmed(tmp_path, LEARNED, LEARNED, {"kind": "hold", "duration_s": 0.2})
    graph = start_graph(
        "deploy", model=checkpoint, robot=path, task=short_task, recovery_model=recovery, episodes=1, seed=3,
        delay_steps=delay_steps,
    )  # fmt: skip
    assert graph.wait(120) == 0, graph.output()
    robot, task = load_robot(str(path)), load_task(str(short_task))
    for episode in graph.episodes():
        attempt = run_attempt(
            make_sim_robot(robot, task),
            robot,
            episode.meta.seed or 0,
            "nominal",
            policy=load_policy(checkpoint),
            recovery=load_policy(recovery),
            delay_steps=delay_steps,
        )
        assert [command.source for command in attempt.commands] == list(episode.source)
        assert attempt.actions.tobytes() == episode.action.tobytes()
        commands = [item.message for item in episode.topic("/xrollout/command")]
        assert [command.recovery for command in attempt.commands] == [message.recovery for message in commands]
        driven = [message for message in commands if message.recovery == "learned"]
        assert sum(message.source == Source.RECOVERY for message in driven) > 15
        last = max(place for place, message in enumerate(commands) if message.recovery == "learned")
        assert Source.POLICY in episode.source[last:], "the policy goes on"
        assert episode.meta.parameters["recovery_policy"] == load_policy(recovery).info.policy_id
        chunks = [item.message for item in episode.topic("/xrollout/recovery/chunk")]
        assert any(len(chunk.data) for chunk in chunks)
        assert {chunk.policy_id for chunk in chunks} == {episode.meta.parameters["recovery_policy"]}
        assert (episode.action >= robot.lower).all() and (episode.action <= robot.upper).all()


def test_in_real_time_it_drives_until_its_node_dies_then_the_next_one_does(
    start_graph: Start, checkpoint: Path, recovery: Path, long_task: Path, tmp_path: Path
) -> None:
    learned = {**LEARNED, "clear_s": 50.0, "time_limit_s": 60.0, "answer_s": 0.1}
    path = alarmed(tmp_path, learned, {"kind": "hold", "duration_s": 30.0, "time_limit_s": 40.0})
    with observe() as observer:
        graph = start_graph(
            "deploy", model=checkpoint, robot=path, task=long_task, recovery_model=recovery, drive="real_time",
            episodes=2,
        )  # fmt: skip

        def drives() -> bool:
            model = observer.model()
            return (model.mode, model.command_source) == (Mode.RECOVERING, Source.RECOVERY)

        wait_for(drives, 60, "the recovery policy does not drive")
        graph.kill("recovery_policy")
        wait_for_policy_commands(observer, 2)
        graph.process.send_signal(signal.SIGINT)
        assert graph.wait(10) == 130, graph.output()
    assert "recovery_policy ended by signal SIGKILL; starting it again" in graph.output()
    assert "Traceback" not in graph.output()
    first = graph.episodes()[0]
    verify(graph.entries()[0].path)
    assert first.meta.outcome is Outcome.ABORT
    commands = [item.message for item in first.topic("/xrollout/command")]
    of_policy = [message.chunk_sequence for message in commands if message.source == Source.RECOVERY]
    assert max(of_policy) >= 0, "its chunks were played"
    names = [message.recovery for message in commands]
    assert names.index("learned") < names.index("hold"), "the next one was tried"
    robot = load_robot(str(path))
    assert np.isfinite(first.action).all()
    assert (first.action >= robot.lower).all() and (first.action <= robot.upper).all()
