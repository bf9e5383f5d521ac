"""Novelty: what is unlike what is known scores higher, the same bits again, kept and read, and bad input is named."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from xrollout_ros.core.errors import DataError
from xrollout_ros.runtime.novelty import KINDS, Kind, Novelty, Steps, joined, read
from xrollout_ros.runtime.novelty_fit import fit

Floats = npt.NDArray[np.float64]


def walk(seed: int, rows: int = 60, shift: float = 0.0, dynamics: float = 1.0) -> Steps:
    """A point in the plane, pushed about and drawn back to the middle, and a value that never varies."""
    random = np.random.default_rng(seed)
    action = random.uniform(-1, 1, (rows, 2))
    place = np.zeros((rows, 2))
    for row in range(1, rows):
        place[row] = 0.8 * place[row - 1] + dynamics * 0.2 * action[row - 1]
    place += shift
    return Steps.of(np.column_stack([place, np.full(rows, 0.3)]), action)


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Novelty:
    """One of each kind, of 9 walks."""
    return fit(request.param, [walk(seed) for seed in range(9)])


def test_what_is_known_scores_around_one_at_most(model: Novelty) -> None:
    seen = model.scores(joined([walk(seed) for seed in range(100, 120)]))
    assert (seen >= 0).all()
    assert np.median(seen) < 1
    assert np.mean(seen > 1) < 0.05


def test_what_is_far_away_or_behaves_otherwise_scores_higher(model: Novelty) -> None:
    usual = np.median(model.scores(joined([walk(seed) for seed in range(100, 110)])))
    strange = walk(7, dynamics=-3.0) if model.kind == "icm" else walk(7, shift=6.0)
    assert np.median(model.scores(strange)) > 3 * usual


def test_a_value_that_never_varied_and_now_does_is_novel() -> None:
    known = fit("density", [walk(seed) for seed in range(6)])
    steps = walk(50)
    moved = Steps(steps.state + np.array([0, 0, 0.2]))
    assert (known.scores(moved) > 1.5 * known.scores(steps)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_bits(kind: Kind) -> None:
    walks = [walk(seed) for seed in range(2)]
    one, other = fit(kind, walks, 3).arrays(), fit(kind, walks, 3).arrays()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_kept_and_read_it_scores_the_same(model: Novelty) -> None:
    again = read(model.kind, model.arrays())
    steps = walk(200)
    assert np.array_equal(again.scores(steps), model.scores(steps))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_row_scores_the_same_alone_and_among_others(model: Novelty, data: st.DataObject) -> None:
    steps = walk(data.draw(st.integers(0, 1000)))
    row = data.draw(st.integers(0, len(steps) - 1))
    assert steps.action is not None and steps.following is not None
    alone = Steps(steps.state[row : row + 1], steps.action[row : row + 1], steps.following[row : row + 1])
    assert model.scores(alone)[0] == pytest.approx(model.scores(steps)[row], rel=1e-9, abs=1e-12)


def test_bad_input_is_named(model: Novelty) -> None:
    with pytest.raises(DataError, match="2 values"):
        model.scores(Steps(np.zeros((3, 2))))
    with pytest.raises(DataError, match="1 attempts"):
        fit(model.kind, [walk(1)])
    with pytest.raises(DataError, match="of 3, 4 values"):
        fit("rnd", [walk(1), Steps(np.zeros((5, 4)))])
    with pytest.raises(DataError, match="'plan'"):
        fit("plan", [walk(1), walk(2)])  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not finite"):
        Steps.of([[0.0, np.nan]])
    with pytest.raises(DataError, match=r"\(3,\)"):
        Steps.of([0.0, 1.0, 2.0])
    with pytest.raises(DataError, match="'what'"):
        read("what", {})


def test_curiosity_needs_actions() -> None:
    with pytest.raises(DataError, match="without actions"):
        fit("icm", [Steps(np.zeros((5, 3))), Steps(np.ones((5, 3)))])
    with pytest.raises(DataError, match="without actions"):
        fit("icm", [walk(1), walk(2)]).scores(Steps(np.zeros((1, 3))))


def test_a_damaged_model_is_refused(model: Novelty) -> None:
    whole = model.arrays()
    for name in whole:
        less = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(DataError, match="damaged"):
            read(model.kind, less)
        with pytest.raises(DataError, match="damaged"):
            read(model.kind, whole | {name: np.full_like(whole[name], np.nan)})
