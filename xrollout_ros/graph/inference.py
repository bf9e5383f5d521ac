"""What the policy nodes share: a policy in a worker's thread of its own, asked for chunks while it has control."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from xrollout.msg import ActionChunk, Command, EpisodeState
from xrollout_ros.core.chunk import ActionChunk as Chunk
from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.episode import DELAY_STEPS, TEMPERATURE
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.graph.conversions import chunk_to_msg
from xrollout_ros.graph.node import GraphNode
from xrollout_ros.graph.observing import Observer
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import COMMAND, EVENT
from xrollout_ros.runtime.alarm import in_words
from xrollout_ros.runtime.engines import DEFAULT_ENGINE, check_engine, make_engine
from xrollout_ros.runtime.engines.control import Control
from xrollout_ros.runtime.engines.deployment import Deployment, Loaded
from xrollout_ros.runtime.engines.engine import Engine

LOAD_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 0.2
"""Stepped: after this long the command that led to an observation is lost."""


class InferenceNode(GraphNode):
    """Answers observations; the network runs in its worker's thread alone.

    In the stepped drive an observation is answered when the command that led to it is known, so that who has control
    is known too, whatever the messages' order.
    """

    topic: ClassVar[str]
    """Where its chunks go."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        for parameter, default in (("model", ""), ("model_hash", ""), ("engine", DEFAULT_ENGINE), ("device", "auto")):
            self.declare_parameter(parameter, default)
        self.declare_parameter(DELAY_STEPS, 0)
        self.declare_parameter(TEMPERATURE, 1.0)
        self.deployment: Deployment | None = None
        self.device = ""
        self.control = Control()

    def configure(self) -> None:
        model = self.text("model")
        if not model:
            raise SpecError("no model was given", "Start with model:=checkpoint.pt.")
        check_engine(self.text("engine"))
        self._chunks = self.create_publisher(ActionChunk, self.topic, COMMAND)
        self.deployment = Deployment(self._load, self.robot, self._on_answer)
        loaded = self.deployment.load(Path(model), self.text("model_hash"), LOAD_TIMEOUT_S)
        self.rows_left = 0
        self._episode_id = ""
        self._pending: tuple[Observation, EpisodeState, int] | None = None
        self._commanded = ("", -1)
        self.pulse.problem = lambda: self.deployment.current.worker.problem if self.deployment else ""
        self.pulse.values = self._measured
        self.announce(loaded, model)

    def activate(self) -> None:
        self._observer = Observer(self, self._on_observation)
        self._command_listener = self.create_subscription(Command, "command", self._on_command, EVENT)

    def deactivate(self) -> None:
        self._observer.close()
        self.destroy_subscription(self._command_listener)

    def cleanup(self) -> None:
        self.make_safe()
        if hasattr(self, "_chunks"):
            self.destroy_publisher(self._chunks)

    def make_safe(self) -> None:
        if self.deployment is not None:
            self.deployment.stop()
        self.deployment = None

    # --- what is different in each ------------------------------------------------------------------------------

    def fits(self) -> TaskSpec | None:
        """The task that a checkpoint must be for; None: any."""
        return self.task

    def has_control(self, command: Command) -> bool:
        """Whether its policy drives after this command."""
        raise NotImplementedError

    def is_own(self, command: Command) -> bool:
        """Whether this command is a row of one of its chunks."""
        raise NotImplementedError

    def serve(self, deployment: Deployment, episode: EpisodeState) -> Loaded | None:
        """The policy that answers in this attempt, if it is here."""
        raise NotImplementedError

    # --- loading ------------------------------------------------------------------------------------------------

    def _load(self, path: Path, expected_hash: str) -> Engine:
        """In a worker's thread: PyTorch takes seconds to import, and the heartbeat goes on."""
        from xrollout_ros.learning.checkpoint import load_policy

        policy = load_policy(
            path,
            self.robot,
            self.fits(),
            expected_hash=expected_hash or None,
            device=self.text("device"),
            temperature=float(self.get_parameter(TEMPERATURE).value),
        )
        self.device = policy.device
        delay_steps = int(self.get_parameter(DELAY_STEPS).value)
        real_time = None if self.stepped else clock
        return make_engine(self.text("engine"), policy, self.robot, delay_steps=delay_steps, clock=real_time)

    def announce(self, loaded: Loaded, path: str) -> None:
        """Say what was loaded."""
        info, engine = loaded.info, loaded.engine
        how = {
            "prefix": f"goes on from up to {info.max_prefix} rows, as trained",
            "guidance": "is guided towards the rows in play",
            "none": "cannot go on from rows in play; its chunks are spliced in as they are",
        }[info.conditioning]
        told = f"; it {how}" if engine.name == "rtc" else ""
        what = self.get_name().replace("_", " ")
        self.get_logger().info(f"{what} {info.policy_id} ready ({path}), engine {engine.name}{told}")
        self.get_logger().info(f"{what} {info.policy_id} is {in_words(info, engine.name, self.text('drive'))}")

    # --- inference ----------------------------------------------------------------------------------------------

    def _on_observation(self, observation: Observation, episode: EpisodeState) -> None:
        if not self.stepped:
            self.consider(observation, episode)
            return
        waiting = self._pending[0] if self._pending is not None else None
        if waiting is None or (waiting.episode_id, waiting.step) != (observation.episode_id, observation.step):
            self._pending = (observation, episode, clock.steady_ns())
        self._try_step()

    def _try_step(self) -> None:
        if self._pending is None:
            return
        observation, episode, since_ns = self._pending
        episode_id, step = observation.episode_id, observation.step
        is_known = step == 0 or self._commanded in ((episode_id, step - 1), (episode_id, step))
        if is_known or seconds(clock.steady_ns() - since_ns) > COMMAND_TIMEOUT_S:
            self._pending = None
            self.consider(observation, episode)

    def consider(self, observation: Observation, episode: EpisodeState) -> None:
        """Ask for an answer to an observation, if one is due."""
        loaded = self.serve(self.deployment, episode) if self.deployment is not None else None
        if loaded is None:
            return
        self._episode_id = episode.episode_id
        seen = loaded.processing(observation)
        # In real time an observation that calls for no new chunk needs no answer.
        if seen is not None and (self.stepped or loaded.engine.due(seen.stamp_ns)):
            loaded.worker.submit(seen, episode.policy_seed)

    def publish(self, chunk: Chunk) -> None:
        """Send a chunk."""
        self._chunks.publish(chunk_to_msg(chunk, clock.wall_ns()))

    def _on_answer(self, chunk: Chunk) -> None:
        if len(chunk.actions) or self.stepped:
            self.publish(chunk)
            self.rows_left = len(chunk.actions) or max(0, self.rows_left - 1)

    def _on_command(self, message: Command) -> None:
        if self.deployment is None:
            return
        engine, stamp = self.deployment.current.engine, stamp_ns(message.stamp)
        if self.control.told(message.episode_id, given=self.has_control(message)):
            engine.control_given(stamp)
        if self.stepped:
            self._commanded = (message.episode_id, message.step)
            self._try_step()
        elif message.episode_id == self._episode_id and self.is_own(message):
            engine.played(message.chunk_sequence, stamp)

    def _measured(self) -> dict[str, object]:
        if self.deployment is None:
            return {}
        current = self.deployment.current
        counts = current.worker.counts
        return {
            "queue": current.worker.waiting,
            "drops": counts.skipped,
            "engine": current.engine.name,
            "inferences": counts.inferences,
            "inference_ms": f"{1e3 * counts.latency_s:.3f}",
            "frozen": current.engine.frozen,
            "discarded": current.engine.discarded,
            "errors": counts.errors,
        }
