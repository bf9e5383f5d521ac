"""Listens to a running ROS graph for some seconds and says what it looked like."""

from __future__ import annotations

import statistics
import struct
import zlib
from collections.abc import Callable

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions

from xrollout_ros.core.clock import NS, SystemClock, nanoseconds, seconds
from xrollout_ros.core.errors import GraphError, SpecError
from xrollout_ros.graph.middleware import discovery_range, prepare
from xrollout_ros.graph.monitor import GraphObserver
from xrollout_ros.graph.probes import check_qos, endpoints
from xrollout_ros.graph.topics import NAMESPACE
from xrollout_ros.graph.types import message_class
from xrollout_ros.runtime.survey import GraphSurvey, Heard, Stamps, TopicSurvey

NODE = "doctor"
PATIENCE_S = 5.0
_LOOK_S = 0.1
"""Between two looks for new topics."""
_PICTURES = 64
_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
_BEFORE_BODY = 12
"""Bytes of a serialized message up to the end of its stamp: encapsulation, seconds, nanoseconds."""
_clock = SystemClock()


class _Ear:
    """Counts one topic's messages as bytes; only the last one is ever decoded."""

    def __init__(self, node: Node, topic: str, type_name: str, latched: bool, reliable: bool) -> None:
        self._class = message_class(type_name)
        self._latched = latched
        self._image = type_name in _IMAGES
        self._stamped = next(iter(self._class.get_fields_and_field_types().items()), ("", "")) == (
            "header",
            "std_msgs/Header",
        )
        self._arrivals_ns: list[int] = []
        self._ages_s: list[float] = []
        self._last_ns = 0
        self._zero = self._backwards = 0
        self._pictures: set[int] = set()
        self._last: bytes = b""
        qos = QoSProfile(
            depth=50,
            reliability=ReliabilityPolicy.RELIABLE if reliable or latched else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )
        node.create_subscription(self._class, topic, self._take, qos, raw=True)

    def _take(self, data: bytes) -> None:
        now_ns = _clock.wall_ns()
        self._arrivals_ns.append(_clock.steady_ns())
        self._last = data
        if self._stamped:
            order = "<" if data[1] & 1 else ">"
            sec, nanosec = struct.unpack_from(f"{order}iI", data, 4)
            self._stamp(sec * NS + nanosec, now_ns)
        if self._image and len(self._pictures) < _PICTURES:
            self._pictures.add(zlib.crc32(data[_BEFORE_BODY:]))

    def _stamp(self, stamp_ns: int, now_ns: int) -> None:
        if stamp_ns == 0:
            self._zero += 1
            return
        self._backwards += stamp_ns < self._last_ns
        self._last_ns = stamp_ns
        # What was latched long ago is old by right.
        if not (self._latched and len(self._arrivals_ns) == 1):
            self._ages_s.append(seconds(now_ns - stamp_ns))

    def heard(self) -> Heard | None:
        """What came; None: nothing."""
        count = len(self._arrivals_ns)
        if not count:
            return None
        span_s = seconds(self._arrivals_ns[-1] - self._arrivals_ns[0])
        stamps = None
        if self._stamped:
            ages_s = self._ages_s or [0.0]
            stamps = Stamps(statistics.median(ages_s), max(ages_s), self._zero, self._backwards)
        return Heard(
            count=count,
            rate_hz=(count - 1) / span_s if span_s > 0 else 0.0,
            sample=deserialize_message(self._last, self._class),
            stamps=stamps,
            distinct=len(self._pictures) if self._image else None,
        )


class _Listener:
    def __init__(self, node: Node, wanted: Callable[[str], bool]) -> None:
        self._node = node
        self._wanted = wanted
        self._ears: dict[str, _Ear] = {}
        self._problems: dict[str, str] = {}

    def look(self) -> frozenset[str]:
        """Begin to listen to wanted topics that have a publisher since the last look; all topics there are."""
        topics = frozenset(topic for topic, _ in self._node.get_topic_names_and_types())
        for topic in topics:
            if topic in self._ears or topic in self._problems or not self._wanted(topic):
                continue
            publishers = self._node.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            profiles = [publisher.qos_profile for publisher in publishers]
            latched = all(each.durability is DurabilityPolicy.TRANSIENT_LOCAL for each in profiles)
            reliable = all(each.reliability is ReliabilityPolicy.RELIABLE for each in profiles)
            try:
                self._ears[topic] = _Ear(self._node, topic, publishers[0].topic_type, latched, reliable)
            except SpecError as error:
                self._problems[topic] = error.what
        return topics

    def topics(self) -> dict[str, TopicSurvey]:
        """All topics of the graph, with what was heard of those that were listened to."""
        me = f"{NAMESPACE}/{NODE}"
        found = {}
        for topic, _ in self._node.get_topic_names_and_types():
            ear = self._ears.get(topic)
            entry = TopicSurvey(
                topic,
                endpoints(self._node.get_publishers_info_by_topic(topic), without=me),
                endpoints(self._node.get_subscriptions_info_by_topic(topic), without=me),
                ear.heard() if ear is not None else None,
                self._problems.get(topic, ""),
            )
            if entry.publishers or entry.subscribers:
                found[topic] = entry
        return found


def survey(
    duration_s: float,
    wanted: Callable[[str], bool] = lambda topic: True,
    complete: Callable[[frozenset[str]], bool] = lambda topics: True,
    patience_s: float = PATIENCE_S,
) -> GraphSurvey:
    """Listen to the ROS graph of this process's domain, as far as the project's own processes reach.

    Args:
        duration_s: how long, from the moment when everything that is waited for is discovered.
        wanted: says of a topic's full name whether to listen to it; who is at its ends is told of all.
        complete: says of the topics discovered whether nothing more is waited for.
        patience_s: how long discovery may take; it mostly takes half a second, now and then several.

    Raises:
        GraphError: ROS cannot be started here.
    """
    # The same range and transports as the graph's processes: what is not heard here is not heard there either.
    prepare()
    context = Context()
    try:
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        node = Node(
            NODE,
            namespace=NAMESPACE.strip("/"),
            context=context,
            enable_rosout=False,
            start_parameter_services=False,
        )
    except Exception as error:  # rclpy raises bare exceptions of its C layer here
        rclpy.try_shutdown(context=context)
        raise GraphError(
            f"ROS cannot be started ({error})", "Check ROS_DOMAIN_ID and RMW_IMPLEMENTATION; source install/setup.bash."
        ) from error
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    try:
        return _survey(node, executor, duration_s, wanted, complete, patience_s)
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _survey(
    node: Node,
    executor: SingleThreadedExecutor,
    duration_s: float,
    wanted: Callable[[str], bool],
    complete: Callable[[frozenset[str]], bool],
    patience_s: float,
) -> GraphSurvey:
    observer, listener = GraphObserver(node), _Listener(node, wanted)
    begin_ns, begin_wall_ns = _clock.steady_ns(), _clock.wall_ns()
    looked_ns, ends_ns = 0, begin_ns + nanoseconds(patience_s + duration_s)
    waiting = True
    while (now_ns := _clock.steady_ns()) < ends_ns:
        if seconds(now_ns - looked_ns) >= _LOOK_S:
            looked_ns = now_ns
            if complete(listener.look()) and waiting:
                waiting = False
                ends_ns = min(ends_ns, now_ns + nanoseconds(duration_s))
        executor.spin_once(timeout_sec=_LOOK_S / 2)
    spent_ns, wall_spent_ns = _clock.steady_ns() - begin_ns, _clock.wall_ns() - begin_wall_ns
    monitor = observer.model()
    me = f"{NAMESPACE}/{NODE}"
    topics = listener.topics()
    return GraphSurvey(
        domain=int(node.context.get_domain_id()),
        discovery_range=discovery_range(),
        duration_s=seconds(spent_ns),
        topics=topics,
        nodes=tuple(sorted(name for name in map(_node_name, node.get_node_names_and_namespaces()) if name != me)),
        qos_mismatches=tuple(
            each for each in check_qos(node, topics).mismatches if me not in (each.publisher, each.subscriber)
        ),
        clock_jump_s=abs(seconds(wall_spent_ns - spent_ns)),
        monitor=monitor if monitor.nodes else None,
    )


def _node_name(entry: tuple[str, str]) -> str:
    name, namespace = entry
    return f"{namespace.rstrip('/')}/{name}"
