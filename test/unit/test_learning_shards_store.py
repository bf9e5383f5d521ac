"""Bags into shards: whole or not at all, each bag once, and what is in the way is named."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.reader import read_episode
from xrollout_ros.learning.shards import filling, merging
from xrollout_ros.learning.shards.filling import KILLED, TaskToday, Wanted, fill
from xrollout_ros.learning.shards.layout import INDEX, combined, digest, digests
from xrollout_ros.learning.shards.reader import open_dataset
from xrollout_ros.learning.shards.store import Store
from xrollout_ros.learning.shards.writer import TEMPORARY, DiskError

from .conftest import time_of
from .pyramid_data import OPERATOR, attempt, built, demonstrate, record


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Writing beyond so many bytes of a file fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wanted(bags: Any, metas: Sequence[Any]) -> list[Wanted]:
    folders = [paths.episode_dir(bags.data, meta) for meta in metas]
    return [Wanted(str(folder.relative_to(bags.data)), 1, 1) for folder in folders]


def store_in(folder: Path) -> Store:
    store = Store(folder)
    store.clean()
    store.look()
    return store


def test_rows_of_a_shard_are_those_of_the_bags(bags: Any, tmp_path: Path) -> None:
    metas = [demonstrate(bags), attempt(bags, "failure", (0.05, 0.6))]
    store = store_in(tmp_path / "shards")
    filled = fill(store.folder, bags.data, wanted(bags, metas), workers=0)
    store.look()
    assert (filled.read, filled.problems) == (2, {})
    (shard,) = [path for path in store.folder.iterdir() if path.is_dir()]
    for kept in store.episodes():
        assert kept.shard == shard.name
        episode = read_episode(next(bags.data.rglob(f"*{kept.meta.episode_id}")))
        rows = {name: store.rows(kept, name) for name in ("state", "action", "stamp_s", "source")}
        for name, values in rows.items():
            assert np.array_equal(values, getattr(episode, name)), name
        assert combined(kept.held.digests) == combined(digests(rows)) == digest(rows)
        assert kept.meta == episode.meta
        assert not rows["state"].flags.writeable


def test_bags_are_read_once_unless_they_change(bags: Any, tmp_path: Path) -> None:
    metas = [demonstrate(bags, (0.01 * number, 0.65)) for number in range(3)]
    pyramid = tmp_path / "pyramid"
    assert (built(bags.data, pyramid).read, built(bags.data, pyramid).read) == (3, 0)
    attempt(bags)
    second = built(bags.data, pyramid)
    assert (second.read, second.known) == (1, 3)
    folder = paths.episode_dir(bags.data, metas[0])
    text = (folder / "metadata.yaml").read_text()
    (folder / "metadata.yaml").write_text(text + "\n")
    assert (built(bags.data, pyramid).read, built(bags.data, pyramid).read) == (1, 0)
    for shard in (pyramid / "shards").iterdir():
        assert not shard.name.startswith(TEMPORARY)


def test_what_cannot_be_read_is_named_and_tried_again_when_it_changes(bags: Any, tmp_path: Path) -> None:
    demonstrate(bags)
    bad = record(bags, [])
    found = built(bags.data, tmp_path / "pyramid")
    ((path, words),) = found.left_out["unreadable"].items()
    assert path.endswith(bad.episode_id)
    assert "holds no command" in words
    again = built(bags.data, tmp_path / "pyramid")
    assert (again.read, again.left_out) == (0, found.left_out)


def test_a_bag_that_kills_its_process_is_named_and_the_others_are_read(
    bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metas = [demonstrate(bags, (0.01 * number, 0.65)) for number in range(5)]
    deadly = wanted(bags, metas)[3].path

    def answers(store: Path, data: Path, asked: Any, cameras: Any, workers: int) -> Iterator[Any]:
        for request in asked:
            killed = any(each["path"] == deadly for each in request)
            yield request, None if killed else filling._answer(store, data, request, cameras, TaskToday())

    monkeypatch.setattr(filling, "_answers", answers)
    store = store_in(tmp_path / "shards")
    told: list[tuple[int, int]] = []
    filled = fill(store.folder, bags.data, wanted(bags, metas), workers=2, progress=lambda *done: told.append(done))
    assert (filled.read, filled.killed) == (4, [deadly])
    assert filled.problems[deadly].words == KILLED
    assert told[-1] == (5, 5)


def test_processes_read_the_same(bags: Any, tmp_path: Path) -> None:
    for number in range(5):
        demonstrate(bags, (0.01 * number, 0.65))
    alone, together = built(bags.data, tmp_path / "one"), built(bags.data, tmp_path / "two", workers=2)
    assert [level.manifest.dataset_version for level in alone.levels] == [
        level.manifest.dataset_version for level in together.levels
    ]


def test_a_full_disk_leaves_whole_shards_and_the_pyramid_as_it_was(bags: Any, tmp_path: Path) -> None:
    pyramid = tmp_path / "pyramid"
    demonstrate(bags)
    before = built(bags.data, pyramid).levels[3].manifest
    for number in range(3):
        demonstrate(bags, (0.01 * number, 0.7))
    with pytest.raises(DiskError, match="could not be written") as caught:
        built(bags.data, pyramid, during=files_up_to(1500))
    assert "shards that are whole are kept" in caught.value.remedy
    assert open_dataset(pyramid / "level4").manifest == before
    assert len(open_dataset(pyramid / "level4").training_set().episodes) == 1
    assert not [path for path in pyramid.rglob("*") if path.name.startswith((TEMPORARY, ".new-"))]
    assert built(bags.data, pyramid).read == 3


def test_a_full_disk_while_levels_are_written(bags: Any, tmp_path: Path) -> None:
    pyramid = tmp_path / "pyramid"
    demonstrate(bags)
    before = built(bags.data, pyramid).levels[0].manifest
    demonstrate(bags, (0.02, 0.7))
    with pytest.raises(DataError, match="levels could not be written"):
        built(bags.data, pyramid, during=files_up_to(12_000))
    assert open_dataset(pyramid / "level1").manifest == before
    assert not list(pyramid.glob(".new-*"))
    after = built(bags.data, pyramid)
    assert after.read == 0  # its shard was whole
    assert len(open_dataset(pyramid / "level1").manifest.episodes) == 2


def test_what_a_kill_leaves_is_put_in_order(bags: Any, tmp_path: Path) -> None:
    pyramid = tmp_path / "pyramid"
    demonstrate(bags)
    first = built(bags.data, pyramid)
    (pyramid / "shards" / f"{TEMPORARY}1-x").mkdir()
    (pyramid / ".new-level1").mkdir()
    (pyramid / "level4").rename(pyramid / ".old-level4")  # between the two renames of a swap
    second = built(bags.data, pyramid)
    assert second.read == 0
    assert second.levels[3].manifest.dataset_version == first.levels[3].manifest.dataset_version
    assert open_dataset(pyramid / "level4").training_set().rows == first.levels[3].manifest.rows
    assert not [path for path in pyramid.rglob(".*") if path.name.startswith((TEMPORARY, ".new", ".old"))]


def test_a_damaged_shard_is_read_again(bags: Any, tmp_path: Path) -> None:
    pyramid = tmp_path / "pyramid"
    demonstrate(bags)
    version = built(bags.data, pyramid).levels[3].manifest.dataset_version
    (shard,) = [path for path in (pyramid / "shards").iterdir() if path.is_dir()]
    data = (shard / "state.npy").read_bytes()
    (shard / "state.npy").write_bytes(data[:-8])  # the level's is the same file
    found = built(bags.data, pyramid)
    assert (list(found.damaged), found.read) == ([shard.name], 1)
    assert open_dataset(pyramid / "level4").training_set().version == version
    (shard / INDEX).write_text("{}")
    assert built(bags.data, pyramid).read == 1


def test_a_level_that_is_copied_alone_trains(bags: Any, tmp_path: Path) -> None:
    import shutil

    demonstrate(bags)
    built(bags.data, tmp_path / "pyramid")
    shutil.copytree(tmp_path / "pyramid" / "level4", tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "pyramid")
    assert open_dataset(tmp_path / "elsewhere").training_set().rows == 12


def test_shards_that_nothing_needs_are_let_go(bags: Any, tmp_path: Path) -> None:
    first = demonstrate(bags)
    built(bags.data, tmp_path / "pyramid")
    demonstrate(bags, (0.02, 0.7))
    built(bags.data, tmp_path / "pyramid")
    import shutil

    shutil.rmtree(paths.episode_dir(bags.data, first))
    found = built(bags.data, tmp_path / "pyramid")
    assert len(found.levels[0].manifest.episodes) == 1
    assert len([path for path in (tmp_path / "pyramid" / "shards").iterdir() if path.is_dir()]) == 1


def test_many_small_shards_become_one(bags: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MANY", 3)
    versions = []
    for number in range(4):
        demonstrate(bags, (0.02 * number, 0.65))
        found = built(bags.data, tmp_path / "pyramid")
        versions.append(found.levels[3].manifest.dataset_version)
        assert len(open_dataset(tmp_path / "pyramid" / "level4").training_set().episodes) == number + 1
    shards = [path for path in (tmp_path / "pyramid" / "shards").iterdir() if path.is_dir()]
    assert len(shards) == 2  # three became one, and the last bag made another
    fresh = built(bags.data, tmp_path / "fresh")
    assert fresh.levels[3].manifest.dataset_version == versions[-1]


# --- cameras ----------------------------------------------------------------------------------------------------------

TOPIC = "/camera/image_raw"


def with_camera(bags: Any) -> None:
    camera = {"name": "front", "topic": TOPIC, "width": 16, "height": 12, "rate_hz": 40.0}
    bags.robot = RobotSpec.model_validate({**bags.robot.model_dump(), "cameras": [camera]})


def filmed(bags: Any, shades: dict[int, int]) -> Any:
    """A demonstration; images by the row before which they come."""
    known = bags.meta(kind="demonstration", outcome="success", outcome_source="robot")
    rng = np.random.default_rng(0)
    with bags.open(paths.episode_dir(bags.data, known), known) as writer:
        bags.add(writer, TOPIC, "sensor_msgs/msg/Image")
        for step in range(12):
            stamp_ns = 5 * NS + step * bags.robot.control_period_ns
            if step in shades:
                pixels = np.clip(rng.integers(-40, 40, (12, 16, 3)) + shades[step], 0, 255).astype(np.uint8)
                header = {"stamp": time_of(stamp_ns), "frame_id": "camera"}
                image = bags.messages.cdr(
                    "sensor_msgs/msg/Image", header=header, height=12, width=16, encoding="rgb8", step=48,
                    data=pixels.reshape(-1),
                )  # fmt: skip
                writer.write(TOPIC, image, stamp_ns)
            bags.observe(writer, np.full(bags.robot.state_dim, 0.1 * step), stamp_ns, stamp_ns)
            bags.command(writer, known, [0.1, 0, 0, 0], stamp_ns, stamp_ns, step=step, source=int(OPERATOR))
        writer.close(known)
    return known


def test_images_are_the_newest_at_each_row_and_rows_before_the_first_do_not_train(bags: Any, tmp_path: Path) -> None:
    with_camera(bags)
    filmed(bags, {2: 60, 6: 180})
    pyramid = tmp_path / "pyramid"
    found = built(bags.data, pyramid, cameras=(6, 8))
    assert found.levels[0].manifest.cameras == {"front": (6, 8)}
    (episode,) = open_dataset(pyramid / "level1").training_set().episodes
    images = episode.images["front"]
    assert images.shape == (12, 6, 8, 3)
    shades = images.reshape(12, -1).mean(axis=1)
    assert shades[0] == shades[1] == 0
    assert np.allclose(shades[2:6], 60, atol=8)
    assert np.allclose(shades[6:], 180, atol=8)
    assert episode.usable.tolist() == [False] * 2 + [True] * 10
    facts = found.judged[0].case.facts.cameras["front"]
    assert (facts.images, facts.from_row, facts.blank_share) == (2, 2, 0)
    assert facts.gap_s == pytest.approx(4 * bags.robot.control_period_ns / NS)
    assert facts.frozen_s == pytest.approx(5 * bags.robot.control_period_ns / NS)


def test_images_are_kept_beside_and_what_was_not_filmed_is_left_out(bags: Any, tmp_path: Path) -> None:
    with_camera(bags)
    filmed(bags, {0: 60})
    other = demonstrate(bags)
    pyramid = tmp_path / "pyramid"
    without = built(bags.data, pyramid)
    assert (without.read, without.levels[0].manifest.cameras) == (2, {})
    seeing = built(bags.data, pyramid, cameras=(6, 8))
    assert seeing.read == 1
    ((path, words),) = seeing.left_out["without images of its cameras"].items()
    assert path.endswith(other.episode_id)
    assert "was not recorded" in words
    assert len(seeing.levels[0].manifest.episodes) == 1
    again = built(bags.data, pyramid)  # whether images are there too is none of its business
    assert again.levels[0].manifest.dataset_version == without.levels[0].manifest.dataset_version


def test_a_robot_without_cameras_gives_no_images(bags: Any, tmp_path: Path) -> None:
    bags.robot = RobotSpec.model_validate({**bags.robot.model_dump(), "cameras": []})
    demonstrate(bags)
    with pytest.raises(DataError, match="has no camera"):
        built(bags.data, tmp_path / "pyramid", cameras=(6, 8))


def test_another_interface_is_refused(bags: Any, tmp_path: Path) -> None:
    demonstrate(bags)
    built(bags.data, tmp_path / "pyramid")
    actions = [{**dim.model_dump(), "unit": "other"} for dim in bags.robot.actions]
    bags.robot = RobotSpec.model_validate({**bags.robot.model_dump(), "actions": actions})
    demonstrate(bags, (0.02, 0.7))
    with pytest.raises(DataError, match="mixes robots of different interfaces: metaworld_sawyer"):
        built(bags.data, tmp_path / "pyramid")
    bags.data = tmp_path / "other"
    demonstrate(bags)
    with pytest.raises(DataError, match="is a pyramid of robot"):
        built(bags.data, tmp_path / "pyramid")
