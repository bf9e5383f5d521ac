"""Faults that are known of other recorders and trainers, where no other test shows that they are not here.

``docs/known_faults.md`` names the test of each.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_robot
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.learning.dataset import Include, TrainingEpisode, load_training_set, usable_rows
from xrollout_ros.learning.windows import windows

ROOT = Path(__file__).parents[2]
META = EpisodeMeta.model_validate(
    {
        "episode_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "kind": "attempt",
        "task": "pick_and_place",
        "robot": "metaworld_sawyer",
        "start": "nominal",
        "strategy": "sentry",
        "software_version": "0.1.0",
        "started_at": "2026-01-31T12:00:00+00:00",
    }
)


@given(
    st.lists(st.sampled_from(Source), min_size=1, max_size=40).filter(lambda sources: Source.OPERATOR in sources),
    st.integers(1, 8),
    st.floats(0.2, 1.0),
)
def test_no_stride_drops_a_human_frame(sources: list[Source], horizon: int, steps_per_row: float) -> None:
    """Each row that an operator commanded begins a window, whatever rate the rows came at."""
    source = np.array([int(each) for each in sources], dtype=np.uint8)
    count = np.arange(len(source), dtype=float)[:, None]
    usable = usable_rows(META, source, Include.DEMONSTRATIONS)
    found = windows(
        [TrainingEpisode(META.episode_id, META.task, count, count, usable, policy_step=count[:, 0] * steps_per_row)],
        horizon,
    )
    assert found.state[:, 0].tolist() == np.flatnonzero(source == Source.OPERATOR).tolist()
    assert found.mask[:, 0].all()
    assert np.array_equal(found.actions[:, 0, 0], found.state[:, 0])


def test_a_slow_loop_is_recorded_with_its_true_times(bags: Any) -> None:
    """The times of rows are those of the commands, never their number through a rate; training looks at them too."""
    bags.robot = load_robot("so100")
    sent_ms = [0, 50, 100, 310, 360, 600]
    state, action = np.zeros((6, bags.robot.state_dim)), np.zeros((6, bags.robot.action_dim))
    action[:, 0] = sent_ms
    meta = bags.meta(robot=bags.robot.id, kind="demonstration", outcome="success", parameters={"drive": "real_time"})
    with bags.open(meta=meta) as writer:
        for step, at_ms in enumerate(sent_ms):
            stamp_ns = NS + at_ms * 1_000_000
            bags.observe(writer, state[step], stamp_ns, stamp_ns)
            bags.command(writer, meta, action[step], stamp_ns, stamp_ns, step=step, source=int(Source.OPERATOR))
        summary = writer.close(meta)
    episode = read_episode(summary.path)
    np.testing.assert_allclose(episode.stamp_s, np.array(sent_ms) / 1000, atol=1e-9)
    taught = windows(load_training_set(bags.data).episodes, 4)
    period_ms = 1000 / bags.robot.policy_rate_hz
    for actions, mask in zip(taught.actions[:, :, 0], taught.mask, strict=True):
        due_ms = actions[0] + np.arange(4) * period_ms
        assert (np.abs(actions - due_ms)[mask == 1] <= period_ms / 2 + 1e-3).all()  # float32


def promises() -> list[tuple[str, str]]:
    """Fault and test of each row of the table."""
    text = (ROOT / "docs" / "known_faults.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [(fault, name) for fault, _, tests in rows[2:] for name in re.findall(r"`([^`]+)`", tests)]


def test_every_fault_in_the_table_names_tests_that_exist() -> None:
    found = promises()
    assert len(found) >= 10
    for fault, name in found:
        path, _, function = name.partition("::")
        tree = ast.parse((ROOT / path).read_text())
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function in defined, f"{fault}: {name} is not there"
