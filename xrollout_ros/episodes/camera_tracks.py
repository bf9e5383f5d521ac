"""The tracks of all cameras whose images are encoded, begun and ended together."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.camera_track import CameraTrack
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.episodes.ring import Ring

ENCODE_TIMEOUT_S = 5.0


class CameraTracks:
    """Called from the recorder's one thread.

    With a ring the tracks live as long as the recorder, without one as long as a bag: nobody else needs their images.
    """

    def __init__(self, topics: Mapping[str, RecordedTopic], ring: Ring | None) -> None:
        """
        Args:
            topics: what is recorded, by name.
            ring: gets every encoded image.

        Raises:
            BagError: a camera's library is not installed.
        """
        self._topics, self._ring = topics, ring
        self._tracks: dict[str, CameraTrack] = {}
        self.start()

    def start(self) -> None:
        """Begin the tracks' threads, where they do not run."""
        if not self._tracks:
            self._tracks = {
                topic.name: CameraTrack(topic.encoded.camera, topic.name, topic.kept_as, self._ring)
                for topic in self._topics.values()
                if topic.encoded is not None
            }

    def put(self, name: str, cdr: bytes, log_time_ns: int) -> bool:
        """Hand over an image; False: images of this topic are kept as they come."""
        track = self._tracks.get(name)
        if track is not None:
            track.put(cdr, log_time_ns)
        return track is not None

    def begin(self, writer: BagWriter) -> None:
        """Images that come from now on go into this bag too."""
        for track in self._tracks.values():
            track.begin(writer)

    def finish(self) -> str:
        """Encode what waits for the bag; gives what could not be encoded, and why; empty: nothing."""
        problem = ""
        for track in self._tracks.values():
            track.finish(ENCODE_TIMEOUT_S)
            problem = track.problem or problem
        return problem

    def release(self) -> None:
        """The bag is closed."""
        for track in self._tracks.values():
            track.release()
        if self._ring is None:
            self.end()

    def end(self) -> None:
        """Let go of the threads; no bag may be open."""
        for track in self._tracks.values():
            track.close()
        self._tracks = {}

    def reached(self) -> list[threading.Event]:
        """Events that are set when all images handed over before now are encoded."""
        return [track.reached() for track in self._tracks.values()]

    def lost(self) -> dict[str, int]:
        """Images that came and are not in the open bag, by the topic that they are kept as."""
        return {track.topic: track.lost for track in self._tracks.values()}

    @property
    def problem(self) -> str:
        """What could not be encoded since the bag began, and why; empty: nothing."""
        return next((track.problem for track in self._tracks.values() if track.problem), "")
