"""The image that was there at each row of an episode, at the size that training sees, and what is wrong with them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.episodes.images import ImageSequence, image_topics
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.learning.runs import runs
from xrollout_ros.learning.shards.facts import CameraFacts
from xrollout_ros.runtime.image_processors import resize

Images = npt.NDArray[np.uint8]
BLANK = 4.0
"""Deviation of an image's values, of 255, below which it shows nothing: a covered or dead camera."""


class NoImagesError(BagError):
    """A camera whose images are wanted was not recorded."""


def images_at_rows(episode: EpisodeData, camera: CameraSpec, size: tuple[int, int]) -> tuple[Images, CameraFacts]:
    """The newest image at or before each row ``(T, H, W, 3)``, black before the first one; and what is wrong with them.

    Each image is decoded once, however many rows show it.

    Args:
        episode: from its bag.
        camera: of its robot.
        size: height and width of what is kept.

    Raises:
        NoImagesError: the camera was not recorded.
        BagError: it is damaged.
        DataError: an image is encoded in a way not known.
    """
    recorded = image_topics(episode.bag)
    topic = next((each for each in (camera.recorded_topic, camera.topic) if each in recorded), None)
    if topic is None:
        raise NoImagesError(
            f"camera {camera.name!r} was not recorded in {episode.path}",
            f"Its topics with images: {', '.join(recorded) or 'none'}. Leave --cameras out, or record it.",
        )
    sequence = ImageSequence(episode.bag, topic)
    stamps_ns = sequence.stamps_ns
    order = np.argsort(stamps_ns, kind="stable")
    rows_ns = episode.start_ns + np.rint(episode.stamp_s * NS).astype(np.int64)
    place = np.searchsorted(stamps_ns[order], rows_ns, side="right") - 1
    found = np.zeros((len(episode), *size, 3), dtype=np.uint8)
    for begin, end in _same(place):
        if place[begin] >= 0:
            image = resize(sequence[int(order[place[begin]])], size[1], size[0])
            found[begin:end] = image if image.shape[2] == 3 else np.repeat(image[..., :1], 3, axis=2)
    return found, _facts(found, place, episode.stamp_s, stamps_ns[order])


def _same(place: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Stretches of rows that show the same image."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(place)) + 1, [len(place)]))
    return [(int(begin), int(end)) for begin, end in pairwise(edges)]


def _facts(
    images: Images, place: npt.NDArray[np.int64], stamp_s: npt.NDArray[np.float64], stamps_ns: npt.NDArray[np.int64]
) -> CameraFacts:
    first = int(np.argmax(place >= 0)) if (place >= 0).any() else len(place)
    begins = [begin for begin, _ in _same(place) if place[begin] >= 0]
    alike = np.zeros(len(place), dtype=bool)
    alike[1:] = (images[1:] == images[:-1]).reshape(len(images) - 1, -1).all(axis=1) & (place[:-1] >= 0)
    frozen = max((float(stamp_s[end - 1] - stamp_s[begin - 1]) for begin, end in runs(alike)), default=0.0)
    blank = [bool(images[row].std() < BLANK) for row in begins]
    shown = np.unique(place[place >= 0])
    gaps = np.diff(stamps_ns[shown[0] : shown[-1] + 1]) if len(shown) else np.zeros(0)
    return CameraFacts(
        images=len(begins),
        from_row=first,
        gap_s=float(gaps.max()) / NS if len(gaps) else 0.0,
        frozen_s=frozen,
        blank_share=float(np.mean(blank)) if blank else 1.0,
    )
