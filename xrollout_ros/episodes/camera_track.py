"""Encodes one camera's images on their way into a bag, off the callbacks' thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from xrollout_ros.core.sensing import CameraRecord, CameraSpec
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.byte_queue import ByteQueue
from xrollout_ros.episodes.image_cdr import compressed_image, compressed_video, parse_image
from xrollout_ros.episodes.video import can_encode, make_encoder

_LEAST_QUEUE_BYTES = 32 << 20
_QUEUED_IMAGES = 6
_LAST_IMAGE_S = 1.0
"""For the image in hand, after all others were given up."""


@dataclass(frozen=True)
class _Image:
    cdr: bytes
    log_time_ns: int


@dataclass(frozen=True)
class _End:
    pass


class CameraTrack:
    """Belongs to one bag, so its video begins with a keyframe.

    Images wait in a queue bounded in bytes; what finds no room is dropped and counted. Each encoded image carries the
    stamp of its own original, so a dropped one misaligns nothing. What cannot be encoded goes into the bag raw.
    """

    def __init__(self, camera: CameraSpec, raw_topic: str, topic: str, writer: BagWriter) -> None:
        """Begin.

        Args:
            camera: says how to encode.
            raw_topic: full name of the topic that the images come from.
            topic: full name of the topic that they are kept as; both are known to ``writer``.
            writer: takes the encoded images.

        Raises:
            BagError: the library that it takes is not installed.
        """
        self.raw_topic, self.topic = raw_topic, topic
        self.problem = ""
        """What could not be encoded, and why; empty: nothing."""
        self._encoder = make_encoder(camera)
        self._pack = compressed_image if camera.record is CameraRecord.JPEG else compressed_video
        self._writer = writer
        images = _QUEUED_IMAGES * camera.width * camera.height * 3
        self._queue: ByteQueue[_Image | _End] = ByteQueue(max(_LEAST_QUEUE_BYTES, images))
        self._dropped = 0
        self._failed = 0
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Images that came and are not in the bag, beside those that the writer has counted."""
        return self._dropped + self._failed

    def put(self, cdr: bytes, log_time_ns: int) -> bool:
        """Hand over an image; at once. False when it was dropped and counted."""
        if self._queue.put(_Image(cdr, log_time_ns), len(cdr)):
            return True
        self._dropped += 1
        return False

    def finish(self, timeout_s: float) -> None:
        """Encode what waits, and end; what is not done in time is counted as lost."""
        self._queue.put_control(_End())
        self._queue.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.problem = f"{self.topic}: not all images were encoded within {timeout_s:g} s"
            self._given_up = True
            self._thread.join(_LAST_IMAGE_S)

    def _run(self) -> None:
        while True:
            for item in self._queue.take(None):
                if isinstance(item, _End):
                    return
                if self._given_up:
                    self._failed += 1
                    continue
                try:
                    self._write(item)
                except Exception as error:  # a library fed with a broken image raises anything; the next may be whole
                    self._failed += 1
                    self._encoder.restart()
                    self.problem = f"{self.topic}: {error}"
                finally:
                    self._queue.release(len(item.cdr))

    def _write(self, item: _Image) -> None:
        image = parse_image(item.cdr)
        if not can_encode(image.encoding):
            self.problem = f"{self.raw_topic} is recorded raw: images of {image.encoding!r} cannot be encoded"
            self._writer.write(self.raw_topic, item.cdr, item.log_time_ns)
            return
        encoded = self._pack(image, self._encoder.encode(image))
        if not self._writer.write(self.topic, encoded, item.log_time_ns):
            self._encoder.restart()
