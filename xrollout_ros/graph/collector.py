"""Collects demonstrations from any running robot, without a graph: it listens, and moves nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message

from xrollout_ros import __version__
from xrollout_ros.core.chunk import Command
from xrollout_ros.core.clock import NS, SystemClock, seconds
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, InterventionSpan, Outcome, OutcomeSource, Strategy
from xrollout_ros.core.errors import DataError, GraphError, XRolloutError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.definitions import load_definition
from xrollout_ros.episodes.reader import COMMAND_TOPIC
from xrollout_ros.episodes.recorded_topic import RecordedTopic
from xrollout_ros.episodes.recording import Recording
from xrollout_ros.graph.conversions import command_to_msg
from xrollout_ros.graph.encodings import TYPES, decode
from xrollout_ros.graph.listener import RobotListener
from xrollout_ros.graph.types import message_class
from xrollout_ros.runtime.overrides import with_topics

_COMMAND_TYPE = "xrollout/msg/Command"
_SILENT_S = 1.0
_clock = SystemClock()


@dataclass(frozen=True)
class CollectedEpisode:
    """An episode that was collected."""

    path: Path
    """Its bag."""
    meta: EpisodeMeta
    actions: int
    """Actions in it."""
    problem: str = ""
    """What of it could not be recorded as the spec says; empty: all was."""


@dataclass
class _Running:
    meta: EpisodeMeta
    begun_ns: int
    actions: int = 0
    problem: str = ""
    heard: set[str] = field(default_factory=set)


class ROS2DataCollector:
    """Records what a robot senses and how somebody drives it, one ordinary episode at a time.

    It subscribes to the robot's state, its cameras and the topic on which its actions are published (by a leader arm, a
    joystick, another program). Each action message also becomes a ``/xrollout/command`` with the source OPERATOR, so
    that the bags list, read and train like any other. It publishes nothing::

        with ROS2DataCollector(robot_type="so100", camera_topics=["/camera/image_raw"]) as collector:
            collector.start_episode(task="so100_pick_and_place")
            ...  # demonstrate
            collector.end_episode(success=True)

    Methods are called from one thread; messages are taken in another.
    """

    def __init__(
        self,
        robot_type: str,
        *,
        camera_topics: Iterable[str] | None = None,
        state_topic: str | None = None,
        action_topic: str | None = None,
        data: str | Path | None = None,
        operator: str = "operator",
        site: str = "",
        timeout_s: float = 10.0,
        domain_id: int | None = None,
    ) -> None:
        """Check the robot and find its topics.

        Args:
            robot_type: RobotSpec id or YAML file.
            camera_topics: instead of the spec's cameras; an empty list records none.
            state_topic: instead of the spec's.
            action_topic: instead of the spec's command topic; of the same message type.
            data: folder of the bags; none: ``XROLLOUT_DATA``, else ``./raw_rollouts``.
            operator: who demonstrates, kept with every episode.
            site: where this happens, kept with every episode.
            timeout_s: how long to wait for each of the robot's topics.
            domain_id: ROS domain; none: ``ROS_DOMAIN_ID``.

        Raises:
            SpecError: the robot is unknown, or a topic is no topic.
            GraphError: nobody publishes a topic, it has another type, or its messages do not fit the RobotSpec.
            BagError: a message type is not installed.
        """
        robot = with_topics(
            load_robot(robot_type), state_topic=state_topic, action_topic=action_topic, camera_topics=camera_topics
        )
        self.episodes: list[CollectedEpisode] = []
        self._data = paths.data_dir(data)
        self._operator, self._site = operator, site
        self._lock = threading.Lock()
        self._recording: Recording | None = None
        self._running: _Running | None = None
        self._action_class = message_class(TYPES[robot.command.encoding])
        self._command_type = load_definition(_COMMAND_TYPE)
        self._listener = RobotListener(robot, self._take, timeout_s=timeout_s, domain_id=domain_id)
        self.robot: RobotSpec = self._listener.robot

    def __enter__(self) -> ROS2DataCollector:  # noqa: PYI034 (typing.Self came with Python 3.11)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def recording(self) -> bool:
        """Whether an episode is open."""
        return self._running is not None

    def start_episode(self, task: str, *, start: str = "", tags: Sequence[str] = ()) -> str:
        """Begin an episode.

        Args:
            task: TaskSpec id or YAML file.
            start: named start distribution of the task; empty: the task's default.
            tags: free ones; ``bootstrap`` is always added.

        Returns:
            Its id.

        Raises:
            SpecError: the task or the start is unknown.
            GraphError: an episode is open, or the robot has fallen silent.
            BagError: the disk refuses.
        """
        spec = load_task(task)
        chosen = start or spec.default_start
        if chosen not in spec.starts:
            raise DataError(f"task {spec.id!r} has no start {chosen!r}", f"It has {', '.join(spec.starts)}.")
        if self._running is not None:
            raise GraphError(f"episode {self._running.meta.episode_id} is still open", "Call end_episode first.")
        for topic in self._listener.sensors:
            silent_s = self._listener.silent_s(topic)
            if silent_s > _SILENT_S:
                raise GraphError(f"{topic} has been silent for {silent_s:.1f} s", "Is the robot's driver running?")
        begun_ns = _clock.wall_ns()
        meta = EpisodeMeta(
            episode_id=new_id(),
            kind=EpisodeKind.DEMONSTRATION,
            task=spec.id,
            robot=self.robot.id,
            site=self._site,
            start=chosen,
            scene=spec.scene,
            strategy=Strategy.EPISODIC,
            operator=self._operator,
            software_version=__version__,
            parameters={"drive": "real_time", "collector": True},
            tags=["bootstrap", *tags],
            started_at=datetime.fromtimestamp(begun_ns / NS, tz=timezone.utc).isoformat(timespec="milliseconds"),
        )
        with self._lock:
            command = RecordedTopic(COMMAND_TOPIC, self._command_type, True, False, 100, one_writer=False)
            topics = [*self._listener.recorded(), command]
            opened = Recording(self._data, self.robot, spec, _clock, stepped=False, topics=topics)
            opened.open(meta, begun_ns)
            self._recording, self._running = opened, _Running(meta, begun_ns)
        return meta.episode_id

    def end_episode(self, success: bool | None = True, reason: str = "", *, discard: bool = False) -> CollectedEpisode:
        """End the open episode.

        Args:
            success: how it went; None: nobody knows.
            reason: why, free text.
            discard: move the bag to the data folder's trash.

        Raises:
            GraphError: no episode is open.
            DataError: it cannot be learned from (no action or no observation came, or an action did not fit the
                RobotSpec); its bag is in the trash.
            BagError: the disk refuses.
        """
        with self._lock:
            running, recorded = self._running, self._recording
            if running is None or recorded is None:
                raise GraphError("no episode is open", "Call start_episode first.")
            duration_s = seconds(_clock.wall_ns() - running.begun_ns)
            outcome = {True: Outcome.SUCCESS, False: Outcome.FAILURE, None: Outcome.UNKNOWN}[success]
            problem = running.problem or self._missing(running)
            said = f"{self._operator}: {reason}" if reason else self._operator
            final = running.meta.model_copy(
                update={
                    "duration_s": duration_s,
                    "outcome": Outcome.ABORT if problem else outcome,
                    "outcome_source": OutcomeSource.SYSTEM if problem else OutcomeSource.HUMAN,
                    "outcome_reason": problem or said,
                    "interventions": [InterventionSpan(operator=self._operator, begin_s=0.0, end_s=duration_s)],
                }
            )
            self._running = self._recording = None
            summary = recorded.close(final, discard=discard or bool(problem))
        where = recorded.last_bag or summary.path
        if problem:
            raise DataError(f"episode {final.episode_id} cannot be learned from: {problem}", f"Its bag is {where}.")
        episode = CollectedEpisode(where, summary.meta, running.actions, recorded.failure)
        if not discard:
            self.episodes.append(episode)
        return episode

    def close(self) -> None:
        """Stop listening; an episode that is still open is closed as aborted."""
        with self._lock:
            if self._recording is not None:
                self._recording.abandon("the collector was closed during the episode")
            self._recording = self._running = None
        self._listener.close()

    # --- inside -------------------------------------------------------------------------------------------------

    def _take(self, topic: str, data: bytes, sequence: int | None, received_ns: int) -> None:
        with self._lock:
            if self._recording is None or self._running is None:
                return
            self._running.heard.add(topic)
            self._recording.receive(topic, data, sequence, received_ns)
            if topic == self._listener.action.topic:
                self._act(self._recording, self._running, data, received_ns)

    def _act(self, recorded: Recording, running: _Running, data: bytes, received_ns: int) -> None:
        """The action as the command that training reads."""
        try:
            action = decode(self.robot, deserialize_message(data, self._action_class))
        except XRolloutError as error:
            running.problem = running.problem or str(error)
            return
        if not np.isfinite(action).all():
            problem = f"an action on {self._listener.action.topic} is not finite: {action.tolist()}"
            running.problem = running.problem or problem
            return
        command = Command(
            received_ns,
            running.meta.episode_id,
            running.actions,
            Source.OPERATOR,
            Mode.TELEOP,
            -1,
            -1,
            action,
            # Nobody clipped it: it was sent as it is, even where it lies outside.
            np.zeros(self.robot.action_dim, dtype=np.bool_),
        )
        recorded.receive(COMMAND_TOPIC, serialize_message(command_to_msg(command, received_ns)), None, received_ns)
        running.actions += 1

    def _missing(self, running: _Running) -> str:
        if not running.actions:
            return f"no action came on {self._listener.action.topic}"
        silent = [topic for topic in self._listener.sensors if topic not in running.heard]
        return f"nothing came on {', '.join(silent)}" if silent else ""
