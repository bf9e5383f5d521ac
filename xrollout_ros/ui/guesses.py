"""Guesses a RobotSpec from what a running graph looked like: pure data in, pure data out."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.urdf import UrdfJoint, read_joints
from xrollout_ros.runtime.survey import GraphSurvey, TopicSurvey, is_onlooker
from xrollout_ros.ui.robot_guess import (
    ActionGuess,
    CameraGuess,
    CommandGuess,
    Guess,
    ObservationGuess,
    RobotGuess,
    spec_name,
)

JOINT_STATE = "sensor_msgs/msg/JointState"
_FIELDS: dict[str, tuple[tuple[str, str, int, str], ...]] = {
    "geometry_msgs/msg/PointStamped": (("position", "point", 3, "m"),),
    "geometry_msgs/msg/PoseStamped": (
        ("position", "pose.position", 3, "m"),
        ("orientation", "pose.orientation", 4, "1"),
    ),
    "geometry_msgs/msg/TwistStamped": (
        ("linear", "twist.linear", 3, "m/s"),
        ("angular", "twist.angular", 3, "rad/s"),
    ),
    "geometry_msgs/msg/WrenchStamped": (("force", "wrench.force", 3, "N"), ("torque", "wrench.torque", 3, "N m")),
    "nav_msgs/msg/Odometry": (
        ("position", "pose.pose.position", 3, "m"),
        ("orientation", "pose.pose.orientation", 4, "1"),
        ("linear", "twist.twist.linear", 3, "m/s"),
        ("angular", "twist.twist.angular", 3, "rad/s"),
    ),
    "sensor_msgs/msg/Imu": (
        ("orientation", "orientation", 4, "1"),
        ("angular_velocity", "angular_velocity", 3, "rad/s"),
        ("acceleration", "linear_acceleration", 3, "m/s^2"),
    ),
}
"""Fields that make sense as observations: suffix of the name, path, number of values, unit."""
COMMANDS = {
    "trajectory_msgs/msg/JointTrajectory": "joint_trajectory",
    "std_msgs/msg/Float64MultiArray": "float64_multi_array",
    "sensor_msgs/msg/JointState": "joint_state",
    "geometry_msgs/msg/TwistStamped": "twist_stamped",
    "geometry_msgs/msg/Twist": "twist",
}
"""Message types that a robot is commanded by, the likelier ones first, and the RobotSpec's word for each."""
IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
_RATES_HZ = (50, 40, 30, 25, 20, 15, 10, 5, 2, 1)
_MOST_CONTROL_HZ = 100
_NEARBY = 0.1
"""Half the range about the measured value where nothing says what the limits are: too little to do harm."""
_SPEED = {"rad": 0.5, "m": 0.1}
"""Largest rates where nothing says what they are, units/s."""


def guess(survey: GraphSurvey) -> RobotGuess:
    """What the RobotSpec of the robot that was heard may look like.

    Raises:
        SpecError: no topic of the graph carries anything that a policy could observe.
    """
    joints, remarks = _joints(survey)
    commands = _commands(survey)
    taken = {str(each.topic.value) for each in commands}
    observations = _observations(survey, taken, joints)
    if not any(entry.wanted for entry in observations):
        types = sorted({f"{topic.name} ({', '.join(topic.types)})" for topic in survey.topics.values()})
        raise SpecError(
            f"none of the {len(types)} topics heard carries a state that can be observed: {', '.join(types[:8])}",
            f"Known are JointState and {', '.join(kind.rsplit('/', 1)[1] for kind in _FIELDS)}: start the driver that "
            "publishes one, or write the RobotSpec by hand (docs/specs.md).",
        )
    cameras = _cameras(survey)
    wanted = [entry.rate_hz for entry in observations if entry.wanted]
    slowest = min([*wanted, *(camera.rate_hz for camera in cameras if camera.wanted)])
    policy_hz = next((rate for rate in _RATES_HZ if rate <= slowest * 1.05), 1)
    control_hz = policy_hz * max(1, int(min(max(wanted), _MOST_CONTROL_HZ) / policy_hz))
    state = _joint_state(observations)
    command = commands[0] if commands else CommandGuess(Guess("/fill_in/command", fill_in=True), "float64_multi_array")
    actions = (
        _twist_actions() if command.encoding.startswith("twist") else _joint_actions(survey, state, joints, command)
    )
    renamed = _renamed(state)
    if renamed and command.encoding in ("joint_trajectory", "joint_state"):
        remarks.append(
            f"joint {', '.join(renamed)}: actions are named by lower-case letters, digits and _, and the driver would "
            "be told those names"
        )
    if not commands:
        remarks.append("no topic was found on which a driver listens for commands")
    return RobotGuess(
        survey.domain, survey.duration_s, control_hz, policy_hz, observations, cameras, actions, command,
        tuple(commands[1:]), tuple(remarks),
    )  # fmt: skip


def _joints(survey: GraphSurvey) -> tuple[Mapping[str, UrdfJoint], list[str]]:
    if not survey.robot_description:
        return {}, ["nothing was heard on /robot_description, so limits are not known"]
    try:
        return read_joints(survey.robot_description), []
    except SpecError as problem:
        return {}, [problem.what]


def _commands(survey: GraphSurvey) -> list[CommandGuess]:
    """Topics that a driver listens to, the likeliest first."""
    found: list[tuple[int, CommandGuess]] = []
    for topic in survey.topics.values():
        listeners = [end for end in topic.subscribers if not is_onlooker(end.node)]
        kinds = {end.type for end in listeners}
        if len(kinds) != 1 or (kind := kinds.pop()) not in COMMANDS:
            continue
        # Joint states are published to be read; what nobody publishes waits for somebody to command.
        if kind == JOINT_STATE and topic.publishers:
            continue
        names = tuple(sorted({end.node for end in listeners}))
        rank = 2 * list(COMMANDS).index(kind) + bool(topic.publishers)
        found.append((rank, CommandGuess(Guess(topic.name), COMMANDS[kind], names)))
    return [each for _, each in sorted(found, key=lambda item: (item[0], str(item[1].topic.value)))]


def _observations(
    survey: GraphSurvey, taken: set[str], joints: Mapping[str, UrdfJoint]
) -> tuple[ObservationGuess, ...]:
    found: list[ObservationGuess] = []
    for topic in sorted(survey.topics.values(), key=lambda each: (each.types != (JOINT_STATE,), each.name)):
        if topic.heard is None or not topic.publishers or topic.name in taken or topic.name.startswith("/xrollout/"):
            continue
        kind, rate_hz = topic.publishers[0].type, _rounded(topic.heard.rate_hz)
        if rate_hz <= 0:
            continue
        age = _max_age(topic, rate_hz)
        stem = spec_name(topic.name)
        if kind == JOINT_STATE:
            names = tuple(topic.heard.sample.name)
            unit = "m" if names and all(name in joints and joints[name].unit == "m" for name in names) else "rad"
            for part, unit_of in (("position", unit), ("velocity", f"{unit}/s"), ("effort", "N m")):
                if names and len(getattr(topic.heard.sample, part)) == len(names):
                    found.append(
                        ObservationGuess(
                            _free(spec_name(f"{stem}_{part}"), found), topic.name, kind, part, names, len(names),
                            unit_of, rate_hz, age, part == "position",
                        )
                    )  # fmt: skip
        for suffix, path, size, unit in _FIELDS.get(kind, ()):
            name = _free(spec_name(f"{stem}_{suffix}"), found)
            found.append(ObservationGuess(name, topic.name, kind, path, (), size, unit, rate_hz, age))
    return tuple(found)


def _free(name: str, taken: Sequence[ObservationGuess | CameraGuess]) -> str:
    known = {entry.name for entry in taken}
    return next(each for each in (name, *(f"{name}_{n}" for n in range(2, 1000))) if each not in known)


def _rounded(rate_hz: float) -> float:
    """A measured rate as somebody would have set it: whole, in fives above 20."""
    if rate_hz < 1:
        return round(rate_hz, 2)
    return float(round(rate_hz)) if rate_hz < 20 else 5.0 * round(rate_hz / 5)


def _max_age(topic: TopicSurvey, rate_hz: float) -> Guess:
    least = round(max(0.1, 3 / rate_hz), 3)
    stamps = topic.heard.stamps if topic.heard is not None else None
    if stamps is None:
        return Guess(least, "no header stamp: the time of receipt counts")
    if stamps.zero:
        return Guess(least, "its stamps are zero: mend the driver, without stamps nothing can be paired", fill_in=True)
    note = f"stamps were {stamps.age_s * 1e3:.0f} ms old at receipt"
    if stamps.age_s > least or stamps.age_s < -0.02:
        return Guess(least, f"{note}: set the clocks (chrony, PTP)", fill_in=True)
    return Guess(least, note)


def _cameras(survey: GraphSurvey) -> tuple[CameraGuess, ...]:
    found: list[CameraGuess] = []
    for topic in sorted(survey.topics.values(), key=lambda each: each.name):
        kind = topic.publishers[0].type if topic.publishers else ""
        if topic.heard is None or kind not in (IMAGE, COMPRESSED):
            continue
        sample, rate_hz = topic.heard.sample, _rounded(topic.heard.rate_hz)
        size = (sample.width, sample.height) if kind == IMAGE else _compressed_size(bytes(sample.data))
        if rate_hz <= 0 or size is None:
            continue
        parts = [part for part in topic.name.split("/") if part]
        name = _free(spec_name("_".join(parts[:-1]) or "camera"), found)
        info = survey.topic(f"{topic.name.rsplit('/', 1)[0]}/camera_info").heard
        calibrated = info is not None and any(info.sample.k)
        notes = ["calibrated" if calibrated else "not calibrated (camera_info)"]
        wanted = True
        if kind == COMPRESSED:
            wanted = False
            notes = [sample.format, f"as {COMPRESSED}, beside the {IMAGE} that a camera's topic must be"]
        else:
            notes.insert(0, sample.encoding)
            if sample.encoding.startswith(("16UC1", "32FC1", "mono16")):
                wanted = False
                notes.append("depth is not observed")
        width, height = size
        found.append(CameraGuess(name, topic.name, width, height, rate_hz, ", ".join(notes), wanted))
    return tuple(found)


def _compressed_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG or PNG; None: it is neither. Only the header is read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError):
        return None


def _joint_state(observations: Sequence[ObservationGuess]) -> ObservationGuess | None:
    """Joint positions, of the topic with the most joints."""
    states = [entry for entry in observations if entry.type == JOINT_STATE and entry.field == "position"]
    return max(states, key=lambda entry: entry.size, default=None)


def _twist_actions() -> tuple[ActionGuess, ...]:
    return tuple(
        ActionGuess(
            name, Guess("velocity"), unit, Guess(-limit, fill_in=True), Guess(limit, fill_in=True),
            Guess(rate, fill_in=True), "zero", None,
        )
        for name, unit, limit, rate in (("linear_x", "m/s", 0.2, 0.5), ("angular_z", "rad/s", 0.5, 1.0))
    )  # fmt: skip


def _joint_actions(
    survey: GraphSurvey, state: ObservationGuess | None, joints: Mapping[str, UrdfJoint], command: CommandGuess
) -> tuple[ActionGuess, ...]:
    if state is None:
        unknown = Guess(0.1, fill_in=True)
        down = Guess(-0.1, fill_in=True)
        return (ActionGuess("fill_in", Guess("velocity", fill_in=True), "1", down, unknown, unknown, "zero", None),)
    heard = survey.topic(state.topic).heard
    positions = list(heard.sample.position) if heard is not None else []
    said = str(command.topic.value)
    kind = next((each for each in ("velocity", "effort") if each in said), "position")
    actions = []
    for index, name in enumerate(state.names):
        joint = joints.get(name)
        if joint is not None and joint.mimic:
            continue
        unit = joint.unit if joint is not None else "rad"
        actions.append(_joint_action(name, index, state.name, unit, kind, joint, positions[index]))
    return tuple(actions)


def _renamed(state: ObservationGuess | None) -> list[str]:
    """Joints whose names no action may have."""
    return [name for name in (state.names if state is not None else ()) if spec_name(name) != name]


def _joint_action(
    name: str, index: int, state: str, unit: str, kind: str, joint: UrdfJoint | None, position: float
) -> ActionGuess:
    title = spec_name(name)
    fastest = joint.velocity if joint is not None else None
    speed = Guess(_SPEED[unit], fill_in=True) if fastest is None else Guess(fastest, "the URDF's velocity")
    if kind == "effort":
        limits = Guess(-_NEARBY, fill_in=True), Guess(_NEARBY, fill_in=True)
        return ActionGuess(title, _by_topic(kind), "N m", *limits, Guess(None), "zero", None)
    if kind == "velocity":
        reach = float(str(speed.value))
        lower, upper = (Guess(sign * reach, speed.note, speed.fill_in) for sign in (-1, 1))
        rate = Guess(round(4 * reach, 6), fill_in=True)
        return ActionGuess(title, _by_topic(kind), f"{unit}/s", lower, upper, rate, "zero", None)
    if joint is not None and joint.lower is not None and joint.upper is not None and joint.lower < joint.upper:
        lower, upper = Guess(joint.lower, "the URDF's limits"), Guess(joint.upper)
    elif joint is not None and joint.type == "continuous":
        lower, upper = Guess(-round(math.pi, 5), "a continuous joint: one turn"), Guess(round(math.pi, 5))
    else:
        near = f"within {_NEARBY} of where it stood"
        lower = Guess(round(position - _NEARBY, 4), near, fill_in=True)
        upper = Guess(round(position + _NEARBY, 4), near, fill_in=True)
    if re.search(r"grip|finger|jaw", name.lower()):
        grip = Guess("gripper", "by its name")
        return ActionGuess(title, grip, unit, lower, upper, speed, "keep", (state, index))
    return ActionGuess(title, Guess("position", "by the topic"), unit, lower, upper, speed, "measured", (state, index))


def _by_topic(kind: str) -> Guess:
    return Guess(kind, "by the topic's name")
