"""The terminal view: readable at 80 columns whatever the model holds, and loud where something is wrong."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from xrollout_ros.core.modes import Mode, Phase, Source
from xrollout_ros.runtime.monitor_model import (
    HEARTBEAT_LATE_S,
    EpisodeView,
    FailureLine,
    MonitorModel,
    NodeHealth,
    PolicyView,
    RecorderView,
    SafetyLine,
    TopicRate,
)
from xrollout_ros.ui.view import lines, render


def draw(model: MonitorModel, width: int = 80, colour: bool = False) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=colour, color_system="standard" if colour else None).print(
        render(model)
    )
    return stream.getvalue()


def node(name: str, age_s: float = 0.1) -> NodeHealth:
    return NodeHealth(name, "01J00000000000000000000000", "active", age_s, 12.0, 0.0004)


EPISODE = EpisodeView(
    "01J00000000000000000000000", Phase.RUNNING, "evaluation", "pick_and_place", "metaworld_sawyer", "wide", 7, 8, 20
)
RUNNING = MonitorModel(
    mode=Mode.AUTONOMOUS,
    mode_age_s=1.5,
    reason="attempt started",
    episode=EPISODE,
    closed=7,
    successes=4,
    command_rate_hz=80.0,
    command_source=Source.POLICY,
    policy=PolicyView("flow-01J", "sync", 0.0008, 3),
    recorder=RecorderView("raw_rollouts/bag_01J", True, 2_000_000, 4000, 0, 10**10),
    nodes=(node("policy"), node("supervisor")),
    rates=(TopicRate("chunk", 20.0),),
    safety=(SafetyLine(1.0, "starved", "HOLD", True, "holding"),),
    failures=(FailureLine("01J", "never_reached", "reach", "0.11 m away"),),
)


def test_everything_that_matters_is_shown() -> None:
    page = draw(RUNNING)
    for shown in (
        "AUTONOMOUS",
        "8 of 20",
        "pick_and_place",
        "seed 7",
        "4/7 = 57%",
        "25% to 84%",
        "80.0/s from policy",
        "0.8 ms",
        "3 actions left",
        "bag_01J",
        "2.0 MB",
        "10.0 GB",
        "supervisor",
        "chunk 20 Hz",
        "starved (hold) began: holding",
        "never_reached in reach: 0.11 m away",
    ):
        assert shown in page


def test_silence_says_what_to_do() -> None:
    page = draw(MonitorModel(waiting_s=12.0))
    assert "waiting for /xrollout/… — is a graph running?" in page
    assert "xrollout up deploy model:=" in page
    assert "12 s" in page
    assert lines(MonitorModel()).startswith("waiting for /xrollout/…")


def test_a_late_heartbeat_is_red_with_its_age() -> None:
    late = MonitorModel(mode=Mode.HOLD, nodes=(node("policy", 3.2), node("supervisor", HEARTBEAT_LATE_S)))
    page = draw(late, colour=True)
    policy, supervisor = (next(line for line in page.splitlines() if name in line) for name in ("policy ", "supervis"))
    policy = next(line for line in page.splitlines() if "LATE" in line)
    assert "LATE 3.2 s" in policy
    assert "\x1b[1;31m" in policy
    assert "\x1b[1;31m" not in supervisor
    assert "silent: policy" in lines(late)


def test_a_node_never_heard_is_red() -> None:
    page = draw(MonitorModel(mode=Mode.IDLE, missing=("manager",)), colour=True)
    line = next(line for line in page.splitlines() if "never heard" in line)
    assert "manager" in line
    assert "\x1b[1;31m" in line


def test_a_missing_supervisor_is_said() -> None:
    assert "MODE UNKNOWN" in draw(MonitorModel(nodes=(node("policy"),)))


@pytest.mark.parametrize("mode", list(Mode))
def test_modes_differ_in_word_and_colour(mode: Mode) -> None:
    first = draw(MonitorModel(mode=mode), colour=True).splitlines()[0]
    assert mode.name in first
    others = {draw(MonitorModel(mode=other), colour=True).split(other.name)[0] for other in Mode if other is not mode}
    assert first.split(mode.name)[0] not in others


def test_text_from_messages_is_no_markup() -> None:
    page = draw(MonitorModel(mode=Mode.TELEOP, operator="[red]mallory[/nonsense]", reason="[/bold] because"))
    assert "[red]mallory[/nonsense] is in control" in page
    assert "[/bold] because" in page


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=60)
counts = st.integers(0, 10**12)
times = st.floats(0, 1e6)
models = st.builds(
    MonitorModel,
    mode=st.none() | st.sampled_from(Mode),
    mode_age_s=times,
    reason=words,
    operator=words,
    episode=st.none()
    | st.builds(
        EpisodeView, words, st.sampled_from(Phase), words, words, words, words, st.none() | st.integers(), counts,
        counts, words, words, words,
    ),
    closed=st.integers(0, 9),
    successes=st.integers(0, 9),
    command_rate_hz=times,
    command_source=st.none() | st.sampled_from(Source),
    policy=st.none() | st.builds(PolicyView, words, words, times, counts, counts, counts, words),
    recorder=st.none() | st.builds(RecorderView, words, st.booleans(), counts, counts, counts, counts, words),
    nodes=st.lists(st.builds(NodeHealth, words, words, words, times, times, times, counts), max_size=3).map(tuple),
    missing=st.lists(words, max_size=2).map(tuple),
    rates=st.lists(st.builds(TopicRate, words, times), max_size=4).map(tuple),
    safety=st.lists(st.builds(SafetyLine, times, words, words, st.booleans(), words), max_size=3).map(tuple),
    failures=st.lists(st.builds(FailureLine, words, words, words, words), max_size=3).map(tuple),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(models, st.sampled_from([80, 120]))
def test_any_model_fits_the_width(model: MonitorModel, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)

    for line in console.render_lines(render(model), pad=False):
        assert sum(cell_len(segment.text) for segment in line) <= width
    assert "\n" not in lines(model)


def test_help_that_is_wanted_is_shown_in_both_forms() -> None:
    model = replace(RUNNING, help_wanted="no_progress: 2.1, threshold 2")
    assert "help wanted: no_progress: 2.1, threshold 2" in draw(model, width=200)
    assert "help wanted: no_progress" in lines(model)
    assert "help wanted" not in draw(RUNNING, width=200)
