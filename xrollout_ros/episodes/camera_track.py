"""Encodes one camera's images on their way into the ring and into a bag, off the callbacks' thread."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from xrollout_ros.core.sensing import CameraRecord, CameraSpec
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.byte_queue import ByteQueue
from xrollout_ros.episodes.image_cdr import compressed_image, compressed_video, parse_image
from xrollout_ros.episodes.ring import Ring
from xrollout_ros.episodes.video import can_encode, is_keyframe, make_encoder

_LEAST_QUEUE_BYTES = 32 << 20
_QUEUED_IMAGES = 6
_LAST_IMAGE_S = 1.0
"""For the image in hand, after all others were given up."""


@dataclass
class _Take:
    """The images of one bag."""

    writer: BagWriter
    dropped: int = 0
    """Belongs to the caller's thread."""
    failed: int = 0
    """Belongs to the track's thread."""
    given_up: bool = False

    @property
    def lost(self) -> int:
        return self.dropped + self.failed


@dataclass(frozen=True)
class _Image:
    cdr: bytes
    log_time_ns: int
    take: _Take | None


@dataclass(frozen=True)
class _Reached:
    event: threading.Event


@dataclass(frozen=True)
class _End:
    pass


class CameraTrack:
    """Lives as long as the recorder; each bag's video begins with a keyframe.

    Images wait in a queue bounded in bytes; what finds no room is dropped and counted. Each encoded image carries the
    stamp of its own original, so a dropped one misaligns nothing. What cannot be encoded is kept raw.
    """

    def __init__(self, camera: CameraSpec, raw_topic: str, topic: str, ring: Ring | None) -> None:
        """Begin.

        Args:
            camera: says how to encode.
            raw_topic: full name of the topic that the images come from.
            topic: full name of the topic that they are kept as.
            ring: gets every encoded image; none: only bags do, and between them nothing is encoded.

        Raises:
            BagError: the library that it takes is not installed.
        """
        self.raw_topic, self.topic = raw_topic, topic
        self.problem = ""
        """What could not be encoded since the bag began, and why; empty: nothing."""
        self._encoder = make_encoder(camera)
        self._video = camera.record is CameraRecord.H264
        self._pack = compressed_video if self._video else compressed_image
        self._ring = ring
        images = _QUEUED_IMAGES * camera.width * camera.height * 3
        self._queue: ByteQueue[_Image | _Reached | _End] = ByteQueue(max(_LEAST_QUEUE_BYTES, images))
        self._take: _Take | None = None
        self._encoded_for: _Take | None = None
        self._thread = threading.Thread(target=self._run, name=f"camera {camera.name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Images that came and are not in the open bag, beside those that its writer has counted."""
        return self._take.lost if self._take is not None else 0

    def begin(self, writer: BagWriter) -> None:
        """Images that come from now on go into this bag too; both topics are known to it."""
        self._take, self.problem = _Take(writer), ""

    def put(self, cdr: bytes, log_time_ns: int) -> bool:
        """Hand over an image; at once. False when it was dropped and counted."""
        take = self._take
        if take is None and self._ring is None:
            return True
        if self._queue.put(_Image(cdr, log_time_ns, take), len(cdr)):
            return True
        if take is not None:
            take.dropped += 1
        return False

    def reached(self) -> threading.Event:
        """Set when all images handed over before now are encoded."""
        event = threading.Event()
        if not self._queue.put_control(_Reached(event)):
            event.set()
        return event

    def finish(self, timeout_s: float) -> None:
        """Encode what waits for the bag; what is not done in time is counted as lost."""
        take = self._take
        if take is None:
            return
        done = self.reached()
        if not done.wait(timeout_s):
            self.problem = f"{self.topic}: not all images were encoded within {timeout_s:g} s"
            take.given_up = True
            done.wait(_LAST_IMAGE_S)

    def release(self) -> None:
        """The bag is closed, and :attr:`lost` of no matter any more."""
        self._take = None

    def close(self) -> None:
        """End; what waits is given up."""
        self._queue.put_control(_End())
        self._queue.close()

    def _run(self) -> None:
        while True:
            for item in self._queue.take(None):
                if isinstance(item, _End):
                    return
                if isinstance(item, _Reached):
                    item.event.set()
                    continue
                try:
                    self._encode(item)
                finally:
                    self._queue.release(len(item.cdr))

    def _encode(self, item: _Image) -> None:
        take = item.take
        if take is not None and take.given_up:
            take.failed += 1
            return
        if take is not self._encoded_for:
            self._encoder.restart()
            self._encoded_for = take
        try:
            self._write(item)
        except Exception as error:  # a library fed with a broken image raises anything; the next may be whole
            if take is not None:
                take.failed += 1
            self._encoder.restart()
            self.problem = f"{self.topic}: {error}"

    def _write(self, item: _Image) -> None:
        image = parse_image(item.cdr)
        if not can_encode(image.encoding):
            self.problem = f"{self.raw_topic} is recorded raw: images of {image.encoding!r} cannot be encoded"
            self._keep(item, self.raw_topic, item.cdr, True)
            return
        encoded = self._encoder.encode(image)
        keyframe = not self._video or is_keyframe(encoded)
        self._keep(item, self.topic, self._pack(image, encoded), keyframe)

    def _keep(self, item: _Image, topic: str, cdr: bytes, keyframe: bool) -> None:
        if self._ring is not None:
            self._ring.add(topic, cdr, item.log_time_ns, keyframe=keyframe)
        if item.take is not None and not item.take.writer.write(topic, cdr, item.log_time_ns):
            self._encoder.restart()
