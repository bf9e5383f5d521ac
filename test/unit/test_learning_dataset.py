"""Which rows train, and the windows made of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, InterventionSpan, Outcome, Strategy
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.core.modes import Source
from xrollout_ros.core.resources import load_robot
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.learning import dataset
from xrollout_ros.learning.dataset import (
    Include,
    TrainingEpisode,
    dataset_version,
    load_training_set,
    split,
    usable_rows,
    why_not,
)
from xrollout_ros.learning.runs import runs
from xrollout_ros.learning.windows import windows

ROBOT = load_robot("metaworld_sawyer")
DEMONSTRATIONS, SUCCESSES = Include.DEMONSTRATIONS, Include.SUCCESSES
POLICY, OPERATOR, RECOVERY, HOLD = (int(value) for value in Source)


def make_meta(number: int = 1, **changes: object) -> EpisodeMeta:
    values: dict[str, object] = {
        "episode_id": f"01JD{number:022d}",
        "kind": EpisodeKind.DEMONSTRATION,
        "task": "pick_and_place",
        "robot": ROBOT.id,
        "start": "nominal",
        "strategy": Strategy.EPISODIC,
        "software_version": "0.1.0",
        "started_at": "2026-01-01T00:00:00+00:00",
        "outcome": Outcome.SUCCESS,
    }
    return EpisodeMeta.model_validate(values | changes)


def make_episode(length: int = 10, number: int = 1, usable: list[bool] | None = None) -> TrainingEpisode:
    """State and action count the rows, so that a window shows where it was taken."""
    state = np.arange(length, dtype=float)[:, None] + 1000 * number
    return TrainingEpisode(
        make_meta(number).episode_id, "pick_and_place", state, state * 2, np.array(usable or [True] * length)
    )


SPAN = [InterventionSpan(operator="ann", begin_s=0.0, end_s=1.0)]


@pytest.mark.parametrize(
    ("changes", "include", "reason"),
    [
        ({}, DEMONSTRATIONS, None),
        ({"outcome": Outcome.FAILURE}, DEMONSTRATIONS, "demonstration with outcome failure"),
        ({"outcome": Outcome.UNKNOWN}, SUCCESSES, "demonstration with outcome unknown"),
        ({"outcome": Outcome.ABORT}, SUCCESSES, "demonstration with outcome abort"),
        ({"kind": EpisodeKind.ATTEMPT}, DEMONSTRATIONS, "successful attempt without intervention"),
        ({"kind": EpisodeKind.ATTEMPT}, SUCCESSES, None),
        ({"kind": EpisodeKind.ATTEMPT, "outcome": Outcome.FAILURE}, SUCCESSES, "outcome failure and no intervention"),
        ({"kind": EpisodeKind.ATTEMPT, "outcome": Outcome.FAILURE, "interventions": SPAN}, DEMONSTRATIONS, None),
        ({"kind": EpisodeKind.ATTEMPT, "outcome": Outcome.ABORT, "interventions": SPAN}, SUCCESSES, "aborted attempt"),
        ({"kind": EpisodeKind.EVALUATION, "interventions": SPAN}, SUCCESSES, "evaluation episodes never train"),
    ],
)
def test_which_episodes_may_train(changes: dict[str, object], include: Include, reason: str | None) -> None:
    found = why_not(make_meta(**changes), include)
    assert (found is None) if reason is None else (found is not None and reason in found)


def test_which_rows_train() -> None:
    source = np.array([POLICY, OPERATOR, RECOVERY, HOLD, OPERATOR], dtype=np.uint8)
    attempt = make_meta(kind=EpisodeKind.ATTEMPT)
    failed = make_meta(kind=EpisodeKind.ATTEMPT, outcome=Outcome.FAILURE)
    operator_only = [False, True, False, False, True]
    assert usable_rows(attempt, source, DEMONSTRATIONS).tolist() == operator_only
    assert usable_rows(attempt, source, SUCCESSES).tolist() == [True, True, False, False, True]
    assert usable_rows(failed, source, SUCCESSES).tolist() == operator_only


def test_windows_look_ahead_and_mask_the_end() -> None:
    samples = windows([make_episode(4)], 3)
    assert samples.state[:, 0].tolist() == [1000, 1001, 1002, 1003]
    assert (samples.actions[:, :, 0] / 2 - 1000).tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 3], [3, 3, 3]]
    assert samples.mask.tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0]]
    assert samples.actions.dtype == samples.state.dtype == samples.mask.dtype == np.float32


def test_windows_never_cross_a_gap_or_an_episode() -> None:
    samples = windows([make_episode(5, 1, [True, True, False, True, True]), make_episode(2, 2)], 4)
    assert samples.state[:, 0].tolist() == [1000, 1001, 1003, 1004, 2000, 2001]
    assert samples.mask.sum(1).tolist() == [2, 1, 2, 1, 2, 1]
    assert samples.actions[1, :, 0].tolist() == [2002] * 4


def test_windows_step_at_the_policys_rate_whatever_the_rows_came_at() -> None:
    """Three rows for each policy step, each a little off its time."""
    jitter = np.tile([0.0, 0.1, -0.1], 4)
    episode = replace(make_episode(12), policy_step=(np.arange(12) + jitter) / 3)
    found = windows([episode], 3)
    rows = found.actions[:, :, 0] / 2 - 1000
    assert rows[0].tolist() == [0, 3, 6]
    assert rows[4].tolist() == [4, 7, 10]
    assert rows[9].tolist() == [9, 11, 11]
    assert found.mask[9].tolist() == [1, 1, 0]
    assert found.mask[5].tolist() == [1, 1, 1]


def test_a_pause_within_the_rows_is_not_taught() -> None:
    steps = np.arange(8.0)
    steps[4:] += 10
    found = windows([replace(make_episode(8), policy_step=steps)], 3)
    assert found.mask[2].tolist() == [1, 1, 0]
    assert found.mask[4].tolist() == [1, 1, 1]


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=4), st.integers(1, 9))
def test_windows_agree_with_the_rows(flags: list[list[bool]], horizon: int) -> None:
    """Every usable row gives one window; its real entries are that row and the ones straight after it."""
    episodes = [make_episode(len(usable), number, usable) for number, usable in enumerate(flags, 1)]
    if not any(episode.rows for episode in episodes):
        return
    samples = windows(episodes, horizon)
    assert len(samples) == sum(episode.rows for episode in episodes)
    assert (samples.mask[:, 0] == 1).all()
    assert (np.diff(samples.mask, axis=1) <= 0).all()
    usable = {value for episode in episodes for value in episode.state[episode.usable, 0]}
    for state, actions, mask in zip(samples.state[:, 0], samples.actions[:, :, 0] / 2, samples.mask, strict=True):
        real = actions[mask == 1]
        assert real.tolist() == [state + k for k in range(len(real))]
        assert set(real) <= usable
        assert (actions[mask == 0] == real[-1]).all()
        if len(real) < horizon:
            assert real[-1] + 1 not in usable


@given(st.lists(st.booleans(), max_size=30))
def test_runs(flags: list[bool]) -> None:
    found = runs(np.array(flags, dtype=bool))
    rebuilt = [False] * len(flags)
    for begin, end in found:
        assert begin < end
        rebuilt[begin:end] = [True] * (end - begin)
    assert rebuilt == flags
    assert all(first[1] < second[0] for first, second in pairwise(found))


def test_split_holds_out_whole_episodes() -> None:
    episodes = [make_episode(number=number) for number in range(1, 26)]
    training, held_out = split(episodes, 0.1, 0)
    assert (len(training), len(held_out)) == (23, 2)
    assert split(episodes, 0.1, 0)[1] == held_out
    assert {len(split(episodes, 0.1, seed)[1]) for seed in range(5)} == {2}
    assert len({split(episodes, 0.1, seed)[1][0].episode_id for seed in range(8)}) > 1
    assert split(episodes[:8], 0.1, 0)[1] == []
    assert len(split(episodes[:1], 0.99, 0)[0]) == 1


def test_version_is_of_content() -> None:
    one, two = make_episode(number=1), make_episode(number=2)
    version = dataset_version([one, two])
    assert version == dataset_version([two, one])
    assert len(version) == 64
    others = [
        [one],
        [one, make_episode(11, number=2)],
        [one, make_episode(number=2, usable=[True] * 9 + [False])],
        [one, TrainingEpisode(two.episode_id, two.task, two.state + 1e-12, two.action, two.usable)],
        [one, TrainingEpisode(make_meta(3).episode_id, two.task, two.state, two.action, two.usable)],
    ]
    assert len({version, *map(dataset_version, others)}) == 6


class Folder:
    """A data folder, as far as the dataset sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entries: list[SimpleNamespace] = []
        self.episodes: dict[Path, SimpleNamespace] = {}
        self.read: Counter[Path] = Counter()
        monkeypatch.setattr(dataset, "find_episodes", lambda folder: self.entries)
        monkeypatch.setattr(dataset, "read_episode", self._read)

    def _read(self, path: Path) -> SimpleNamespace:
        self.read[path] += 1
        if path not in self.episodes:
            raise BagError(f"{path} is torn", "")
        return self.episodes[path]

    def add(
        self, meta: EpisodeMeta, robot: RobotSpec = ROBOT, source: int = OPERATOR, torn: bool = False, value: float = 0
    ) -> None:
        path = Path(f"bag{len(self.entries)}")
        self.entries.append(SimpleNamespace(path=path, meta=meta, problem=""))
        if not torn:
            self.episodes[path] = SimpleNamespace(
                meta=meta,
                robot=robot,
                task=None,
                state=np.full((5, robot.state_dim), value),
                action=np.zeros((5, robot.action_dim)),
                source=np.full(5, source, dtype=np.uint8),
                mode=np.ones(5, dtype=np.uint8),
                stamp_s=np.arange(5) / robot.control_rate_hz,
            )


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(monkeypatch)


def test_what_is_left_out_is_counted(folder: Folder) -> None:
    folder.add(make_meta(9))
    folder.add(make_meta(2))
    folder.add(make_meta(3, outcome=Outcome.FAILURE))
    folder.add(make_meta(4, outcome=Outcome.FAILURE))
    folder.add(make_meta(5), torn=True)
    folder.add(make_meta(6), source=HOLD)
    folder.add(make_meta(7), value=np.nan)
    folder.entries.append(SimpleNamespace(path=Path("x"), meta=None, problem="torn: it has no metadata.yaml"))
    found = load_training_set(Path("data"))
    assert found.episode_ids == [make_meta(2).episode_id, make_meta(9).episode_id]
    assert (found.rows, found.task, found.robot) == (10, "pick_and_place", ROBOT)
    assert found.left_out == {
        "demonstration with outcome failure": 2,
        "unreadable: bag4 is torn": 1,
        "no row was commanded by an operator": 1,
        "values that are not finite": 1,
        "unreadable: torn: it has no metadata.yaml": 1,
    }
    assert folder.read[Path("bag2")] == 0, "a bag that cannot train is not opened"


def test_successes_on_request(folder: Folder) -> None:
    folder.add(make_meta(1, kind=EpisodeKind.ATTEMPT), source=POLICY)
    with pytest.raises(DataError, match="--include successes"):
        load_training_set(Path("data"))
    assert load_training_set(Path("data"), include=SUCCESSES).rows == 5


def test_nothing_usable(folder: Folder) -> None:
    with pytest.raises(DataError, match=r"data holds no episode to train from \(no bag\)\. .*xrollout record"):
        load_training_set(Path("data"))
    folder.add(make_meta(3, outcome=Outcome.FAILURE))
    folder.add(make_meta(4, outcome=Outcome.FAILURE))
    folder.add(make_meta(5, task="push"))
    with pytest.raises(DataError, match=r"3 left out: 2: demonstration with outcome failure; 1: task push"):
        load_training_set(Path("data"), task="pick_and_place")


def test_mixed_tasks_are_refused_unless_one_is_chosen(folder: Folder) -> None:
    folder.add(make_meta(1))
    folder.add(make_meta(2, task="push"))
    folder.add(make_meta(3, task="push"))
    with pytest.raises(DataError, match=r"mixes tasks: pick_and_place: 1 episode, push: 2 episodes\. .*--task"):
        load_training_set(Path("data"))
    chosen = load_training_set(Path("data"), task="push")
    assert (len(chosen.episodes), chosen.task, chosen.left_out) == (2, "push", {"task pick_and_place": 1})


def test_mixed_robots_are_refused(folder: Folder) -> None:
    slow = RobotSpec.model_validate(ROBOT.model_dump(mode="json") | {"id": "slow_arm", "policy_rate_hz": 40.0})
    folder.add(make_meta(1))
    folder.add(make_meta(2), robot=slow)
    with pytest.raises(DataError, match=r"mixes robots.*metaworld_sawyer.*slow_arm"):
        load_training_set(Path("data"))


def test_a_copied_episode_is_refused(folder: Folder) -> None:
    folder.add(make_meta(1))
    folder.add(make_meta(1))
    with pytest.raises(DataError, match="more than once"):
        load_training_set(Path("data"))


def test_the_real_finder_says_that_a_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        load_training_set(tmp_path / "absent")
    with pytest.raises(DataError, match="no bag"):
        load_training_set(tmp_path)
