"""metadata.yaml is parsed where it was changed, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes import rosbag2
from xrollout_ros.episodes.bag_reader import open_bag
from xrollout_ros.episodes.manifest import manifest_as_written
from xrollout_ros.episodes.store import find_episodes


@pytest.fixture
def bag(bags: Any) -> Path:
    return Path(bags.episode(np.zeros((3, bags.robot.state_dim)), np.zeros((3, 4)), task="a: 'b'\n#\N{SNOWMAN}").path)


def test_a_bag_as_written_is_not_parsed(bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = rosbag2.episode_of(rosbag2.custom_data(rosbag2.read_metadata(bag)), bag)
    monkeypatch.setattr(rosbag2, "read_metadata", None)
    known = manifest_as_written(bag)
    assert known is not None
    assert known.meta == said
    assert known.file == next(bag.glob("*.mcap"))
    (entry,) = find_episodes(bag.parent)
    assert entry.meta == said


def test_a_changed_one_is(bag: Path) -> None:
    path = bag / rosbag2.METADATA_FILE
    text = path.read_text()
    changed = text.replace('seed\\":7', 'seed\\":8')  # the JSON lies in double quotes, because of the snowman
    assert changed != text
    path.write_text(changed)
    assert manifest_as_written(bag) is None
    (entry,) = find_episodes(bag.parent)
    assert entry.meta is not None
    assert entry.meta.seed == 8
    path.write_text(text[:-40])
    assert manifest_as_written(bag) is None


def test_so_is_one_whose_files_are_others(bag: Path, bags: Any) -> None:
    file = next(bag.glob("*.mcap"))
    renamed = file.rename(bag / "renamed.mcap")
    assert manifest_as_written(bag) is None
    with pytest.raises(BagError, match="lacks its file"):
        open_bag(bag)
    renamed.rename(file)
    (bag / "second.mcap").touch()
    assert manifest_as_written(bag) is None
    (bag / "second.mcap").unlink()
    other = bags.episode(np.zeros((3, bags.robot.state_dim)), np.zeros((3, 4)))
    file.write_bytes(next(other.path.glob("*.mcap")).read_bytes())
    assert manifest_as_written(bag) is None
    file.write_bytes(file.read_bytes()[:200])
    assert manifest_as_written(bag) is None
    (entry,) = (each for each in find_episodes(bag.parent) if each.path == bag)
    assert entry.meta is not None
