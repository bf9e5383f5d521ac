"""The data folder: names, lists, finding one, throwing one away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import BagError, DataError, SpecError
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.store import find_episode, find_episodes


def record(bags: Any, **values: Any) -> Any:
    meta = bags.meta(**values)
    path = paths.episode_dir(bags.data, meta)
    bags.open(path, meta).close(meta)
    return meta


def test_folders_sort_by_time_and_name_their_episode(bags: Any) -> None:
    meta = bags.meta(started_at="2026-01-31T23:30:00-02:00")
    path = paths.episode_dir(Path("d"), meta)
    assert path == Path("d/2026-02-01") / f"013000_pick_and_place_{meta.episode_id}"
    assert paths.episode_dir(Path("d"), bags.meta(started_at="2026-01-31T12:00:00Z")).parent.name == "2026-01-31"
    odd = bags.meta(task="../../etc")
    assert paths.episode_dir(Path("d"), odd).parent == Path("d/2026-01-31")
    with pytest.raises(BagError, match="is no time"):
        paths.episode_dir(Path("d"), bags.meta(started_at="yesterday"))
    with pytest.raises(SpecError, match="not a ULID"):
        paths.episode_dir(Path("d"), bags.meta(episode_id="../evil"))


def test_the_data_folder_is_given_or_named_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XROLLOUT_DATA", raising=False)
    assert paths.data_dir() == paths.data_dir("") == Path("raw_rollouts")
    monkeypatch.setenv("XROLLOUT_DATA", "/named")
    assert paths.data_dir() == Path("/named")
    assert paths.data_dir("given") == Path("given")


def test_a_data_folder_that_cannot_be_written_is_named_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "a" / "b"
    assert paths.writable_data_dir(data) == data
    assert not data.parent.exists()
    (tmp_path / "a").write_text("")
    with pytest.raises(BagError, match="a is a file"):
        paths.writable_data_dir(data)
    monkeypatch.setattr(paths.os, "access", lambda place, how: place != tmp_path)
    with pytest.raises(BagError, match="does not allow it"):
        paths.writable_data_dir(tmp_path / "other")


def test_all_bags_are_listed_oldest_first_with_their_problems(bags: Any) -> None:
    late = record(bags, started_at="2026-03-01T00:00:00Z", outcome="success")
    early = record(bags, started_at="2026-01-01T00:00:00Z")
    torn = record(bags)
    (paths.episode_dir(bags.data, torn) / "metadata.yaml").unlink()
    foreign = bags.data / "foreign"
    foreign.mkdir()
    (foreign / "metadata.yaml").write_text("rosbag2_bagfile_information: {custom_data: null}")
    entries = find_episodes(bags.data)
    assert [entry.meta.episode_id for entry in entries if entry.meta] == [early.episode_id, late.episode_id]
    problems = {entry.path.name: entry.problem for entry in entries if entry.problem}
    assert problems.pop("foreign").startswith(f"{foreign} is a foreign bag")
    assert list(problems.values()) == ["torn: it has no metadata.yaml"]
    assert all((entry.meta is None) == bool(entry.problem) for entry in entries)
    (good,) = (entry for entry in entries if entry.meta and entry.meta.outcome is Outcome.SUCCESS)
    assert good.bytes == sum(file.stat().st_size for file in good.path.iterdir())


def test_an_open_bag_is_not_called_torn(bags: Any) -> None:
    meta = bags.meta()
    writer = bags.open(paths.episode_dir(bags.data, meta), meta)
    assert [entry.problem for entry in find_episodes(bags.data)] == ["it is being recorded"]
    writer.close(meta)
    assert [entry.problem for entry in find_episodes(bags.data)] == [""]


def test_finding_one(bags: Any) -> None:
    first = record(bags, episode_id="01M7X39E2BNZKTYXNYD0KCAPAD")
    second = record(bags, episode_id="01M7X39E2BNZKTYXNYD0KCAPZZ")
    for asked, meta in (
        (first.episode_id, first),
        (second.episode_id.lower(), second),
        ("01m7x39e2bnzktyxnyd0kcapa", first),
        ("apzz", second),
    ):
        entry = find_episode(bags.data, asked)
        assert entry.meta == meta
    with pytest.raises(DataError, match="fits 2 episodes: 01M7X39E2BNZKTYXNYD0KCAPAD, 01M7X39E2BNZKTYXNYD0KCAPZZ"):
        find_episode(bags.data, "01M7")
    for asked in ("7ZZ", "", "01M7X39E2BNZKTYXNYD0KCAPAA"):
        with pytest.raises(DataError, match="no episode"):
            find_episode(bags.data, asked)
    with pytest.raises(DataError, match="is not there"):
        find_episode(bags.data / "nothing", first.episode_id)


def test_a_renamed_folder_is_found_by_what_the_bag_says(bags: Any) -> None:
    meta = record(bags)
    path = paths.episode_dir(bags.data, meta)
    path.rename(bags.data / "mine")
    assert find_episode(bags.data, meta.episode_id).path == bags.data / "mine"


def test_a_discarded_bag_lies_in_the_trash(bags: Any) -> None:
    meta = record(bags)
    path = paths.episode_dir(bags.data, meta)
    target = paths.discard(bags.data, path)
    assert target == bags.data / ".trash" / path.name
    assert (target / "metadata.yaml").is_file()
    assert find_episodes(bags.data) == []
    with pytest.raises(BagError, match="cannot be moved"):
        paths.discard(bags.data, path)
    again = record(bags, episode_id=meta.episode_id)
    with pytest.raises(BagError, match="exists already"):
        paths.discard(bags.data, paths.episode_dir(bags.data, again))
    assert len(find_episodes(bags.data)) == 1
