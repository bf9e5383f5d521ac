"""The chunk player: what is due when."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.runtime.chunk_player import ChunkPlayer

from .robots import DELTA, JOINTS

PERIOD_NS = 100


def chunk(actions: object, start_ns: int = 0, sequence: int = 0) -> ActionChunk:
    rows = np.asarray(actions, dtype=np.float32)
    return ActionChunk("e", "p", sequence, 0, start_ns, start_ns, PERIOD_NS, rows)


def test_rows_are_played_by_time_and_then_nothing() -> None:
    player = ChunkPlayer(DELTA)
    assert player.play(0) is None
    player.accept(chunk([[1, 1], [2, 2]], start_ns=1000))
    assert player.play(999) is None
    first = player.play(1000)
    assert first is not None
    assert (first.action.tolist(), first.index, first.repeated) == ([1, 1], 0, False)
    again = player.play(1099)
    assert again is not None
    assert (again.index, again.repeated) == (0, True)
    second = player.play(1100)
    assert second is not None
    assert (second.action.tolist(), second.repeated) == ([2, 2], False)
    assert player.play(1200) is None
    assert player.end_ns == 1200


def test_a_late_chunk_is_spliced_in_at_the_row_that_is_due() -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk(np.arange(16).reshape(8, 2), start_ns=0))
    player.play(300)
    player.accept(chunk(100 + np.arange(16).reshape(8, 2), start_ns=200, sequence=1))
    played = player.play(400)
    assert played is not None
    assert (played.sequence, played.index, played.action.tolist()) == (1, 2, [104, 105])
    assert player.rows_left(400) == 5


def test_positions_are_interpolated_and_grippers_are_not() -> None:
    player = ChunkPlayer(JOINTS)
    player.accept(chunk([[0, 0, 0], [1, 1, 1]]))
    played = player.play(50)
    assert played is not None
    kinds = [dim.kind.value for dim in JOINTS.actions]
    expected = {"position": 0.5, "velocity": 0.5, "gripper": 0.0}
    assert played.action.tolist() == [expected[kind] for kind in kinds]


@given(st.integers(1, 20), st.integers(0, 10**6), st.integers(0, 3000))
def test_every_row_is_played_once_on_a_grid_of_any_phase(rows: int, start_ns: int, phase_ns: int) -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk(np.arange(2 * rows).reshape(rows, 2), start_ns=start_ns))
    ticks = range(phase_ns % PERIOD_NS, start_ns + (rows + 2) * PERIOD_NS, PERIOD_NS)
    played = [found.index for tick in ticks[-rows - 5 :] if (found := player.play(tick)) is not None]
    assert played == list(range(played[0], rows)) if played else False


def test_clear_forgets() -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk([[1, 1]]))
    player.clear()
    assert player.play(0) is None
    assert player.rows_left(0) == 0


@pytest.mark.parametrize("t_ns", [-1, 0, 250, 10**9])
def test_rows_left_never_leaves_its_bounds(t_ns: int) -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk(np.zeros((4, 2))))
    assert 0 <= player.rows_left(t_ns) <= 4


@given(prefix=st.integers(0, 8), played=st.integers(0, 12))
def test_a_chunk_is_spliced_in_only_where_it_agrees_with_what_was_played(prefix: int, played: int) -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk(np.zeros((8, 2))))
    player.play(0)
    player.accept(dataclasses.replace(chunk(np.ones((16, 2)), sequence=1), prefix_length=prefix))
    found = player.play(played * PERIOD_NS)
    jump = 0 < prefix < played < 8
    assert found is not None
    assert (found.sequence, found.index) == (0 if jump else 1, played)
    assert player.discarded == jump


def test_what_was_seen_before_the_policy_was_given_control_is_forgotten() -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk(np.zeros((4, 2)), start_ns=0))
    player.play(0)
    player.accept(chunk(np.ones((4, 2)), start_ns=200, sequence=1))
    player.forget_before(200)
    played = player.play(200)
    assert played is not None
    assert (played.sequence, player.discarded) == (1, 1)
    player.forget_before(201)
    assert player.play(201) is None
    assert player.discarded == 2
