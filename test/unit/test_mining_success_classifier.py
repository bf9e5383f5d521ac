"""The success classifier's parts: the forest, probabilities, features, and a file that is safe to read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes.bag_reader import Bag
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.success.calibration import Platt, auc, auc_interval, fit_platt, quality, reliability
from xrollout_ros.mining.success.classifier import (
    ClassifierMeta,
    QualityRecord,
    SuccessClassifier,
    load,
    save,
)
from xrollout_ros.mining.success.features import features
from xrollout_ros.mining.success.forest import Forest, grow
from xrollout_ros.mining.success.stops import Stop, StoppedError

from .success_data import trajectory

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(80, 3))
SUCCESS = VALUES[:, 0] + RANDOM.normal(0, 0.3, 80) > 0
NAMES = ["a", "b", "c"]


def made(**values: Any) -> SuccessClassifier:
    quality_of = QualityRecord(
        episodes=80, auc=0.9, auc_low=0.8, auc_high=0.95, brier=0.1, brier_of_rate=0.25, ece=0.05, labelled=50, wrong=1
    )
    known: dict[str, Any] = {
        "task": "t", "robot": "r", "interface_hash": "ab", "features": NAMES, "slope": 1.0, "offset": 0.0,
        "confidence": 0.9, "seed": 0, "trees": 20, "episodes": [], "sources": {}, "quality": quality_of,
        "software_version": "0", "created_at": "2026-01-31T12:00:00+00:00",
    }  # fmt: skip
    return SuccessClassifier(ClassifierMeta(**{**known, **values}), grow(VALUES, SUCCESS, 0, 20))


# --- the forest ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_arrays_say_what_scikit_learn_says(seed: int) -> None:
    known = ExtraTreesClassifier(20, min_samples_leaf=2, random_state=seed).fit(VALUES, SUCCESS)
    asked = np.random.default_rng(9).normal(size=(200, 3))
    share = np.clip(known.predict_proba(asked)[:, 1], 1e-3, 1 - 1e-3)
    np.testing.assert_allclose(grow(VALUES, SUCCESS, seed, 20).score(asked), np.log(share / (1 - share)), atol=1e-9)


def test_a_seed_gives_the_same_forest() -> None:
    one, same, other = (grow(VALUES, SUCCESS, seed, 5).arrays() for seed in (3, 3, 4))
    assert all((one[name] == same[name]).all() for name in one)
    assert one["threshold"].tolist() != other["threshold"].tolist()


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("left", 0, 0),  # a walk that would never end
        ("right", 0, 10**6),
        ("feature", 0, 3),
        ("root", 0, -1),
        ("threshold", 0, np.nan),
        ("share", -1, 2.0),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name: str, at: int, value: float) -> None:
    arrays = grow(VALUES, SUCCESS, 0, 3).arrays()
    arrays[name][at] = value
    with pytest.raises(DataError):
        Forest.of_arrays(arrays, 3)


def test_arrays_of_other_kinds_are_refused() -> None:
    arrays = grow(VALUES, SUCCESS, 0, 3).arrays()
    for wrong in ({"left": arrays["left"][:-1]}, {"share": arrays["left"]}, {"root": arrays["root"][None]}):
        with pytest.raises(DataError):
            Forest.of_arrays({**arrays, **wrong}, 3)
    with pytest.raises(DataError, match="lacks"):
        Forest.of_arrays({name: each for name, each in arrays.items() if name != "left"}, 3)


def test_one_outcome_grows_nothing() -> None:
    with pytest.raises(ValueError, match="one outcome"):
        grow(VALUES, np.ones(80, dtype=bool), 0)


# --- probabilities ------------------------------------------------------------------------------------------------


def test_scores_that_tell_all_apart_make_nothing_certain() -> None:
    score = np.r_[np.full(10, -3.0), np.full(10, 3.0)]
    platt = fit_platt(score, score > 0)
    # Platt's targets with ten of each are 11/12 and 1/12.
    np.testing.assert_allclose(platt(np.array([-3.0, 3.0])), [1 / 12, 11 / 12], atol=0.01)


def test_calibration_finds_the_probabilities_behind_scores() -> None:
    random = np.random.default_rng(1)
    score = random.normal(0, 2, 20_000)
    success = random.random(20_000) < Platt(0.5, -1.0)(score)
    assert fit_platt(score, success) == pytest.approx((0.5, -1.0), abs=0.05)
    assert quality(Platt(0.5, -1.0)(score), success).ece < 0.02
    assert quality(Platt(3.0, -1.0)(score), success).ece > 0.1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_area_is_the_share_of_pairs_in_order(pairs: list[tuple[int, bool]]) -> None:
    score, success = np.array([float(each) for each, _ in pairs]), np.array([good for _, good in pairs])
    good, bad = score[success], score[~success]
    if len(good) and len(bad):
        apart = good[:, None] - bad[None]
        area = auc(score, success)
        assert area == pytest.approx(float(((apart > 0) + 0.5 * (apart == 0)).mean()))
        low, high = auc_interval(area, len(good), len(bad))
        assert 0 <= low <= area <= high <= 1


def test_an_interval_narrows_and_has_a_width_at_the_end() -> None:
    few, many = auc_interval(1.0, 10, 10), auc_interval(1.0, 200, 200)
    assert few[1] == many[1] == 1.0
    assert 0.7 < few[0] < many[0] < 1.0
    # By Monte Carlo: an area of 0.8 is inside about 95 % of the intervals.
    random, inside = np.random.default_rng(2), 0
    for _ in range(400):
        score = np.r_[random.normal(1.19, 1, 30), random.normal(0, 1, 40)]
        low, high = auc_interval(auc(score, np.arange(70) < 30), 30, 40)
        inside += low <= 0.8 <= high
    assert 0.92 < inside / 400 < 0.98


def test_bins_hold_every_episode_once() -> None:
    probability = np.array([0.0, 0.05, 0.55, 0.999, 1.0])
    bins = reliability(probability, np.array([False, False, True, True, True]))
    assert [(each.low, each.episodes) for each in bins] == [(0.0, 2), (0.5, 1), (0.9, 2)]
    assert bins[-1].observed == 1.0


# --- features -----------------------------------------------------------------------------------------------------


def episode(state: Any, action: Any, task: str = "pick_and_place") -> EpisodeData:
    robot, spec, rows = load_robot("metaworld_sawyer"), load_task(task), len(state)
    path = Path("in-process")
    zeros = np.zeros(rows, dtype=np.uint8)
    return EpisodeData(
        path=path, meta=None, robot=robot, task=spec, start_ns=0, stamp_s=np.arange(rows) / 80.0,  # type: ignore[arg-type]
        step=np.arange(rows), state=state, action=action, source=zeros, mode=zeros + 1,
        clipped=np.zeros((rows, 4), dtype=bool), safety_events=(), bag=Bag(path, path, None, robot, spec, None),  # type: ignore[arg-type]
    )  # fmt: skip


def with_meta(data: EpisodeData, bags: Any) -> EpisodeData:
    object.__setattr__(data, "meta", bags.meta())
    return data


def test_how_long_it_lasted_is_not_in_the_features(bags: Any) -> None:
    state, action = trajectory(bags.robot, True, np.random.default_rng(0))
    longer = np.repeat(state[:1], 50, axis=0), np.zeros((50, 4))
    one = features(with_meta(episode(state, action), bags))
    other = features(with_meta(episode(np.r_[longer[0], state], np.r_[longer[1], action]), bags))
    assert list(one) == list(other)
    assert one == pytest.approx(other, abs=1e-6)


def test_features_tell_how_far_the_object_is_from_the_goal(bags: Any) -> None:
    random = np.random.default_rng(0)
    good, bad = (features(with_meta(episode(*trajectory(bags.robot, each, random)), bags)) for each in (True, False))
    assert good["object_to_goal.last"] < 0.02 < bad["object_to_goal.last"]
    assert good["event.progress"] > bad["event.progress"] or good["event.takes"] == 0


def test_what_cannot_be_described_says_why(bags: Any) -> None:
    state, action = trajectory(bags.robot, True, np.random.default_rng(0))
    with pytest.raises(DataError, match="nothing was recorded"):
        features(with_meta(episode(state[:0], action[:0]), bags))
    state[3, 0] = np.nan
    with pytest.raises(DataError, match="not finite"):
        features(with_meta(episode(state, action), bags))


# --- the file -----------------------------------------------------------------------------------------------------


def test_a_classifier_comes_back_as_it_was(tmp_path: Path) -> None:
    classifier, path = made(), tmp_path / "new" / "c.npz"
    save(path, classifier)
    read = load(path)
    assert read.meta == classifier.meta
    assert read.id == classifier.id
    for row in VALUES[:20]:
        asked = dict(zip(NAMES, row, strict=True))
        assert read.predict(asked) == classifier.predict(asked)
    assert not [each for each in path.parent.iterdir() if each != path]


def test_its_name_is_of_what_it_says_and_not_of_when_it_was_made() -> None:
    assert made().id == made(created_at="2027-01-01T00:00:00+00:00").id
    assert made().id != made(slope=2.0).id


def test_labels_are_given_outside_the_band_alone() -> None:
    classifier = made(confidence=0.8)
    assert classifier.band == pytest.approx((0.2, 0.8))
    assert [classifier.outcome(p) for p in (0.1, 0.21, 0.79, 0.8, 1.0)] == [
        Outcome.FAILURE, None, None, Outcome.SUCCESS, Outcome.SUCCESS,
    ]  # fmt: skip


def test_an_attempt_that_is_described_otherwise_is_refused() -> None:
    with pytest.raises(DataError, match="other numbers"):
        made().predict({"a": 0.0, "b": 0.0, "d": 0.0})


def rewritten(path: Path, **arrays: Any) -> None:
    with np.load(path) as file:
        known = {name: file[name] for name in file.files}
    buffer = io.BytesIO()
    np.savez(buffer, **{**known, **arrays})
    path.write_bytes(buffer.getvalue())


def meta_bytes(text: str) -> Any:
    return np.frombuffer(text.encode(), dtype=np.uint8)


class Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "text", "pickle", "archive", "newer", "no_json", "no_tree"])
def test_a_file_that_is_damaged_or_foreign_is_told_and_never_run(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.npz"
    save(path, made())
    data = bytearray(path.read_bytes())
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("no archive")
    elif how == "pickle":
        rewritten(path, share=np.array([Bomb()], dtype=object))
    elif how == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "a")
    elif how == "newer":
        rewritten(path, meta=meta_bytes(made(format_version=99).meta.model_dump_json()))
    elif how == "no_json":
        rewritten(path, meta=meta_bytes("{}"))
    else:
        rewritten(path, left=np.zeros(3, dtype=np.int32))
    with pytest.raises(StoppedError) as stop:
        load(path)
    assert stop.value.state is Stop.DAMAGED
    assert stop.value.next_step
    assert not (tmp_path / "exploded").exists()


def test_no_file_is_a_state_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(StoppedError) as stop:
        load(tmp_path / "none.npz")
    assert stop.value.state is Stop.NO_CLASSIFIER
    assert "xrollout label train" in stop.value.next_step
