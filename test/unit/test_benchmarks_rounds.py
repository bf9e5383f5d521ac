"""What the benchmarks of learning from failures share: budgets, seeds, results that go on, comparisons; tiny rounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.modes import Source

pytest.importorskip("torch")

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def made() -> Iterator[SimpleNamespace]:
    """The benchmarks' modules; they import one another by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import recoveries
        import rounds
        import rounds_cells
        import targeted
        import targeted_ways

        yield SimpleNamespace(
            rounds=rounds, cells=rounds_cells, targeted=targeted, ways=targeted_ways, recoveries=recoveries
        )


@pytest.fixture(scope="module")
def ground(made: SimpleNamespace) -> Iterator[object]:
    pytest.importorskip("metaworld")
    ground = made.rounds.Ground("push")
    yield ground
    ground.close()


# --- results and comparisons ----------------------------------------------------------------------------------------


def _cell(cells: ModuleType, seed: int, outcome: str, **key: object) -> object:
    return cells.Cell({"seed": seed, **key}, {"wide": outcome}, {})


def test_results_go_on_after_a_line_that_was_cut(made: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    kept = made.cells.Cells(path)
    kept.add(_cell(made.cells, 0, "10", arm="a"))
    path.write_bytes(path.read_bytes() + b'{"key": {"seed": 1')
    again = made.cells.Cells(path)
    assert again.find(seed=0, arm="a") is not None
    assert again.find(seed=0) is None
    again.add(_cell(made.cells, 1, "11", arm="a"))
    assert [cell.key["seed"] for cell in made.cells.Cells(path).all] == [0, 1]


def test_a_difference_is_between_the_same_starts_and_trainings(made: SimpleNamespace) -> None:
    better = [_cell(made.cells, seed, "1" * 40) for seed in range(3)]
    worse = [_cell(made.cells, seed, "10" * 20) for seed in range(3)]
    assert made.cells.difference(better, worse, "wide").startswith("+0.50 (+0.3")
    assert made.cells.difference(better, better, "wide") == "+0.00 (+0.00 to +0.00)"
    assert made.cells.difference(better, [_cell(made.cells, 7, "1" * 40)], "wide") == "–"


def test_a_rate_tells_the_spread_of_the_trainings(made: SimpleNamespace) -> None:
    assert made.cells.rate([_cell(made.cells, 0, "11"), _cell(made.cells, 1, "00")], "wide").endswith("0.00–1.00)")


def test_where_a_curve_reaches_a_level(made: SimpleNamespace) -> None:
    assert made.cells.reached([0, 100, 200], [0.2, 0.6, 0.8], 0.4) == pytest.approx(50)
    assert made.cells.reached([0, 100, 200], [0.2, 0.6, 0.5], 0.6) == 100
    assert made.cells.reached([0, 100], [0.2, 0.6], 0.1) == 0
    assert made.cells.reached([0, 100], [0.2, 0.6], 0.7) == math.inf


def test_what_a_quicker_way_saves(made: SimpleNamespace) -> None:
    flat = {size: np.tile(np.arange(100) < 100 * rate, (3, 1)).astype(float) for size, rate in ((0, 0.2), (400, 0.8))}
    steep = {0: flat[0], 100: flat[400]}
    share, low, high, level = made.cells.saved(flat, steep, 400, draws=50)
    assert (share, low, high, level) == (0.75, 0.75, 0.75, 0.8)
    assert made.cells.saved(steep, flat, 100, draws=10)[0] == -3.0
    assert made.cells.saved(flat, {0: flat[0]}, 400, draws=10)[0] == -math.inf


def test_curves_are_compared_by_the_trainings_that_both_have(
    made: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = made.cells.Cells(tmp_path / "cells.jsonl")
    part = {"attempts": 4, "steps": 10}
    for seed in range(3):
        for arm, budget, outcome in (
            ("base", 0, "0000"), ("random demonstrations", 600, "1100"), ("at failed starts", 300, "1100"),
            ("at failed starts", 600, "1111"),
        ):  # fmt: skip
            if (seed, arm) != (2, "at failed starts"):  # not there yet
                cells.add(_cell(made.cells, seed, outcome, task="push", arm=arm, budget=budget, **part))
    made.targeted.report(cells, ["push"], part)
    said = capsys.readouterr().out
    assert "| at failed starts | 0.00" in said
    assert "+50% (+" in said
    assert "| push | at failed starts | 2 |" in said


# --- seeds and budgets ----------------------------------------------------------------------------------------------


@given(st.integers(0, 50), st.integers(0, 11), st.integers(0, 50), st.integers(0, 11))
def test_no_start_serves_two_purposes(made: SimpleNamespace, seed: int, purpose: int, other: int, second: int) -> None:
    if (seed, purpose) == (other, second):
        return
    one = {start.seed for start in made.rounds.starts("wide", seed, purpose, 2000)}
    assert not one & {start.seed for start in made.rounds.starts("wide", other, second, 2000)}
    assert not one & {start.seed for start in made.rounds.unseen("wide", 2000)}


def test_a_budget_is_kept_to_the_row_and_failed_demonstrations_are_paid_for(
    made: SimpleNamespace, ground: object
) -> None:
    rounds = made.rounds
    takes = [ground.take(start) for start in rounds.starts("nominal", 0, 0, 2)]
    assert all(take.success for take in takes)
    rows = len(takes[0].expert_rows)
    episodes, spent, count = rounds.within(takes, rows + 10)
    assert (spent, count, [episode.rows for episode in episodes]) == (rows + 10, 2, [rows, 10])
    failed = ground.take(
        rounds.Start("nominal", 1), faults=made.recoveries.parse_faults('[{"kind": "action_noise", "share": 3.0}]')
    )
    assert not failed.success
    episodes, spent, _ = rounds.within([failed, takes[0]], len(failed.expert_rows) + 5)
    assert (spent, [episode.rows for episode in episodes]) == (len(failed.expert_rows) + 5, [5])


# --- tiny rounds ----------------------------------------------------------------------------------------------------


def test_a_tiny_round(made: SimpleNamespace, ground: object) -> None:
    rounds = made.rounds
    shown = [rounds.training_rows(ground.take(start)) for start in rounds.starts("nominal", 0, 0, 2)]
    policy = rounds.train(ground, shown, 0, steps=20)
    again = rounds.train(ground, shown, 0, steps=20)
    assert policy.info.checkpoint_hash == again.info.checkpoint_hash
    assert ground.tried(policy, rounds.unseen("wide", 1)) in ("0", "1")
    rule = rounds.TakeoverRule(on_help=False, at_step=5)
    helped = ground.take(rounds.Start("nominal", 3), policy, helper=rule)
    assert helped.helped
    source = helped.episode.source
    assert helped.expert_rows[0] > 0
    assert (source[: helped.expert_rows[0]] == Source.POLICY).all()
    corrected = rounds.training_rows(helped)
    assert corrected is not None
    assert not corrected.usable[source != Source.OPERATOR].any()


def test_a_recovery_begins_with_the_perturbation(made: SimpleNamespace, ground: object) -> None:
    bench = made.recoveries
    collection = bench.Collection.__new__(bench.Collection)
    collection.ground, collection.seed = ground, 0
    take, begin = collection._disturbed(made.rounds.Start("nominal", 2), "object bump")
    assert 0 < begin < len(take.episode)
    assert take.success
    episode = bench.Recovery("object bump", take, begin, 0).episode(bench.Frame.DEMONSTRATION)
    assert not episode.usable[:begin].any()
    assert episode.usable[begin:].all()


def test_failed_starts_come_far_apart_and_novel_ones_first(made: SimpleNamespace, ground: object) -> None:
    targeted, rounds = made.ways, made.rounds
    of = targeted.Collection.__new__(targeted.Collection)
    of.ground, of.seed, of._grown = ground, 0, {}
    of.setting = targeted.Setting(2, 60, (), 2, 3)
    of.base = [ground.take(start) for start in rounds.starts("nominal", 0, 0, 2)]
    policy = rounds.train(ground, [rounds.training_rows(take) for take in of.base], 0, steps=10)
    of.deployed = [ground.take(start, policy) for start in rounds.starts("wide", 0, 2, 3)]
    failed = [take.start for take in of.deployed if not take.success]
    chosen = [take.start for take in targeted.at_failed_starts(of)]
    assert chosen[0] == failed[0]
    assert sorted(start.seed for start in chosen) == sorted(start.seed for start in failed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targeted, "N_CANDIDATES", 8)
        first = next(targeted.by_density(of))
    known = np.concatenate([take.episode.state for take in of.base])
    pool = [ground.first(start) for start in rounds.starts("wide", 0, targeted.CANDIDATES, 8)]
    far = [np.linalg.norm((known - state) / known.std(axis=0).clip(1e-3), axis=1).min() for state in pool]
    assert np.argsort(far)[::-1].tolist().index(first.start.seed % 50_000) < 4
