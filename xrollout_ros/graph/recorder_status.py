"""What the recorder tells of itself."""

from __future__ import annotations

from rclpy.serialization import deserialize_message

from xrollout.msg import RecorderStatus, UploadStatus
from xrollout_ros.core.clock import Clock, seconds
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.recording import Recording
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.topics import resolve

UPLOADER_TIMEOUT_S = 5.0
_UPLOADS = resolve("upload/status")


def status_of(recording: Recording, clock: Clock) -> RecorderStatus:
    """The message for ``recorder/status``."""
    counts, ring, highlights = recording.counts(), recording.ring, recording.highlights
    upload_queue, upload_error = uploads_of(recording, clock)
    return RecorderStatus(
        stamp=time_msg(clock.wall_ns()),
        episode_id=recording.episode_id,
        bag=str(recording.bag or ""),
        recording=bool(recording.episode_id),
        bytes=recording.payload_bytes,
        topics=list(counts),
        received=[count.received for count in counts.values()],
        lost=[count.lost for count in counts.values()],
        ring_seconds=ring.held_s if ring is not None else 0.0,
        ring_bytes=ring.bytes if ring is not None else 0,
        clips_saving=highlights.saving if highlights is not None else 0,
        clip=str(highlights.last_saved or "") if highlights is not None else "",
        disk_free=paths.disk_free(recording.data),
        upload_queue=upload_queue,
        upload_error=upload_error,
        error=recording.failure,
    )


def uploads_of(recording: Recording, clock: Clock) -> tuple[int, str]:
    """How many bags wait to be uploaded (-1: nobody uploads), and what is wrong with it (empty: nothing)."""
    latest = recording.topics[_UPLOADS].latest
    if latest is None:
        return -1, ""
    status = deserialize_message(latest, UploadStatus)
    silent_s = seconds(clock.wall_ns() - stamp_ns(status.stamp))
    silent = f"the uploader has been silent for {silent_s:.0f} s" if silent_s > UPLOADER_TIMEOUT_S else ""
    return int(status.queue), silent or str(status.error)
