"""The chunk player: what is due when."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.action import Interpolation
from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.chunk_player import Acceptance, ChunkPlayer

from .robots import DELTA, JOINTS, dim, robot

PERIOD_NS = 100
MS = 1_000_000


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
    for row in range(played):
        player.play(row * PERIOD_NS)
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


def robot_of(interpolation: str, fade_out_s: float = 0.25, blend_s: float = 0.1, **limits: float) -> RobotSpec:
    """A position, a velocity and a gripper at 100 Hz; rows at 20 Hz."""
    measured = {"measured": {"observation": "joints", "index": 0}}
    return robot(
        [dim("a", "position", "measured", **measured, **limits), dim("v", "velocity"), dim("grip", "gripper", "keep")],
        policy_rate_hz=20.0,
        motion={"interpolation": interpolation, "fade_out_s": fade_out_s, "blend_s": blend_s},
    )


def rows(values: object, start_ns: int = 0, sequence: int = 0) -> ActionChunk:
    """The same values for each action, 50 ms apart."""
    column = np.asarray(values, dtype=np.float32)
    return ActionChunk("e", "p", sequence, 0, start_ns, start_ns, 50 * MS, np.stack([column] * 3, axis=1))


def path(player: ChunkPlayer, begin_ms: float, end_ms: float, step_ms: float = 1.0) -> npt.NDArray[np.float64]:
    """What is played ``(T, A)``."""
    found = [player.play(round(t * MS)) for t in np.arange(begin_ms, end_ms, step_ms)]
    return np.array([played.action for played in found if played is not None])


column = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=10)


@given(st.sampled_from(list(Interpolation)), column)
def test_every_interpolation_passes_the_rows_and_stays_between_them(how: Interpolation, values: list[float]) -> None:
    player = ChunkPlayer(robot_of(how.value))
    player.accept(rows(values))
    wanted = np.float32(values).astype(np.float64)
    for index in range(len(values) - 1):
        played = path(player, 50 * index, 50 * index + 50, 2.5)
        least, most = sorted(wanted[index : index + 2])
        assert played[0].tolist() == [wanted[index]] * 3
        assert (played[:, :2] >= least - 1e-12).all()
        assert (played[:, :2] <= most + 1e-12).all()
        assert (played[:, 2] == wanted[index]).all()


@pytest.mark.parametrize(("how", "smooth"), [("linear", 0), ("cubic", 1), ("minimum_jerk", 2)])
def test_what_is_continuous_through_rows(how: str, smooth: int) -> None:
    player = ChunkPlayer(robot_of(how))
    values = np.random.default_rng(0).uniform(-1, 1, 12).cumsum() / 5
    player.accept(rows(values))
    fine, coarse = (path(player, 0, 549, step_ms)[:, 0] for step_ms in (0.05, 0.5))
    for order in range(3):
        # Where it is continuous, steps ten times as short change ten times as little.
        jumps = [
            np.abs(np.diff(places, order + 1)).max() / step_ms**order
            for places, step_ms in ((fine, 0.05), (coarse, 0.5))
        ]
        assert (jumps[0] < 0.3 * jumps[1]) == (order <= smooth), order


def test_a_constant_acceleration_is_played_without_ripple() -> None:
    player = ChunkPlayer(robot_of("minimum_jerk"))
    player.accept(rows(np.arange(10.0) ** 2 / 100))
    played = path(player, 0, 450)[:, 0]
    np.testing.assert_allclose(played, (np.arange(450) / 50) ** 2 / 100, atol=1e-7)


@pytest.mark.parametrize("how", list(Interpolation))
@given(values=st.lists(st.floats(-1, 1, width=32), min_size=20, max_size=20), splice_ms=st.integers(110, 340))
@settings(max_examples=50)
def test_a_splice_begins_where_the_last_chunk_stands_and_ends_at_the_next(
    how: Interpolation, values: list[float], splice_ms: int
) -> None:
    player = ChunkPlayer(robot_of(how.value))
    player.accept(rows(values[:10]))
    before = player.play(splice_ms * MS)
    player.accept(rows(values[10:], start_ns=100 * MS, sequence=1))
    after = player.play(splice_ms * MS)
    assert before is not None
    assert after is not None
    assert after.sequence == 1
    np.testing.assert_allclose(after.action[:2], before.action[:2], atol=1e-12)
    assert after.action[2] == np.float32(values[10 + (splice_ms - 100) // 50])
    later, alone = player.play((splice_ms + 100) * MS), ChunkPlayer(robot_of(how.value))
    alone.accept(rows(values[10:], start_ns=100 * MS))
    expected = alone.play((splice_ms + 100) * MS)
    assert later is not None
    assert expected is not None
    np.testing.assert_allclose(later.action, expected.action, atol=1e-12)


def test_a_splice_keeps_the_velocity_and_takes_the_time_that_the_rate_asks_for() -> None:
    player = ChunkPlayer(robot_of("cubic", max_rate=2.0))
    player.accept(rows(np.linspace(0, 0.5, 20)))
    before = path(player, 0, 300)[:, 0]
    player.accept(rows(np.linspace(0.4, 0.9, 20), start_ns=0, sequence=1))
    played = np.concatenate([before, path(player, 300, 900)[:, 0]])
    speed = np.diff(played) * 1000
    assert np.abs(np.diff(speed)).max() < 0.05
    assert speed.max() < 2.0


def test_a_motion_that_nothing_continues_comes_to_rest_and_then_holds() -> None:
    player = ChunkPlayer(robot_of("linear"))
    player.accept(rows([0.0, 0.1, 0.2]))
    last = player.play(149 * MS)
    assert last is not None
    assert (last.index, last.fading) == (2, False)
    played = [player.play(t * MS) for t in range(100, 500)]
    assert [found is None for found in played].index(True) == 300  # 0.25 s from the last period's end: the velocity
    moved = np.array([found.action for found in played if found is not None])
    position, velocity, grip = moved.T
    speed = np.diff(position) * 1000
    assert speed[0] == pytest.approx(2.0, abs=0.01)
    assert (np.diff(speed) <= 1e-9).all()
    assert position[-1] == pytest.approx(0.2 + 2.0 * 0.25 / 2)
    np.testing.assert_allclose(velocity[:50], 0.2)
    assert (np.diff(velocity[50:]) <= 0).all()
    assert velocity[-1] == pytest.approx(0, abs=1e-4)
    assert (grip == np.float32(0.2)).all()
    fading = [found for found in played if found is not None and found.fading]
    assert len(fading) == 250
    assert all(found.index == -1 and found.repeated and found.sequence == 0 for found in fading)


def test_a_fade_out_takes_the_time_that_the_acceleration_asks_for_and_no_more_than_it_may() -> None:
    for acceleration, end_ms in ((100.0, 30), (1.0, 250)):
        player = ChunkPlayer(robot_of("linear", max_acceleration=acceleration))
        chunk_of_positions = rows([0.0, 0.1, 0.2])
        chunk_of_positions.actions[:, 1] = 0
        player.accept(chunk_of_positions)
        at_rest = np.flatnonzero(np.abs(np.diff(path(player, 100, 500)[:, 0])) < 1e-9)
        end = 100 + int(at_rest[0]) if len(at_rest) else 100 + len(path(player, 100, 500))
        assert end == pytest.approx(100 + end_ms, abs=3)


def test_deltas_do_not_fade_out() -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk([[0.5, 1.0], [0.25, 1.0]]))
    assert player.play(199) is not None
    assert player.play(200) is None


def test_a_chunk_that_goes_on_from_a_fade_out_begins_with_its_velocity() -> None:
    player = ChunkPlayer(robot_of("linear"))
    player.accept(rows([0.0, 0.1, 0.2]))
    before = path(player, 0, 250)[:, 0]
    player.accept(rows(np.linspace(0.2, 1.0, 9), start_ns=150 * MS, sequence=1))
    speed = np.diff(np.concatenate([before, path(player, 250, 500)[:, 0]])) * 1000
    assert np.abs(np.diff(speed)[2:]).max() < 0.4


def test_a_chunk_that_begins_later_leaves_the_one_in_play_until_then() -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk([[1, 1]] * 4))
    player.play(0)
    assert player.accept(chunk([[2, 2]] * 4, start_ns=200, sequence=1)) is Acceptance.ACCEPTED
    assert [found.sequence for t in range(0, 600, 100) if (found := player.play(t)) is not None] == [0, 0, 1, 1, 1, 1]


def test_what_is_refused_says_why_and_is_counted() -> None:
    player = ChunkPlayer(DELTA)
    player.accept(chunk([[1, 1]] * 4, start_ns=1000))
    for t in range(1000, 1300, 100):
        player.play(t)
    assert player.consumed == 3
    assert player.accept(chunk([[2, 2]] * 9, start_ns=900)) is Acceptance.STALE
    assert player.accept(chunk(np.zeros((0, 2)), start_ns=1100)) is Acceptance.EMPTY
    assert player.accept(chunk([[2, 2]], start_ns=1050)) is Acceptance.PAST
    assert player.discarded == 2
    player.forget_before(1200)
    assert player.play(1300) is None
    assert player.accept(chunk([[2, 2]] * 9, start_ns=1199)) is Acceptance.STALE
    assert player.accept(chunk([[2, 2]] * 9, start_ns=1200)) is Acceptance.ACCEPTED
    assert (player.discarded, player.consumed) == (4, 0)
