"""The shipped Foxglove layout, and how it is fitted to a robot: cameras, actions, thresholds of its alarms."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from xrollout_ros.core.resources import share_dir
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import ScoreSpec
from xrollout_ros.episodes.bag_reader import Bag
from xrollout_ros.episodes.image_cdr import COMPRESSED_IMAGE, COMPRESSED_VIDEO, IMAGE
from xrollout_ros.episodes.raw_bag import RawBag

IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE, COMPRESSED_VIDEO)
CHUNK_TOPIC = "/xrollout/chunk"
_COLORS = ("#4e98e2", "#f5774d", "#f7df71", "#5cd6a9", "#a395e2", "#e284b8", "#9be271", "#c9c9c9")
_ROWS_READ = 50


def shipped() -> Path:
    """The layout for any robot."""
    return share_dir() / "config" / "foxglove" / "xrollout.json"


def fitted(bag: RawBag, folder: Path | None = None) -> tuple[Path, str]:
    """A layout for the robot of a bag, written where the app can import it from.

    Args:
        bag: the bag.
        folder: where to; None: the user's cache.

    Returns:
        Its path, and why it is only the shipped one; empty: it is fitted.
    """
    robot = bag.episode.robot if bag.episode is not None else None
    cameras = [topic.name for topic in bag.topics if topic.type_name in IMAGE_TYPES]
    layout = fit(json.loads(shipped().read_text(encoding="utf-8")), robot, cameras, _score_names(bag.episode))
    folder = folder or _cache() / "foxglove"
    path = folder / f"xrollout_{Path(robot.id).name if robot is not None else 'foreign'}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(layout, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        return shipped(), f"the one fitted to the robot cannot be written: {error}"
    return path, ""


def fit(
    layout: dict[str, Any], robot: RobotSpec | None, cameras: Sequence[str], scores: Sequence[str]
) -> dict[str, Any]:
    """The shipped layout with an image panel for each camera, and the robot's own names.

    Args:
        layout: as shipped; it stays as it is.
        robot: its spec; none: not known.
        cameras: topics of images.
        scores: names of the scores that come with a chunk, in their order.
    """
    layout = copy.deepcopy(layout)
    panels = layout["configById"]
    camera = panels.pop("Image!camera")
    ids = []
    for number, topic in enumerate(cameras):
        ids.append(f"Image!camera{number}")
        panels[ids[-1]] = {**camera, "foxglovePanelTitle": topic, "imageMode": {"imageTopic": topic}}
    layout["layout"] = _put(layout["layout"], "Image!camera", _column(ids))
    if scores:
        panels["Plot!scores"]["paths"] = [
            _series(f"{CHUNK_TOPIC}.score_values[{number}]", name, number) for number, name in enumerate(scores)
        ]
    if robot is not None:
        panels["Plot!scores"]["paths"] += [
            {**_series(f"{spec.threshold:g}", f"{spec.score}: threshold", _number(scores, spec)), "lineStyle": "dashed"}
            for spec in robot.safety.detectors
            if isinstance(spec, ScoreSpec)
        ]
        panels["Plot!command"]["paths"] = [
            _series(f"/xrollout/command.action[{number}]", action.name, number)
            for number, action in enumerate(robot.actions)
        ]
    return layout


def _series(value: str, label: str, number: int) -> dict[str, Any]:
    color = _COLORS[number % len(_COLORS)]
    return {"value": value, "label": label, "enabled": True, "timestampMethod": "receiveTime", "color": color}


def _number(scores: Sequence[str], spec: ScoreSpec) -> int:
    return scores.index(spec.score) if spec.score in scores else len(scores)


def _column(ids: Sequence[str]) -> Any:
    """Panels below each other, all of the same height; None for none."""
    if len(ids) < 2:
        return ids[0] if ids else None
    return {"direction": "column", "splitPercentage": 100 / len(ids), "first": ids[0], "second": _column(ids[1:])}


def _put(node: Any, panel: str, new: Any) -> Any:
    """The mosaic with ``new`` in the place of a panel; None takes the place away."""
    if isinstance(node, str):
        return new if node == panel else node
    first, second = _put(node["first"], panel, new), _put(node["second"], panel, new)
    if first is None or second is None:
        return second if first is None else first
    return {**node, "first": first, "second": second}


def _score_names(episode: Bag | None) -> list[str]:
    """Of the chunk that has most: the first one overlaps with none, so it has no consistency."""
    if episode is None:
        return []
    names: list[str] = []
    for chunk in islice(episode.messages([CHUNK_TOPIC]), _ROWS_READ):
        names = max(names, list(chunk.message.score_names), key=len)
    return names


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xrollout"
