"""recorder: writes one bag for each attempt, from raw messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.serialization import deserialize_message

from xrollout.msg import Heartbeat, RecorderStatus, SupervisorState
from xrollout.srv import CloseEpisode, OpenEpisode
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.episode import EpisodeMeta, Strategy
from xrollout_ros.core.errors import BagError, SpecError, XRolloutError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Mode
from xrollout_ros.core.sensing import CameraRecord
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.aside import Aside
from xrollout_ros.episodes.background_repair import repair_aside
from xrollout_ros.episodes.bag_writer import QUEUE_BYTES
from xrollout_ros.episodes.catalog.keeper import CatalogKeeper
from xrollout_ros.episodes.recording import Recording
from xrollout_ros.episodes.ring import Ring
from xrollout_ros.episodes.strategies import DEFAULTS, Margin, RecordingStrategy, make_strategy
from xrollout_ros.graph.highlighting import HighlightService
from xrollout_ros.graph.node import GraphNode, run_node
from xrollout_ros.graph.polling import Polled
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import EVENT, LATCHED
from xrollout_ros.graph.recorded import expected, recorded, wanted
from xrollout_ros.graph.recorder_status import status_of
from xrollout_ros.graph.taking import RawTopics
from xrollout_ros.graph.topics import SYSTEM, resolve
from xrollout_ros.graph.types import message_class

MANAGER_TIMEOUT_S = 2.0
POLL_PERIOD_S = 0.01
PUBLISHERS_TIMEOUT_S = 4.0
_LAST_CLIP_S = 2.0
"""For a highlight that is being saved when the recorder ends."""
_MOST_AT_ONCE = 200
"""Of one topic: a flood must not keep the recorder from its services and its heartbeat."""
_STATE = resolve("supervisor/state")


class RecorderNode(GraphNode):
    """Subscribes raw, so that bytes go from the wire to the file and are never deserialized."""

    polls = True

    def __init__(self) -> None:
        super().__init__("recorder")
        self.declare_parameter("data", "")
        self.declare_parameter("cameras", False)
        self.declare_parameter("queue_mib", QUEUE_BYTES >> 20)
        self.declare_parameter("strategy", Strategy.EPISODIC.value)
        self.declare_parameter("corrections", False)
        for name, default in DEFAULTS.items():
            self.declare_parameter(name, default)
        self._recording: Recording | None = None
        self._repair: Aside | None = None
        self._catalog: CatalogKeeper | None = None
        self._topics: RawTopics | None = None

    def configure(self) -> None:
        topics = []
        self._skipped: list[str] = []
        for topic in wanted(self.robot, cameras=bool(self.get_parameter("cameras").value)):
            try:
                topics.append(recorded(topic, self.robot, self.stepped))
                message_class(topic.type)
            except (BagError, SpecError) as error:
                if topic not in SYSTEM:
                    raise
                # A system topic whose type is not installed cannot have a publisher here either.
                self._skipped.append(topic.name)
                self.get_logger().info(f"not recording {topic.name}: {error.what}")
        usable = [topic for topic in topics if topic.name not in {resolve(name) for name in self._skipped}]
        data = paths.data_dir(self.text("data"))
        queue_bytes, ring = self._queue_bytes(), self._ring()
        self._strategy = self._chosen_strategy()
        self._recording = Recording(
            data, self.robot, self.task, clock, stepped=self.stepped, topics=usable, queue_bytes=queue_bytes, ring=ring,
            strategy=self._strategy,
        )  # fmt: skip
        self._repair = repair_aside(data, self._say_repaired)
        self._catalog = CatalogKeeper(data, self._say_repaired)
        self._manager_seen_ns = self._told_ns = 0
        self._status = self.create_publisher(RecorderStatus, "recorder/status", LATCHED)
        self._own_services = [
            self.create_service(OpenEpisode, "open_episode", self._on_open),
            self.create_service(CloseEpisode, "close_episode", self._on_close),
        ]
        self.pulse.problem = lambda: self._recording.failure if self._recording else ""
        self.pulse.values = self._measured

    def _say_repaired(self, line: str) -> None:
        self.get_logger().warning(line)

    def _queue_bytes(self) -> int:
        size = self.get_parameter("queue_mib").value
        if not isinstance(size, int) or size < 1:
            raise SpecError(f"parameter queue_mib is {size!r}", "Allowed is a whole number of MiB from 1.")
        return size << 20

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _ring(self) -> Ring:
        videos = [camera.keyframe_s for camera in self.robot.cameras if camera.record is CameraRecord.H264]
        return Ring(
            self._number("ring_seconds"), int(self._number("ring_mib") * 2**20), margin_s=max(videos, default=0.0)
        )

    def _chosen_strategy(self) -> RecordingStrategy:
        margin = Margin(self._number("correction_before"), self._number("correction_after"))
        return make_strategy(self.text("strategy"), margin if self.get_parameter("corrections").value else None)

    def activate(self) -> None:
        assert self._recording is not None
        polled = Polled()
        after_s = self._number("highlight_after")
        self._topics = RawTopics(self, self._recording.topics.values(), self.robot, polled, self._receive)
        self._highlights = HighlightService(
            self, self._recording, self._strategy.name, after_s, polled, before=self._topics.take, saved=self._register
        )
        self._heartbeats = self.create_subscription(Heartbeat, "heartbeat", self._on_heartbeat, EVENT)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timers_made = [
            self.create_timer(0.5, self._tell, clock=steady),
            self.create_timer(POLL_PERIOD_S, self._poll, clock=steady),
        ]
        self._tell()

    def deactivate(self) -> None:
        self.make_safe()
        for timer in self._timers_made:
            self.destroy_timer(timer)
        if self._topics is not None:
            self._topics.destroy()
        self._topics = None
        self.destroy_subscription(self._heartbeats)
        self._highlights.destroy()

    def cleanup(self) -> None:
        if self._recording is not None:
            self._recording.end()
        self._recording = None
        self._stop_repair()
        if self._catalog is not None:
            self._catalog.stop()
            self._catalog = None
        if hasattr(self, "_status"):
            self.destroy_publisher(self._status)
        for service in getattr(self, "_own_services", []):
            self.destroy_service(service)

    def _stop_repair(self) -> None:
        if self._repair is not None:
            self._repair.stop()
            self._repair = None

    def _register(self, bag: Path | None) -> None:
        if self._catalog is not None and bag is not None:
            self._catalog.look_at(bag)

    def make_safe(self) -> None:
        self._stop_repair()
        if self._recording is not None and self._recording.episode_id:
            self._drain()
            self._abandon("the recorder was shut down during the attempt")
        if self._recording is not None and self._recording.highlights is not None:
            self._recording.highlights.wait(_LAST_CLIP_S)
        if self._catalog is not None:
            self._catalog.wait()

    # --- messages -----------------------------------------------------------------------------------------------

    def _poll(self) -> None:
        begin_ns = clock.steady_ns()
        assert self._topics is not None
        self._topics.take(_MOST_AT_ONCE)
        self._highlights.poll()
        self.pulse.took(begin_ns)

    def _measured(self) -> dict[str, object]:
        counts = self._recording.counts() if self._recording else {}
        return {
            "received": sum(count.received for count in counts.values()),
            "drops": sum(count.lost for count in counts.values()),
        }

    def _receive(self, topic: str, message: bytes, info: dict[str, Any]) -> None:
        if self._recording is not None:
            sequence = info.get("publication_sequence_number")
            received_ns = info.get("received_timestamp") or clock.wall_ns()
            self._recording.receive(topic, message, sequence, received_ns)
            if topic == _STATE and self._strategy.corrections is not None:
                mode = deserialize_message(message, SupervisorState).mode
                self._recording.operator_drives(mode == Mode.TELEOP, received_ns)

    def _drain(self) -> None:
        if self._topics is not None:
            self._topics.drain()

    def _on_heartbeat(self, message: Heartbeat) -> None:
        if message.node == "manager":
            self._manager_seen_ns = clock.steady_ns()

    def _hear_waiting(self) -> None:
        """A manager is not silent because the recorder was too busy to listen."""
        with self._heartbeats.handle:
            while (found := self._heartbeats.handle.take_message(Heartbeat, False)) is not None:
                self._on_heartbeat(found[0])

    # --- attempts -----------------------------------------------------------------------------------------------

    def _on_open(self, request: OpenEpisode.Request, response: OpenEpisode.Response) -> OpenEpisode.Response:
        try:
            meta = EpisodeMeta.model_validate_json(request.metadata)
            if self._recording is None or self._topics is None or not self.active:
                raise BagError("the recorder is not active", "Activate it first.")
            with self.pulse.transition():
                self._wait_for_publishers(self._topics)
            # What came before this moment belongs to no attempt, or to the one before.
            self._topics.take()
            response.bag = str(self._recording.open(meta, stamp_ns(request.start)))
            response.opened = True
            self._manager_seen_ns = clock.steady_ns()
        except (XRolloutError, ValidationError) as error:
            response.message = str(error)
            self.get_logger().error(f"no bag was opened: {error}")
        self._tell()
        return response

    def _wait_for_publishers(self, topics: RawTopics) -> None:
        """A recorder that has just come back is not yet known to those whose messages it is to take."""
        names = expected(self.robot, cameras=bool(self.get_parameter("cameras").value))
        if missing := topics.wait_for_publishers(names, PUBLISHERS_TIMEOUT_S):
            self.get_logger().warning(f"recording, though nobody publishes {', '.join(missing)}")

    def _on_close(self, request: CloseEpisode.Request, response: CloseEpisode.Response) -> CloseEpisode.Response:
        try:
            meta = EpisodeMeta.model_validate_json(request.metadata)
            if self._recording is None:
                raise BagError("the recorder is not configured", "Configure it first.")
            if request.discard and meta.episode_id != self._recording.episode_id:
                closed = self._recording.last_bag
                response.bag, response.closed = str(self._recording.discard_closed(meta.episode_id)), True
                self._register(closed)
                return response
            aborted = self._recording.aborted
            if aborted is not None and aborted.episode_id == meta.episode_id:
                response.closed, response.bag = True, str(self._recording.last_bag)
                response.recorded = aborted.model_dump_json()
                return response
            self._drain()
            summary = self._recording.close(meta, discard=request.discard)
            response.closed, response.messages, response.lost = True, summary.messages, summary.lost
            response.bag = str(self._recording.last_bag)
            self._register(None if request.discard else summary.path)
        except (XRolloutError, ValidationError) as error:
            response.message = str(error)
            self.get_logger().error(f"the bag was not closed: {error}")
        self._tell()
        return response

    def _abandon(self, reason: str) -> None:
        assert self._recording is not None
        try:
            summary = self._recording.abandon(reason)
            self._register(summary.path if summary else None)
            self.get_logger().warning(f"{reason}: the bag {summary.path if summary else ''} was closed as aborted")
        except BagError as error:
            self.get_logger().error(f"{reason}: {error}")

    def _watch_manager(self) -> None:
        self._hear_waiting()
        told_ns, self._told_ns = self._told_ns, clock.steady_ns()
        if seconds(self._told_ns - told_ns) > MANAGER_TIMEOUT_S / 2:
            # It was the recorder that was stopped: what the manager said meanwhile is still on its way.
            self._manager_seen_ns = self._told_ns
        silent_s = seconds(clock.steady_ns() - self._manager_seen_ns)
        if silent_s > MANAGER_TIMEOUT_S:
            self._drain()
            self._abandon(f"the manager has been silent for {silent_s:.1f} s")

    def _tell(self) -> None:
        if self._recording is None:
            return
        if self._recording.episode_id:
            self._watch_manager()
        for name, topic in self._recording.topics.items():
            if topic.one_writer and not topic.losses.several and self.count_publishers(name) > 1:
                self._recording.several_writers(name)
        self._status.publish(status_of(self._recording, clock))


def main() -> None:
    """Console script ``recorder``."""
    run_node(RecorderNode)


if __name__ == "__main__":
    main()
