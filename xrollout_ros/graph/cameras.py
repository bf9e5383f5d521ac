"""The pictures that cameras send, for whoever looks: a camera that nobody watches costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from xrollout_ros.core.images import decode_image
from xrollout_ros.episodes.images import decode_compressed
from xrollout_ros.episodes.video import encode_jpeg

_KINDS = {"sensor_msgs/msg/Image": Image, "sensor_msgs/msg/CompressedImage": CompressedImage}
_JPEG = b"\xff\xd8\xff"
QUALITY = 80


@dataclass
class _Watched:
    subscription: Any
    kind: Any
    lookers: int = 0
    message: bytes | None = None
    number: int = 0


class Cameras:
    """Topics with images; any thread that does not spin the node may call.

    Args:
        node: spun by somebody else.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}

    def topics(self) -> tuple[str, ...]:
        """Those that somebody publishes now."""
        return tuple(
            sorted(
                name
                for name, kinds in self._node.get_topic_names_and_types()
                if set(kinds) & set(_KINDS) and self._node.count_publishers(name)
            )
        )

    @contextmanager
    def watching(self, topic: str) -> Iterator[None]:
        """Listen to a topic meanwhile.

        Raises:
            KeyError: nobody publishes images there.
        """
        with self._lock:
            watched = self._watched.get(topic)
            if watched is None:
                kinds = dict(self._node.get_topic_names_and_types())[topic]
                kind = _KINDS[next((name for name in kinds if name in _KINDS), kinds[0])]
                # Raw: most images are never looked at, and turning one into a Python object costs more than to get it.
                subscription = self._node.create_subscription(
                    kind, topic, lambda message: self._take(topic, message), qos_profile_sensor_data, raw=True
                )
                watched = self._watched[topic] = _Watched(subscription, kind)
            watched.lookers += 1
        try:
            yield
        finally:
            with self._lock:
                watched.lookers -= 1
                if not watched.lookers:
                    self._node.destroy_subscription(self._watched.pop(topic).subscription)

    def _take(self, topic: str, message: bytes) -> None:
        watched = self._watched.get(topic)
        if watched is not None:
            watched.message, watched.number = message, watched.number + 1

    def picture(self, topic: str, after: int = 0) -> tuple[bytes, int]:
        """The newest picture of a topic that is watched, as JPEG, and its number.

        Args:
            topic: a topic.
            after: number of the one that is known already.

        Returns:
            Nothing and ``after``, where there is none newer.

        Raises:
            DataError: it cannot be decoded.
        """
        watched = self._watched.get(topic)
        if watched is None or watched.message is None or watched.number == after:
            return b"", after
        number = watched.number
        message = deserialize_message(watched.message, watched.kind)
        if isinstance(message, CompressedImage) and bytes(message.data[:3]) == _JPEG:
            return bytes(message.data), number
        picture = decode_image(message) if isinstance(message, Image) else decode_compressed(message)
        return encode_jpeg(picture, QUALITY), number
