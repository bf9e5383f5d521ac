"""Cameras in bags: raw, JPEG, H.264."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from mcap.reader import make_reader
from rosbags.typesys import get_types_from_msg
from rosbags.typesys.store import Typestore

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.errors import BagError, DataError, SpecError
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.episodes import camera_track, video
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.definitions import load_definition, stamp_offset
from xrollout_ros.episodes.image_cdr import (
    COMPRESSED_IMAGE,
    COMPRESSED_VIDEO,
    VIDEO_DEFINITION,
    compressed_image,
    compressed_video,
    parse_image,
)
from xrollout_ros.episodes.recorded_topic import EncodedCamera, RecordedTopic
from xrollout_ros.episodes.recording import Recording
from xrollout_ros.episodes.video import VideoDecoder, VideoSequence, decode_jpeg, is_keyframe, make_encoder

Image = npt.NDArray[np.uint8]
START_NS = 1_700_000_000 * NS
WIDTH, HEIGHT, COUNT = 96, 64, 40


def picture(number: int) -> Image:
    """A smooth scene that moves, (H, W, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [np.sin((x + 2 * number) / 15 + phase) * np.cos(y / 11) for phase in (0, 1, 2)]
    return np.ascontiguousarray((127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8))


def psnr(first: Image, second: Image) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def message(bags: Any, pixels: Image, stamp_ns: int, encoding: str = "rgb8", pad: int = 0, frame: str = "cam") -> bytes:
    rows = pixels.reshape(pixels.shape[0], -1)
    padded = np.pad(rows, ((0, 0), (0, pad)))
    return bytes(
        bags.messages.cdr(
            "sensor_msgs/msg/Image",
            header={"stamp": {"sec": stamp_ns // NS, "nanosec": stamp_ns % NS}, "frame_id": frame},
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            step=padded.shape[1],
            data=padded.reshape(-1),
        )
    )


def camera(record: str, **values: Any) -> CameraSpec:
    known = {"name": "front", "topic": "/cam/image_raw", "width": WIDTH, "height": HEIGHT, "rate_hz": 10.0}
    return CameraSpec.model_validate({**known, "record": record, **values})


@pytest.mark.parametrize("frame", ["", "a", "ab", "abc", "abcd", "camera_optical_frame"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5])
def test_messages_are_written_as_ros_writes_them(bags: Any, frame: str, length: int) -> None:
    store: Typestore = bags.messages.store
    if COMPRESSED_VIDEO not in store.types:
        store.register(get_types_from_msg(VIDEO_DEFINITION.text.partition("=")[0], COMPRESSED_VIDEO))
    assert store.hash_rihs01(COMPRESSED_VIDEO) == VIDEO_DEFINITION.type_hash
    image = parse_image(message(bags, picture(0), START_NS + 7, frame=frame))
    assert (image.stamp_ns, image.frame_id.decode()) == (START_NS + 7, frame)
    data = np.arange(length, dtype=np.uint8)
    time = {"sec": image.sec, "nanosec": image.nanosec}
    expected = bags.messages.cdr(COMPRESSED_VIDEO, timestamp=time, frame_id=frame, data=data, format="h264")
    assert compressed_video(image, data.tobytes()) == expected
    again = store.deserialize_cdr(compressed_video(image, data.tobytes()), COMPRESSED_VIDEO)
    assert (again.frame_id, bytes(again.data), again.format) == (frame, data.tobytes(), "h264")
    found = store.deserialize_cdr(compressed_image(image, data.tobytes()), COMPRESSED_IMAGE)
    assert (found.header.frame_id, bytes(found.data), found.format) == (frame, data.tobytes(), "jpeg")
    assert (found.header.stamp.sec, found.header.stamp.nanosec) == (image.sec, image.nanosec)


def test_damaged_images_are_refused(bags: Any) -> None:
    whole = message(bags, picture(0), START_NS)
    for cut in (0, 1, 5, 20, 60, len(whole) // 2):
        with pytest.raises(DataError, match=r"no sensor_msgs/Image"):
            parse_image(whole[:cut])
    with pytest.raises(DataError, match="big-endian"):
        parse_image(b"\0\0" + whole[2:])


@pytest.mark.parametrize("record", ["jpeg", "h264"])
@pytest.mark.parametrize(("encoding", "pad"), [("rgb8", 0), ("bgr8", 5), ("rgba8", 0), ("bgra8", 3), ("mono8", 7)])
def test_every_encoding_comes_back_as_rgb(bags: Any, record: str, encoding: str, pad: int) -> None:
    rgb = picture(3)
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    sent = {
        "rgb8": rgb,
        "bgr8": rgb[..., ::-1],
        "rgba8": np.concatenate([rgb, alpha], axis=-1),
        "bgra8": np.concatenate([rgb[..., ::-1], alpha], axis=-1),
        "mono8": rgb[..., 0],
    }[encoding]
    expected = np.repeat(rgb[..., :1], 3, axis=-1) if encoding == "mono8" else rgb
    image = parse_image(message(bags, np.ascontiguousarray(sent), START_NS, encoding, pad))
    data = make_encoder(camera(record)).encode(image)
    found = decode_jpeg(data) if record == "jpeg" else VideoDecoder().decode(data)
    assert found.shape == (HEIGHT, WIDTH, 3) and found.dtype == np.uint8
    assert psnr(found, expected) > 30


def encode_all(bags: Any, encoder: Any, numbers: list[int]) -> list[bytes]:
    return [encoder.encode(parse_image(message(bags, picture(number), number))) for number in numbers]


def test_video_begins_with_a_keyframe_and_has_one_each_second(bags: Any) -> None:
    packets = encode_all(bags, make_encoder(camera("h264", keyframe_s=1.0)), list(range(COUNT)))
    assert [number for number, data in enumerate(packets) if is_keyframe(data)] == [0, 10, 20, 30]
    assert all(data.startswith((b"\0\0\0\1", b"\0\0\1")) for data in packets)
    assert packets[0][4] & 0x1F == 7  # the parameter sets come with it
    assert b"\0\0\1\x01" not in b"".join(packets)  # no picture that none refers to: no B-frames


def test_any_picture_is_found_in_any_order(bags: Any) -> None:
    packets = encode_all(bags, make_encoder(camera("h264")), list(range(COUNT)))
    read: list[int] = []

    def packet(number: int) -> bytes:
        read.append(number)
        return packets[number]

    sequence = VideoSequence(packet, COUNT)
    for number in (0, 1, 25, 24, 39, 3, -1, 12, 12):
        assert psnr(sequence[number], picture(number % COUNT)) > 30
    with pytest.raises(IndexError):
        sequence[COUNT]
    read.clear()
    assert len(list(VideoSequence(packet, COUNT))) == len(sequence) == COUNT
    assert len(read) < 3 * COUNT  # one after the other, none is decoded twice


def test_a_video_cut_at_its_beginning_says_so(bags: Any) -> None:
    packets = encode_all(bags, make_encoder(camera("h264")), list(range(15)))
    with pytest.raises(DataError, match="keyframe"):
        VideoDecoder().decode(packets[3])
    with pytest.raises(DataError):
        VideoDecoder().decode(packets[0][:30])
    with pytest.raises(DataError, match="no whole JPEG"):
        decode_jpeg(b"nonsense")


def test_after_a_lost_packet_or_another_size_a_keyframe_follows(bags: Any) -> None:
    encoder = make_encoder(camera("h264"))
    encode_all(bags, encoder, [0, 1, 2])
    encoder.restart()
    [data, following] = encode_all(bags, encoder, [3, 4])
    assert is_keyframe(data) and not is_keyframe(following)
    smaller = np.ascontiguousarray(picture(5)[:32, :48])
    data = encoder.encode(parse_image(message(bags, smaller, 5)))
    assert is_keyframe(data)
    assert VideoDecoder().decode(data).shape == (32, 48, 3)
    odd = np.ascontiguousarray(picture(5)[:31])
    with pytest.raises(DataError, match="must be even"):
        encoder.encode(parse_image(message(bags, odd, 5)))


def test_specs_are_checked() -> None:
    assert camera("raw").recorded_topic == "/cam/image_raw"
    assert camera("jpeg").recorded_topic == "/cam/image_raw/compressed"
    assert camera("h264").recorded_topic == "/cam/image_raw/h264"
    for values in ({"record": "h264", "width": 95}, {"record": "png"}, {"record": "jpeg", "quality": 0}):
        with pytest.raises(ValueError, match=r"even|raw|1"):
            camera(**{"record": "raw", **values})


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, bags: Any) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(video.importlib, "import_module", absent)
    for record, name in (("jpeg", "simplejpeg"), ("h264", "av")):
        with pytest.raises(BagError, match=f"pip install {name}"):
            make_encoder(camera(record))


class Cameras:
    """A recording of one camera and one plain topic."""

    def __init__(self, bags: Any, spec: CameraSpec) -> None:
        self.bags = bags
        for name in ("sensor_msgs/msg/Image", COMPRESSED_IMAGE):
            bags.messages.install(name)
        self.image = load_definition("sensor_msgs/msg/Image", [bags.messages.prefix])
        kept = load_definition(COMPRESSED_IMAGE, [bags.messages.prefix])
        definition = VIDEO_DEFINITION if spec.record.value == "h264" else kept
        encoded = None if spec.record.value == "raw" else EncodedCamera(spec, spec.recorded_topic, definition)
        topic = RecordedTopic(
            spec.topic, self.image, False, False, 5, one_writer=True, stamp_offset=stamp_offset(self.image)
        )
        topic.encoded = encoded
        robot = RobotSpec.model_validate({**bags.robot.model_dump(), "cameras": [spec.model_dump()]})
        self.recording = Recording(bags.data, robot, bags.task, SystemClock(), stepped=False, topics=[topic])
        self.spec = spec
        self.meta = bags.meta()
        self.recording.open(self.meta, START_NS)

    def send(self, number: int, **options: Any) -> None:
        stamp_ns = START_NS + number * NS // 10
        pixels = options.pop("pixels", picture(number))
        cdr = message(self.bags, pixels, stamp_ns, **options)
        # Taken 3 ms after the shutter.
        self.recording.receive(self.spec.topic, cdr, number + 1, stamp_ns + 3_000_000)


@pytest.mark.parametrize("record", ["raw", "jpeg", "h264"])
def test_stamps_of_a_bag_are_the_cameras(bags: Any, record: str) -> None:
    cameras = Cameras(bags, camera(record))
    numbers = [number for number in range(COUNT) if number not in (11, 12, 25)]  # lost on the way here
    for number in numbers:
        cameras.send(number)
    summary = cameras.recording.close(cameras.meta)
    topic = cameras.spec.recorded_topic
    assert verify(summary.path).topics == {topic: len(numbers)}
    assert summary.topics[topic].lost == 3
    assert summary.lost == 3
    found = list(open_bag(summary.path).messages({topic}))
    stamps = [item.message.timestamp if record == "h264" else item.message.header.stamp for item in found]
    assert [stamp.sec * NS + stamp.nanosec for stamp in stamps] == [START_NS + n * NS // 10 for n in numbers]
    assert [item.log_time_ns for item in found] == [START_NS + n * NS // 10 + 3_000_000 for n in numbers]
    if record == "raw":
        return
    packets = [bytes(item.message.data) for item in found]
    pictures = (
        [decode_jpeg(data) for data in packets]
        if record == "jpeg"
        else list(VideoSequence(packets.__getitem__, len(packets)))
    )
    assert min(psnr(seen, picture(number)) for seen, number in zip(pictures, numbers, strict=True)) > 30
    if record == "h264":
        assert is_keyframe(packets[0])


@pytest.mark.parametrize(("record", "compression"), [("raw", ""), ("jpeg", "zstd")])
def test_raw_images_are_not_compressed(bags: Any, record: str, compression: str) -> None:
    cameras = Cameras(bags, camera(record))
    for number in range(COUNT):
        cameras.send(number)
    path = cameras.recording.close(cameras.meta).path
    with open_bag(path).file.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    assert {chunk.compression for chunk in summary.chunk_indexes} == {compression}


def test_each_bag_begins_with_a_keyframe(bags: Any) -> None:
    cameras = Cameras(bags, camera("h264", keyframe_s=100.0))
    for _ in range(2):
        for number in range(5):
            cameras.send(number)
        path = cameras.recording.close(cameras.meta).path
        data = [bytes(item.message.data) for item in open_bag(path).messages({cameras.spec.recorded_topic})]
        assert [is_keyframe(each) for each in data] == [True, False, False, False, False]
        cameras.meta = bags.meta()
        cameras.recording.open(cameras.meta, START_NS)
    cameras.recording.close(cameras.meta)


@pytest.mark.parametrize("record", ["jpeg", "h264"])
def test_what_cannot_be_encoded_is_recorded_raw(bags: Any, record: str) -> None:
    cameras = Cameras(bags, camera(record))
    depth = np.zeros((HEIGHT, 2 * WIDTH), np.uint8)
    cameras.recording.receive(
        "/cam/image_raw",
        message(bags, depth.reshape(HEIGHT, WIDTH, 2), START_NS, "16UC1"),
        1,
        START_NS,
    )
    cameras.send(1)
    summary = cameras.recording.close(cameras.meta)
    assert verify(summary.path).topics == {"/cam/image_raw": 1, cameras.spec.recorded_topic: 1}
    assert "cannot be encoded" in cameras.recording.failure


def test_broken_images_are_counted(bags: Any) -> None:
    cameras = Cameras(bags, camera("h264"))
    cameras.send(0)
    cameras.send(1, pixels=np.ascontiguousarray(picture(1)[..., 0]))  # says rgb8, and has a third of the bytes
    cameras.send(2)
    summary = cameras.recording.close(cameras.meta)
    topic = cameras.spec.recorded_topic
    assert (summary.topics[topic].received, summary.topics[topic].lost) == (2, 1)
    packets = [bytes(item.message.data) for item in open_bag(summary.path).messages({topic})]
    assert [is_keyframe(data) for data in packets] == [True, True]


def test_a_slow_encoder_drops_and_counts(bags: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    encode = video.JpegEncoder.encode

    def slow(self: Any, image: Any) -> bytes:
        go.wait(20)
        return encode(self, image)

    monkeypatch.setattr(video.JpegEncoder, "encode", slow)
    monkeypatch.setattr(camera_track, "_LEAST_QUEUE_BYTES", 200_000)
    cameras = Cameras(bags, camera("jpeg"))
    topic = cameras.spec.recorded_topic
    for number in range(60):
        cameras.send(number)
    assert cameras.recording.counts()[topic].lost > 30
    go.set()
    summary = cameras.recording.close(cameras.meta)
    count = summary.topics[topic]
    assert count.received + count.lost == 60
    found = list(open_bag(summary.path).messages({topic}))
    assert len(found) == count.received
    for item in found:
        stamp = item.message.header.stamp
        number = round((stamp.sec * NS + stamp.nanosec - START_NS) / (NS // 10))
        assert psnr(decode_jpeg(bytes(item.message.data)), picture(number)) > 30


def test_unknown_keys_of_a_camera_are_refused() -> None:
    with pytest.raises((SpecError, ValueError), match="bitrate"):
        camera("h264", bitrate=5)
