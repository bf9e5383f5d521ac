"""A bag as a Rerun recording: its topics as Rerun imports them, and under ``/attempt`` what it cannot make of ours."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from rerun.encodings import AbsoluteTimeRange

from xrollout_ros.core.modes import Mode, Phase, Severity, Source
from xrollout_ros.core.safety import ScoreSpec
from xrollout_ros.episodes.bag_reader import Bag, TopicMessage
from xrollout_ros.episodes.image_cdr import COMPRESSED_VIDEO
from xrollout_ros.ui.viewers.layouts import IMAGE_TYPES
from xrollout_ros.ui.viewers.opened import Opened

TIMELINE = "message_log_time"
"""As Rerun's importer calls the log time."""
ROOT = "/attempt"
_CUBE, _SPHERE, _CYLINDER, _STRIP, _TEXT = 1, 2, 3, 4, 9
_DELETE, _DELETE_ALL = 2, 3
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARN", 40: "ERROR", 50: "CRITICAL"}
_DIAGNOSTIC = ("INFO", "WARN", "ERROR", "ERROR")


def write(opened: Opened, path: Path, *, speed: float, loop: bool) -> None:
    """Write a recording that holds its blueprint.

    Args:
        opened: the bag and its moment.
        path: an ``.rrd``; what is there is overwritten.
        speed: s of the bag in one second.
        loop: play the span around the moment again and again.

    Raises:
        BagError: the bag is damaged.
    """
    recording = rr.RecordingStream("xrollout", recording_id=opened.name)
    recording.save(path, default_blueprint=blueprint(opened, speed=speed, loop=loop))
    for file in opened.bag.files:
        recording.log_file_from_path(file)
    if opened.bag.episode is not None:
        videos = [topic.name for topic in opened.bag.topics if topic.type_name == COMPRESSED_VIDEO]
        _Attempt(recording, opened.bag.episode, videos).log()
    _tell_failure(recording, opened)
    recording.flush()


def blueprint(opened: Opened, *, speed: float, loop: bool) -> rrb.Blueprint:
    """Scene, cameras, states, scores against thresholds, command, checks, log; the time at the moment."""
    cameras = [topic.name for topic in opened.bag.topics if topic.type_name in IMAGE_TYPES]
    span = AbsoluteTimeRange(min=opened.span.begin_ns, max=opened.span.end_ns)
    plots = [
        rrb.TimeSeriesView(origin=f"{ROOT}/scores", name="Scores and thresholds"),
        rrb.TimeSeriesView(origin=f"{ROOT}/checks", name="Checks: value and limit"),
        rrb.TimeSeriesView(origin=f"{ROOT}/command", name="Command as sent"),
    ]
    seen = [rrb.Spatial2DView(origin=name, name=name) for name in cameras]
    return rrb.Blueprint(
        rrb.Horizontal(
            rrb.Vertical(
                rrb.Spatial3DView(origin=f"{ROOT}/scene", name="Scene"),
                rrb.StateTimelineView(origin=f"{ROOT}/states", name="States"),
                row_shares=[3, 2],
            ),
            rrb.Vertical(*plots),
            rrb.Vertical(*seen, rrb.TextLogView(origin=f"{ROOT}/log", name="What went wrong, diagnostics, log")),
            column_shares=[5, 4, 3],
        ),
        rrb.TimePanel(
            timeline=TIMELINE,
            playback_speed=speed,
            play_state="Playing",
            time_selection=span,
            loop_mode="Selection" if loop else "Off",
        ),
        collapse_panels=True,
    )


def _at(recording: rr.RecordingStream, time_ns: int) -> None:
    recording.set_time(TIMELINE, timestamp=np.datetime64(time_ns, "ns"))


def _tell_failure(recording: rr.RecordingStream, opened: Opened) -> None:
    moment = opened.moment
    _at(recording, moment.time_ns)
    recording.log(f"{ROOT}/log/opened", rr.TextLog(moment.why, level="ERROR" if moment.judgement else "INFO"))
    if moment.judgement is not None:
        recording.log(f"{ROOT}/states/failure", rr.StateChange(state=moment.judgement.mode))


class _Attempt:
    """Logs what Rerun's own importer has no archetype for."""

    def __init__(self, recording: rr.RecordingStream, bag: Bag, videos: Collection[str]) -> None:
        self._recording = recording
        self._videos = videos
        self._bag = bag
        self._actions = [action.name for action in bag.robot.actions]
        self._states: dict[str, str] = {}
        self._shapes: set[str] = set()
        self._take: dict[str, Callable[[Any], None]] = {
            "/xrollout/command": self._command,
            "/xrollout/chunk": self._chunk,
            "/xrollout/supervisor/state": lambda message: self._state("mode", Mode(message.mode).name),
            "/xrollout/supervisor/event": self._event,
            "/xrollout/episode": lambda message: self._state("attempt", Phase(message.phase).name),
            "/xrollout/scene": self._scene,
            "/diagnostics": self._diagnostics,
            "/rosout": lambda message: self._line(message.name, message.msg, _LEVELS.get(message.level, "INFO")),
        }

    def log(self) -> None:
        """All of the bag."""
        for message in self._bag.messages(self._videos):
            _at(self._recording, message.log_time_ns)
            self._recording.log(message.topic, rr.VideoStream(rr.VideoCodec.H264, sample=bytes(message.message.data)))
        for spec in self._bag.robot.safety.detectors:
            if isinstance(spec, ScoreSpec):
                self._recording.log(f"{ROOT}/scores/{spec.score}_threshold", rr.Scalars(spec.threshold), static=True)
        for message in self._bag.messages(list(self._take)):
            self._one(message)

    def _one(self, message: TopicMessage) -> None:
        _at(self._recording, message.log_time_ns)
        self._take[message.topic](message.message)

    def _state(self, name: str, state: str) -> None:
        if self._states.get(name) != state:
            self._states[name] = state
            self._recording.log(f"{ROOT}/states/{name}", rr.StateChange(state=state))

    def _line(self, name: str, text: str, level: str) -> None:
        self._recording.log(f"{ROOT}/log/{name}", rr.TextLog(text, level=level))

    def _command(self, message: Any) -> None:
        for name, value in zip(self._actions, message.action, strict=False):
            self._recording.log(f"{ROOT}/command/{name}", rr.Scalars(value))
        self._state("driver", Source(message.source).name)
        self._state("recovery", message.recovery)

    def _chunk(self, message: Any) -> None:
        for name, value in zip(message.score_names, message.score_values, strict=False):
            self._recording.log(f"{ROOT}/scores/{name}", rr.Scalars(value))

    def _event(self, message: Any) -> None:
        self._recording.log(f"{ROOT}/checks/{message.check}/value", rr.Scalars(message.value))
        self._recording.log(f"{ROOT}/checks/{message.check}/limit", rr.Scalars(message.limit))
        if message.severity > Severity.CLIP:  # clipped values are so many that they would hide the rest
            verb = "began" if message.began else "ended"
            words = f"{message.check} {verb}: {message.value:g} (limit {message.limit:g}), {message.action_taken}"
            self._line("checks", words, "WARN")

    def _diagnostics(self, message: Any) -> None:
        for status in message.status:
            level = int.from_bytes(status.level, "little") if isinstance(status.level, bytes) else int(status.level)
            if level:
                self._line("diagnostics", f"{status.name}: {status.message}", _DIAGNOSTIC[min(level, 3)])

    def _scene(self, message: Any) -> None:
        for marker in message.markers:
            path = f"{ROOT}/scene/{marker.ns or 'markers'}/{marker.id}"
            if marker.action in (_DELETE, _DELETE_ALL):
                for gone in self._shapes if marker.action == _DELETE_ALL else {path}:
                    self._recording.log(gone, rr.Clear(recursive=False))
                continue
            shape = _shape(marker)
            if shape is not None:
                self._shapes.add(path)
                self._recording.log(path, shape)


def _shape(marker: Any) -> Any:
    """The archetype of a marker; None for one that is not drawn."""
    pose, scale, color = marker.pose, marker.scale, marker.color
    centre = [pose.position.x, pose.position.y, pose.position.z]
    turned = rr.Quaternion(xyzw=[pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w])
    rgba = [color.r, color.g, color.b, color.a]
    colors = [[round(255 * part) for part in rgba]]
    common = {"centers": [centre], "quaternions": [turned], "colors": colors, "fill_mode": "solid"}
    if marker.type == _CUBE:
        return rr.Boxes3D(sizes=[[scale.x, scale.y, scale.z]], **common)
    if marker.type == _SPHERE:
        return rr.Ellipsoids3D(half_sizes=[[scale.x / 2, scale.y / 2, scale.z / 2]], **common)
    if marker.type == _CYLINDER:
        return rr.Cylinders3D(lengths=[scale.z], radii=[scale.x / 2], **common)
    if marker.type == _STRIP:
        points = [[point.x, point.y, point.z] for point in marker.points]
        return rr.LineStrips3D([points], radii=[scale.x / 2], colors=colors)
    if marker.type == _TEXT:
        return rr.Points3D([centre], labels=[marker.text], radii=[0.001], colors=colors)
    return None
