"""Where the time went, read from a bag."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.modes import Source
from xrollout_ros.episodes.trace import trace
from xrollout_ros.ui.cli import cli

from .conftest import Bags, time_of

MS = 1_000_000
T0 = 1000 * NS


def write(bags: Bags, *, real_time: bool) -> Any:
    """One chunk seen 2 ms after its stamp, sent 3 ms later, accepted 1 ms after that, used 4 ms later for two ticks."""
    meta = bags.meta()
    with bags.open(meta=meta) as writer:
        bags.add(writer, "/xrollout/chunk", "xrollout/msg/ActionChunk")
        chunk = bags.messages.cdr(
            "xrollout/msg/ActionChunk",
            stamp=time_of(T0),
            observed=time_of(T0 + 2 * MS),
            sent=time_of(T0 + 5 * MS),
            episode_id=meta.episode_id,
            action_dim=4,
            data=[0.0] * 8,
            inference_s=0.0025,
        )
        writer.write("/xrollout/chunk", chunk, T0 + 5 * MS)
        accepted = time_of(T0 + 6 * MS) if real_time else time_of(0)
        for tick, late_s in enumerate((0.001, 0.009)):
            stamp_ns = T0 + (10 + 10 * tick) * MS
            known = {"source": int(Source.POLICY), "chunk_sequence": 0, "chunk_index": tick, "accepted": accepted}
            bags.command(writer, meta, [0.0] * 4, stamp_ns, stamp_ns, late_s=late_s, **known)
        return writer.close(meta)


def test_the_stages_of_a_real_time_attempt(bags: Bags) -> None:
    found = trace(write(bags, real_time=True).path)
    milliseconds = {stage.name: [round(1e3 * value, 6) for value in stage.seconds] for stage in found.stages}
    assert milliseconds == {
        "arrival": [2],
        "answer": [3],
        "inference": [2.5],
        "transport": [1],
        "acceptance": [6],
        "first use": [4],
        "tick": [1, 9],
        "age": [10, 20],
    }
    assert (found.commands, found.from_policy, found.late) == (2, 2, 1)


def test_a_stepped_attempt_has_the_time_spent_inferring_alone(bags: Bags) -> None:
    found = trace(write(bags, real_time=False).path)
    assert [stage.name for stage in found.stages] == ["inference"]
    assert found.late == 0


def test_without_commands_there_is_nothing_to_trace(bags: Bags) -> None:
    meta = bags.meta()
    with bags.open(meta=meta) as writer:
        path = writer.close(meta).path
    with pytest.raises(BagError, match="has no commands"):
        trace(path)


def test_the_command_prints_a_table_or_json(bags: Bags) -> None:
    path = str(write(bags, real_time=True).path)
    shown = CliRunner().invoke(cli, ["trace", path])
    assert shown.exit_code == 0, shown.output
    assert "acceptance" in shown.output
    assert "1 sent more than half a period late" in shown.output
    told = json.loads(CliRunner().invoke(cli, ["trace", path, "--json"]).output)
    assert {stage["name"]: stage["p50_s"] for stage in told["stages"]}["transport"] == pytest.approx(0.001)
