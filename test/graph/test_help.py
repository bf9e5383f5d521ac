"""A robot that asks for help: somebody comes and gives it back, or nobody does and it recovers or gives up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import FAILURE_RECOVERY, Outcome, OutcomeSource
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.episodes.records import read_records
from xrollout_ros.graph.monitor import observe
from xrollout_ros.mining.tagging import tag_missing

from .arm_driver import spinning
from .conftest import Graph, wait_for
from .people import DEAD_MAN, SUCCESS, TOGGLE, Pad, in_mode, insist, safe_robot

pytestmark = [pytest.mark.graph, pytest.mark.timeout(180)]
Start = Callable[..., Graph]


def stuck(path: Path, **safety: Any) -> Path:
    """A robot that takes whatever it does for no progress: it asks for help half a second into each attempt."""
    alarm = {
        "kind": "no_progress",
        "observation": "hand_position",
        "distance": 100.0,
        "window_s": 0.5,
        "severity": "recover",
    }
    return safe_robot(path, detectors=[alarm], **safety)


def test_a_robot_that_asks_for_help_holds_until_somebody_comes_and_takes_the_robot_back_afterwards(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    robot = stuck(tmp_path / "robot.yaml", help={"timeout_s": 60.0}, hold_abort_s=60.0)
    with spinning("pad") as node, observe() as observer:
        pad = Pad(node)
        graph = start_graph("deploy", model=checkpoint, robot=robot, task=long_task, episodes=1, operator="joy")
        wait_for(lambda: "no_progress" in observer.model().help_wanted, 90, "the robot asks for help")
        wait_for(lambda: observer.model().command_source is Source.HOLD, 20, "it holds meanwhile")
        assert observer.model().mode is Mode.AUTONOMOUS
        pad.axes[1] = 1.0
        taken = in_mode(observer, Mode.TELEOP, "joy")
        insist(lambda: pad.press(TOGGLE, DEAD_MAN), taken, "somebody takes over")
        assert observer.model().help_wanted == ""
        wait_for(lambda: observer.model().command_source is Source.OPERATOR, 20, "the operator drives")
        pad.press(TOGGLE, DEAD_MAN)
        wait_for(in_mode(observer, Mode.AUTONOMOUS), 20, "the policy has the robot again")
        wait_for(lambda: observer.model().command_source is Source.POLICY, 20, "the policy goes on")
        insist(lambda: pad.press(SUCCESS), lambda: graph.process.poll() is not None, "the attempt is marked")
        assert graph.wait(60) == 0, graph.output()
    [episode] = graph.episodes()
    assert (episode.meta.outcome, episode.meta.outcome_source) == (Outcome.SUCCESS, OutcomeSource.HUMAN)
    assert "0/1 succeeded, 1 helped" in graph.output()
    [span] = episode.meta.interventions
    [asked, *_] = [event for event in episode.meta.safety_events if event.check == "no_progress" and event.began]
    assert asked.at_s < span.begin_s
    between = (episode.stamp_s > asked.at_s + 0.1) & (episode.stamp_s < span.begin_s - 0.1)
    assert set(episode.source[between]) <= {Source.HOLD}
    states = [item.message for item in episode.topic("/xrollout/supervisor/state")]
    assert [state.help_wanted for state in states if Mode(state.mode) is Mode.AUTONOMOUS][:2] == [False, True]
    assert not any(state.help_wanted for state in states if Mode(state.mode) is Mode.TELEOP)


def test_nobody_comes_and_the_robot_recovers_by_itself_or_gives_up_as_it_was_told(
    start_graph: Start, checkpoint: Path, long_task: Path, tmp_path: Path
) -> None:
    recovery = {"kind": "hold", "duration_s": 0.3, "time_limit_s": 5.0}
    results = {}
    for otherwise in ("recover", "abort"):
        robot = stuck(
            tmp_path / f"{otherwise}.yaml", help={"timeout_s": 0.4, "otherwise": otherwise}, recoveries=[recovery]
        )
        # Stepped: what is half a second there does not depend on the machine.
        graph = start_graph("deploy", model=checkpoint, robot=robot, episodes=1)
        assert graph.wait(90) == 0, graph.output()
        [results[otherwise]] = graph.episodes()
        tag_missing(graph.data, SystemClock())  # the graph may have been taken down before its tagger was through
        [record] = read_records(graph.data).records
        assert (FAILURE_RECOVERY in record.effective.tags) == (otherwise == "recover")

    recovered, aborted = results["recover"], results["abort"]
    assert aborted.meta.outcome is Outcome.ABORT
    assert "nobody took over" in aborted.meta.outcome_reason
    assert Source.RECOVERY not in aborted.source
    assert aborted.stamp_s[-1] == pytest.approx(0.9, abs=0.1)
    by_recovery = np.flatnonzero(recovered.source == Source.RECOVERY)
    assert recovered.stamp_s[by_recovery[0]] == pytest.approx(0.9, abs=0.1)
    assert recovered.stamp_s[by_recovery[-1]] == pytest.approx(1.2, abs=0.1)
    # The policy goes on from its next chunk, until the time limit.
    afterwards = recovered.source[by_recovery[-1] + 1 :].tolist()
    held = afterwards.index(Source.POLICY)
    assert held < 8 and set(afterwards[:held]) <= {Source.HOLD} and set(afterwards[held:]) == {Source.POLICY}
    assert (recovered.meta.outcome_source, recovered.meta.interventions) == (OutcomeSource.TIME_LIMIT, [])
