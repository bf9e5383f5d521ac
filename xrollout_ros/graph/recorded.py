"""What the recorder takes, and how: one place for the topics of a bag."""

from __future__ import annotations

from xrollout_ros.core.clock import NS
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import CameraRecord, CameraSpec
from xrollout_ros.episodes.definitions import load_definition, stamp_offset
from xrollout_ros.episodes.image_cdr import COMPRESSED_IMAGE, IMAGE, VIDEO_DEFINITION
from xrollout_ros.episodes.recorded_topic import EncodedCamera, RecordedTopic
from xrollout_ros.graph.encodings import TYPES
from xrollout_ros.graph.topics import OWN, SYSTEM, Topic, resolve

_STAMPED = {
    "chunk", "recovery/chunk", "command", "supervisor/state", "supervisor/event", "teleop/command", "sim/step", "scene",
}  # fmt: skip
"""Own topics whose stamps are of the drive's clock; those of the others are of the wall clock."""
_IMAGE_HISTORY_BYTES = 32 << 20
"""What images may wait in the subscription of one camera."""
_LEAST_IMAGES = 4


def wanted(robot: RobotSpec, *, cameras: bool) -> list[Topic]:
    """What a bag of this robot should hold: the graph's own topics, its sensors, its command, what every robot has."""
    sensors = {entry.topic: Topic(entry.topic, entry.type, "event") for entry in robot.observations}
    if cameras:
        for camera in robot.cameras:
            info = camera_info(camera)
            sensors[camera.topic] = Topic(camera.topic, IMAGE, "stream")
            sensors.setdefault(info.name, info)
    command = Topic(robot.command.topic, TYPES[robot.command.encoding], "command")
    named = {topic.name for topic in (*OWN, *sensors.values())}
    return [*OWN, *sensors.values(), command, *(topic for topic in SYSTEM if topic.name not in named)]


def expected(robot: RobotSpec, *, cameras: bool) -> set[str]:
    """Full names of the topics that somebody must publish before an attempt begins: without them it has a hole."""
    sensors = {entry.topic for entry in robot.observations} | {c.topic for c in robot.cameras if cameras}
    return {resolve(name) for name in (*sensors, robot.command.topic, "command")}


def camera_info(camera: CameraSpec) -> Topic:
    """Where ROS drivers publish a camera's calibration: beside its images."""
    folder, slash, _ = camera.topic.rpartition("/")
    return Topic(f"{folder}{slash}camera_info", "sensor_msgs/msg/CameraInfo", "stream")


def recorded(topic: Topic, robot: RobotSpec, stepped: bool) -> RecordedTopic:
    """How a topic is recorded.

    Raises:
        BagError: its definition is not installed.
    """
    cameras = {camera.topic: camera for camera in robot.cameras}
    rates = {entry.topic: entry.rate_hz for entry in robot.observations}
    sensor = topic.name in rates or topic.name in cameras
    definition, camera = load_definition(topic.type), cameras.get(topic.name)
    rate_hz = rates.get(topic.name) or (camera.rate_hz if camera else None)
    # A stepped simulation keeps its own pace, and there nothing that is a sensor's may be lost anyway.
    period_ns = round(NS / rate_hz) if rate_hz and not stepped else None
    return RecordedTopic(
        resolve(topic.name),
        definition,
        reliable=topic.qos != "stream" and (topic.name not in rates or stepped),
        latched=topic.qos == "latched",
        depth=100,
        one_writer=topic.one_writer,
        period_ns=period_ns,
        stamp_offset=stamp_offset(definition) if sensor or topic.name in _STAMPED else None,
        encoded=encoded_camera(camera),
    )


def history(topic: RecordedTopic, robot: RobotSpec) -> int | None:
    """How many messages may wait in a subscription; None: as its QoS has it."""
    for camera in robot.cameras:
        if resolve(camera.topic) == topic.name:
            return max(_LEAST_IMAGES, _IMAGE_HISTORY_BYTES // (3 * camera.width * camera.height))
    return None


def encoded_camera(camera: CameraSpec | None) -> EncodedCamera | None:
    """How a camera's images are encoded on their way into the bag; None: they are not.

    Raises:
        BagError: the definition of what is kept is not installed.
    """
    if camera is None or camera.record is CameraRecord.RAW:
        return None
    definition = VIDEO_DEFINITION if camera.record is CameraRecord.H264 else load_definition(COMPRESSED_IMAGE)
    return EncodedCamera(camera, resolve(camera.recorded_topic), definition)
