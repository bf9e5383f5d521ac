"""Checks of XRollout's own graph, where one runs, and of how its topics meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error, ok, skipped, warning

OBSERVERS = {"/xrollout/monitor", "/xrollout/doctor"}
"""Of these there may be several."""
_NAMESPACE = "/xrollout/"


def nodes(subject: Subject) -> Iterator[Finding]:
    """No node is there twice, and each is alive and active."""
    survey = subject.survey
    if survey is None:
        yield skipped("graph", "ROS is not there to listen with")
        return
    own = [name for name in survey.nodes if name.startswith(_NAMESPACE) and name not in OBSERVERS]
    twice = [name for name, count in Counter(own).items() if count > 1]
    for name in twice:
        remedy = (
            "End one, or give it another domain: ROS_DOMAIN_ID=<0 to 101>. Nodes of one name answer for each other."
        )
        yield error(name, f"there {own.count(name)} times in domain {survey.domain}", "once", remedy)
    monitor = survey.monitor
    if monitor is None:
        if own and not twice:
            remedy = "Its processes hang or are just starting; look again, then at its log."
            yield error("graph", f"{', '.join(own)} without a heartbeat", "5 heartbeats a second", remedy)
        elif not own:
            yield ok("graph", f"none runs in domain {survey.domain}")
        return
    problems = 0
    for node in monitor.nodes:
        thing = f"node {node.name}"
        if node.late:
            problems += 1
            value = f"no heartbeat for {node.heartbeat_age_s:.1f} s"
            yield error(thing, value, "5 a second", f"Its process hangs or has died; look at log/…/{node.name}.log.")
        elif node.lifecycle not in ("active", "plain"):
            problems += 1
            value = f"{node.lifecycle}, not active"
            remedy = f"The manager brings it up; if it stays so, its log says why (log/…/{node.name}.log)."
            yield error(thing, value, "active", remedy)
        if node.restarts:
            problems += 1
            value = f"restarted {node.restarts} times while listening"
            yield warning(thing, value, "never", f"Look at log/…/{node.name}.log.")
    for name in monitor.missing:
        problems += 1
        yield error(f"node {name}", "not there", "a heartbeat", "End the graph and start it again.")
    if not problems and not twice:
        yield ok("graph", f"{len(monitor.nodes)} nodes run in domain {survey.domain}")


def qos(subject: Subject) -> Iterator[Finding]:
    """Publishers and subscriptions of XRollout's and the robot's topics meet."""
    survey = subject.survey
    if survey is None:
        yield skipped("QoS", "ROS is not there to listen with")
        return
    ours = set()
    if subject.robot is not None:
        robot = subject.robot
        ours = {entry.topic for entry in robot.observations} | {camera.topic for camera in robot.cameras}
        ours.add(robot.command.topic)
    found = [each for each in survey.qos_mismatches if each.topic in ours or each.topic.startswith(_NAMESPACE)]
    for each in found:
        remedy = "Set the publisher's or the subscription's QoS so that what is offered is at least what is requested."
        yield error(
            f"QoS of {each.topic}", f"{each.publisher} never reaches {each.subscriber}: {each.why}", "a match", remedy
        )
    if not found:
        yield ok("QoS", "everything that should meet does")


CHECKS = (Check("graph", nodes), Check("QoS", qos))
