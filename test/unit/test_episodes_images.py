"""Images by number: decoded when asked for, from few chunks, the right ones."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes import random_access
from xrollout_ros.episodes.bag_reader import Bag, open_bag
from xrollout_ros.episodes.image_cdr import VIDEO_DEFINITION, RawImage, compressed_video
from xrollout_ros.episodes.images import ImageSequence, decode_compressed, image_topics
from xrollout_ros.episodes.random_access import LazyMessages
from xrollout_ros.episodes.video import H264Encoder

from .conftest import QOS

CAMERA = "/camera/image_raw"
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def pixels(number: int) -> Any:
    return np.random.default_rng(number).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def png(array: Any) -> bytes:
    stream = io.BytesIO()
    Pillow.fromarray(array).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def bag(bags: Any, tmp_path: Path) -> Bag:
    """60 images in about four chunks, written in another order than received, among other messages."""
    return record(bags, tmp_path / "bag", np.random.default_rng(0).permutation(60).tolist())


def record(bags: Any, path: Path, order: list[int]) -> Bag:
    meta = bags.meta()
    with bags.open(path, meta) as writer:
        bags.add(writer, CAMERA, IMAGE)
        bags.add(writer, "/compressed", COMPRESSED)
        for number in order:
            header = {"stamp": {"sec": 3, "nanosec": number}}
            data = pixels(number)
            cdr = bags.messages.cdr(
                IMAGE, header=header, height=120, width=160, step=480, encoding="rgb8", data=data.reshape(-1)
            )
            writer.write(CAMERA, cdr, 1000 + number)
            cdr = bags.messages.cdr(
                COMPRESSED, header=header, format="png", data=np.frombuffer(png(data[:8, :8]), np.uint8)
            )
            writer.write("/compressed", cdr, 1000 + number)
            bags.observe(writer, np.zeros(bags.robot.state_dim), NS, 1000 + number)
        writer.close(meta)
    return open_bag(path)


def test_every_image_by_its_number(bag: Bag) -> None:
    raw, compressed = ImageSequence(bag, CAMERA), ImageSequence(bag, "/compressed")
    assert image_topics(bag) == {CAMERA: IMAGE, "/compressed": COMPRESSED}
    assert len(raw) == len(compressed) == 60
    for number in (59, 0, 31, -1, -60):
        np.testing.assert_array_equal(raw[number], pixels(number % 60))
        np.testing.assert_array_equal(compressed[number], pixels(number % 60)[:8, :8])
    np.testing.assert_array_equal(raw.log_time_ns, 1000 + np.arange(60))
    np.testing.assert_array_equal(raw.stamps_ns, 3 * NS + np.arange(60))
    assert [image.sum() for image in raw] == [pixels(number).sum() for number in range(60)]
    for number in (60, -61):
        with pytest.raises(IndexError):
            raw[number]


def test_video_by_number(bags: Any, tmp_path: Path) -> None:
    """Backwards too: the decoder begins again at the keyframe before."""
    pytest.importorskip("av")
    encoder = H264Encoder(rate_hz=10.0, crf=18, keyframe_s=1.0)
    smooth = np.add.outer(np.arange(64), np.arange(96))
    shown = [np.repeat(((smooth + 3 * n) % 200).astype(np.uint8)[..., None], 3, axis=2) for n in range(25)]
    meta = bags.meta()
    with bags.open(tmp_path / "bag", meta) as writer:
        definition = VIDEO_DEFINITION
        writer.add_topic("/video", definition.type_name, definition.text, definition.type_hash, QOS)
        for number, array in enumerate(shown):
            image = RawImage(7, number, b"cam", 64, 96, "rgb8", 288, array.reshape(-1))
            writer.write("/video", compressed_video(image, encoder.encode(image)), number)
        writer.close(meta)
    images = ImageSequence(open_bag(tmp_path / "bag"), "/video")
    assert len(images) == 25
    np.testing.assert_array_equal(images.stamps_ns, 7 * NS + np.arange(25))
    for number in (17, 3, 4, -1, 0):
        assert np.abs(images[number].astype(int) - shown[number]).mean() < 6, number
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(images))[12], images[12])


def test_opening_reads_no_chunk_and_an_image_reads_one(bag: Bag, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    original = random_access.ChunkFile.load

    def load(self: Any, index: Any) -> Any:
        loaded.append(index.chunk_start_offset)
        return original(self, index)

    monkeypatch.setattr(random_access.ChunkFile, "load", load)
    messages = LazyMessages(bag, CAMERA, cache_bytes=1)
    assert len(messages) == 60
    assert loaded == []
    assert messages[7].header.stamp.nanosec == 7
    assert len(loaded) == 1
    assert bytes(messages[7].data) == pixels(7).tobytes()
    assert len(loaded) == 1  # the last one is kept, however small the bound
    assert [message.header.stamp.nanosec for message in messages] == list(range(60))
    assert len(messages._kept) == 1
    everything = LazyMessages(bag, CAMERA)
    assert len(list(everything)) == 60
    before = len(loaded)
    assert len(list(everything)) == 60
    assert len(loaded) == before  # all chunks are still there


def test_a_copy_works_in_another_process(bag: Bag) -> None:
    copy = pickle.loads(pickle.dumps(ImageSequence(bag, CAMERA)))
    np.testing.assert_array_equal(copy[5], pixels(5))


def test_topics_without_images(bag: Bag) -> None:
    with pytest.raises(BagError, match=r"no messages on /camera. Its topics are"):
        ImageSequence(bag, "/camera")
    topic = next(iter({entry.topic for entry in bag.robot.observations}))
    with pytest.raises(BagError, match="no images"):
        ImageSequence(bag, topic)


def test_a_false_index_is_found(bags: Any, tmp_path: Path) -> None:
    """Bytes of a message index changed: refused, or the right image."""
    bag = record(bags, tmp_path / "bag", list(range(60)))
    assert bag.summary is not None
    index = bag.summary.chunk_indexes[0]
    begin = index.chunk_start_offset + index.chunk_length
    whole = bag.file.read_bytes()
    refused = 0
    for place in range(begin, begin + index.message_index_length, 11):
        bag.file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x51]) + whole[place + 1 :])
        try:
            messages = LazyMessages(bag, "/compressed")
            for number in (0, 5, 6, 30):
                assert messages[number].header.stamp.nanosec == number
        except BagError as error:
            assert "damaged" in error.what
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.arange(64, dtype=np.uint8).reshape(8, 8), (8, 8, 1)),
        (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000, (8, 8, 1)),
        (np.zeros((8, 8, 4), np.uint8), (8, 8, 3)),
    ],
)
def test_png_of_every_depth(array: Any, shape: tuple[int, ...]) -> None:
    image = decode_compressed(SimpleNamespace(format="png", data=png(array)))
    assert image.shape == shape
    if array.dtype == np.uint16:
        np.testing.assert_array_equal(image[..., 0], np.round(array / 257.0).astype(np.uint8))


def test_jpeg() -> None:
    stream = io.BytesIO()
    Pillow.new("RGB", (16, 8), (250, 10, 20)).save(stream, "jpeg", quality=95)
    image = decode_compressed(SimpleNamespace(format="rgb8; jpeg compressed bgr8", data=stream.getvalue()))
    assert image.shape == (8, 16, 3)
    np.testing.assert_allclose(image.reshape(-1, 3).mean(axis=0), [250, 10, 20], atol=4)


@pytest.mark.parametrize("data", [b"", b"GIF89a", png(pixels(0))[:2000], b"\xff\xd8\xff\xe0rubbish"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        decode_compressed(SimpleNamespace(format="png", data=data))
