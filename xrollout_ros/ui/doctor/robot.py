"""Checks of a RobotSpec, by itself and against the robot that runs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from xrollout_ros.core.action import ActionDim, ActionKind
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.fields import extract
from xrollout_ros.core.modes import Phase
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.sensing import ObservationSpec
from xrollout_ros.core.urdf import UrdfJoint
from xrollout_ros.runtime.survey import GraphSurvey, Stamps, TopicSurvey, is_onlooker
from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error, ok, skipped, warning

RATE_TOLERANCE = 0.2
"""A rate may lie so far below the spec's, as a share of it."""
FUTURE_S = 0.02
"""A stamp may lie so far ahead of this machine's clock."""
WIDE = {"rad": 4 * math.pi, "m": 5.0, "rad/s": 20.0, "m/s": 5.0}
"""Ranges wider than this limit nothing on a real robot, by unit."""
WIDE_ANYHOW = 1000.0
_SLACK = 1e-3
"""Share of a limit by which the spec may lie outside the URDF's, for rounded numbers."""
_GRIPPER = ActionKind.GRIPPER
_SIM_ROBOT = "/xrollout/sim_robot"


def sensed(subject: Subject) -> tuple[RobotSpec, GraphSurvey] | None:
    """The robot and what was heard, if there is a robot that ought to be heard now.

    A simulated robot is started with the graph, so it is looked at only while its node runs.
    """
    robot, survey = subject.robot, subject.survey
    if robot is None or survey is None or (robot.sim is not None and _SIM_ROBOT not in survey.nodes):
        return None
    return robot, survey


def stepped(survey: GraphSurvey) -> bool:
    """Whether a simulated robot runs in the stepped drive, whose rates and stamps are not the clock's."""
    return any(end.node == _SIM_ROBOT for end in survey.topic("/xrollout/command").subscribers)


def idle(robot: RobotSpec, survey: GraphSurvey) -> bool:
    """Whether a simulated robot is silent by right: no attempt runs, or it waits for its step to be answered."""
    if robot.sim is None:
        return False
    episode = survey.monitor.episode if survey.monitor is not None else None
    return stepped(survey) or episode is None or episode.phase is not Phase.RUNNING


def why_not(subject: Subject) -> str:
    """Why :func:`sensed` gives nothing."""
    if subject.robot is None:
        return "no robot was named (--robot)"
    if subject.survey is None:
        return "ROS is not there to listen with"
    return "it is simulated and not running; `xrollout up` starts it"


def check_type(thing: str, topic: TopicSurvey, wanted: str) -> Iterator[Finding]:
    """Findings about whether somebody publishes a topic, and what."""
    if not topic.publishers:
        listening = ", ".join(end.node for end in topic.subscribers)
        heard = f"nobody publishes {topic.name}" + (f" ({listening} only listens)" if listening else "")
        remedy = "Start the driver, or mend `topic` in the RobotSpec; `ros2 topic list` shows what there is."
        yield error(thing, heard, f"{topic.name} published as {wanted}", remedy)
        return
    wrong = sorted({end.type for end in topic.publishers} - {wanted})
    if wrong:
        remedy = "Mend `type` in the RobotSpec, or what the driver publishes."
        who = ", ".join(end.node for end in topic.publishers if end.type in wrong)
        yield error(thing, f"{topic.name} is published as {', '.join(wrong)} by {who}", wanted, remedy)


def check_rate(thing: str, measured_hz: float, said_hz: float, count: int) -> Iterator[Finding]:
    """Findings about a measured rate."""
    if count < 2:
        return
    if measured_hz < said_hz * (1 - RATE_TOLERANCE):
        remedy = "Raise the driver's rate, or lower `rate_hz` in the RobotSpec."
        make = error if measured_hz < said_hz / 2 else warning
        yield make(thing, f"rate {measured_hz:.1f} Hz", f"{said_hz:g} Hz, the RobotSpec's, less 20 %", remedy)


def check_stamps(thing: str, stamps: Stamps, max_age_s: float) -> Iterator[Finding]:
    """Findings about header stamps."""
    if stamps.zero:
        remedy = (
            "The driver must stamp what it measured with the time of measurement; without it nothing can be paired."
        )
        yield error(thing, f"{stamps.zero} messages with stamp 0", "the time of measurement", remedy)
    if stamps.backwards:
        remedy = "Two publishers on one topic, or a clock that is set back: end the one, mend the other."
        yield error(thing, f"stamps went backwards {stamps.backwards} times", "rising stamps", remedy)
    if stamps.age_s > max_age_s:
        remedy = "Set both machines' clocks (chrony, PTP), find what holds the messages up, or raise `max_age_s`."
        yield error(thing, f"stale: stamps are {stamps.age_s:.3f} s old at receipt", f"{max_age_s:g} s", remedy)
    elif stamps.age_s < -FUTURE_S:
        remedy = "The clocks of driver and this machine differ: set both (chrony, PTP)."
        yield error(thing, f"stamps lie {-stamps.age_s:.3f} s in the future", f"{FUTURE_S} s", remedy)


def observations(subject: Subject) -> Iterator[Finding]:
    """Each observation is published: type, field, shape, rate, stamps."""
    found = sensed(subject)
    if found is None:
        yield skipped("observations", why_not(subject))
        return
    robot, survey = found
    for entry in robot.observations:
        problems = list(_observation(entry, survey, idle(robot, survey)))
        yield from problems
        if not problems:
            heard = survey.topic(entry.topic).heard
            if heard is None:
                yield skipped(f"observation {entry.name}", "silent: no attempt runs")
                continue
            rate = "" if stepped(survey) else f" at {heard.rate_hz:.0f} Hz"
            yield ok(f"observation {entry.name}", f"{entry.topic}{rate}")


def _observation(entry: ObservationSpec, survey: GraphSurvey, idle: bool) -> Iterator[Finding]:
    thing, topic = f"observation {entry.name}", survey.topic(entry.topic)
    wrong = list(check_type(thing, topic, entry.type))
    yield from wrong
    if wrong:
        return
    if topic.heard is None:
        if not idle:
            reason = topic.problem or f"nothing came within {survey.duration_s:.0f} s"
            yield error(thing, f"{entry.topic}: {reason}", f"{entry.rate_hz:g} Hz", "Look at the driver's output.")
        return
    try:
        values = extract(topic.heard.sample, entry)
    except SpecError as problem:
        yield error(thing, problem.what, f"{entry.field} of shape {list(entry.shape)}", problem.remedy)
    else:
        if not all(map(math.isfinite, values.reshape(-1).tolist())):
            yield error(thing, "holds a value that is not finite", "finite numbers", "Look at the driver and sensor.")
    if stepped(survey):
        return
    yield from check_rate(thing, topic.heard.rate_hz, entry.rate_hz, topic.heard.count)
    if topic.heard.stamps is None:
        remedy = "Use a stamped type, or accept that the time of receipt counts."
        yield warning(thing, f"{entry.type} carries no header stamp", "a message with a header", remedy)
    else:
        yield from check_stamps(thing, topic.heard.stamps, entry.max_age_s)


def command(subject: Subject, wanted: str) -> Iterator[Finding]:
    """Somebody listens to the command topic, as the right type, and nobody else commands."""
    found = sensed(subject)
    if found is None or stepped(found[1]):
        yield skipped("command topic", why_not(subject) if found is None else "the stepped drive does not use it")
        return
    robot, survey = found
    topic = survey.topic(robot.command.topic)
    thing = f"command topic {topic.name}"
    drivers = [end for end in topic.subscribers if not is_onlooker(end.node)]
    if not drivers:
        remedy = "Start the robot's driver or controller, or mend `command.topic` in the RobotSpec."
        yield error(thing, "nobody listens to it", "the robot's driver subscribes", remedy)
        return
    wrong = sorted(f"{end.node} as {end.type}" for end in drivers if end.type != wanted)
    if wrong:
        remedy = "Mend `command.encoding` in the RobotSpec, or the driver."
        yield error(thing, f"listened to by {', '.join(wrong)}", wanted, remedy)
    others = sorted({end.node for end in topic.publishers} - {"/xrollout/supervisor"})
    if others:
        remedy = "End them: only the supervisor may command the robot."
        yield error(thing, f"unsafe: {', '.join(others)} commands the robot too", "nobody but the supervisor", remedy)
    if not wrong and not others:
        yield ok(thing, f"{', '.join(sorted({end.node for end in drivers}))} listens")


def urdf_joint(robot: RobotSpec, dim: ActionDim, joints: dict[str, UrdfJoint]) -> UrdfJoint | None:
    """The joint that an action dimension drives: the one of its name, else the one that measures it."""
    if dim.name in joints:
        return joints[dim.name]
    if dim.measured is None:
        return None
    [entry] = [each for each in robot.observations if each.name == dim.measured.observation]
    return joints.get(entry.names[dim.measured.index]) if entry.names else None


def against_urdf(subject: Subject) -> Iterator[Finding]:
    """The spec's limits lie within those of the robot description."""
    robot = subject.robot
    if robot is None or subject.joints is None:
        why = "no robot was named (--robot)" if robot is None else "nothing was heard on /robot_description"
        yield skipped("limits against the URDF", why)
        return
    looked_at = 0
    problems: list[Finding] = []
    for dim in robot.actions:
        joint = urdf_joint(robot, dim, dict(subject.joints))
        if joint is not None and (dim.kind.interpolates or (dim.kind is _GRIPPER and dim.unit == joint.unit)):
            looked_at += 1
            problems += _outside(dim, joint)
    yield from problems
    if not looked_at:
        yield skipped("limits against the URDF", "no action is the position or velocity of one of its joints")
    elif not problems:
        yield ok("limits against the URDF", f"{looked_at} actions within them")


def _outside(dim: ActionDim, joint: UrdfJoint) -> Iterator[Finding]:
    thing, remedy = f"action {dim.name}", "Narrow the limits in the RobotSpec to the URDF's."
    fastest = joint.velocity
    if dim.kind in (ActionKind.POSITION, _GRIPPER):
        if joint.lower is not None and joint.upper is not None:
            slack = _SLACK * (joint.upper - joint.lower)
            if dim.lower < joint.lower - slack or dim.upper > joint.upper + slack:
                allowed = f"[{joint.lower:g}, {joint.upper:g}], joint {joint.name} of the URDF"
                yield error(thing, f"unsafe: limits [{dim.lower:g}, {dim.upper:g}]", allowed, remedy)
        if fastest is not None and dim.max_rate is not None and dim.max_rate > fastest * (1 + _SLACK):
            value = f"unsafe: max_rate {dim.max_rate:g}"
            yield error(thing, value, f"{fastest:g}, the velocity of joint {joint.name} in the URDF", remedy)
    elif fastest is not None and max(-dim.lower, dim.upper) > fastest * (1 + _SLACK):
        allowed = f"±{fastest:g}, joint {joint.name} of the URDF"
        yield error(thing, f"unsafe: limits [{dim.lower:g}, {dim.upper:g}]", allowed, remedy)


def limits(subject: Subject) -> Iterator[Finding]:
    """What moves has a largest rate, and limits that limit."""
    robot = subject.robot
    if robot is None:
        yield skipped("limits", "no robot was named (--robot)")
        return
    problems = []
    for dim in robot.actions:
        thing = f"action {dim.name}"
        if dim.max_rate is None and dim.kind.interpolates:
            remedy = "Give `max_rate` (units/s): a wrong action then moves the robot slowly enough to stop it."
            problems.append(warning(thing, f"unsafe: a {dim.kind.value} without max_rate", "a largest rate", remedy))
        allowed = WIDE.get(dim.unit, WIDE_ANYHOW)
        if dim.upper - dim.lower > allowed:
            value = f"unsafe: limits [{dim.lower:g}, {dim.upper:g}] {dim.unit} are too wide to limit anything"
            remedy = "Narrow `lower` and `upper` to where the task needs the robot."
            problems.append(warning(thing, value, f"a range of {allowed:g}", remedy))
    yield from problems
    if not problems:
        yield ok("limits", f"{len(robot.actions)} actions limited")


def rates(subject: Subject) -> Iterator[Finding]:
    """The policy is not asked more often than its sensors speak."""
    robot = subject.robot
    if robot is None:
        yield skipped("rates", "no robot was named (--robot)")
        return
    slow = [entry for entry in robot.observations if entry.rate_hz < robot.policy_rate_hz * (1 - 1e-9)]
    for entry in slow:
        value = f"rate_hz {entry.rate_hz:g} is below policy_rate_hz {robot.policy_rate_hz:g}"
        remedy = "Lower policy_rate_hz, or have the sensor speak more often: the policy would see values twice."
        yield warning(f"observation {entry.name}", value, f"{robot.policy_rate_hz:g} Hz or more", remedy)
    if not slow:
        yield ok("rates", f"policy {robot.policy_rate_hz:g} Hz, control {robot.control_rate_hz:g} Hz")


CHECKS = (
    Check("rates", rates),
    Check("limits", limits),
    Check("limits against the URDF", against_urdf),
    Check("observations", observations),
)
