"""policy: turns observations into action chunks. It never touches the robot."""

from __future__ import annotations

from pathlib import Path

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType

from xrollout.msg import ActionChunk, Command, EpisodeState, PolicyStatus, SupervisorState
from xrollout.srv import LoadPolicy
from xrollout_ros.core.chunk import ActionChunk as Chunk
from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.errors import SpecError, XRolloutError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.graph.conversions import chunk_to_msg, time_msg
from xrollout_ros.graph.node import GraphNode, clock, run_node
from xrollout_ros.graph.observing import Observer
from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED, STREAM
from xrollout_ros.graph.slow_service import SlowService
from xrollout_ros.runtime.engines import DEFAULT_ENGINE, check_engine, make_engine
from xrollout_ros.runtime.engines.deployment import Deployment, Loaded
from xrollout_ros.runtime.engines.engine import Engine

LOAD_TIMEOUT_S = 60.0


class PolicyNode(GraphNode):
    """Answers every observation; a network runs in its worker's thread alone."""

    def __init__(self) -> None:
        super().__init__("policy")
        for name, default in (("model", ""), ("model_hash", ""), ("engine", DEFAULT_ENGINE), ("device", "auto")):
            self.declare_parameter(name, default)
        self.declare_parameter("delay_steps", 0)
        self._deployment: Deployment | None = None
        self._loader: SlowService | None = None
        self._device = ""

    def configure(self) -> None:
        model = self.text("model")
        if not model:
            raise SpecError("no model was given", "Start with model:=checkpoint.pt.")
        check_engine(self.text("engine"))
        self._chunks = self.create_publisher(ActionChunk, "chunk", COMMAND)
        self._status = self.create_publisher(PolicyStatus, "policy/status", STREAM)
        self._deployment = Deployment(self._load, self.robot, self._on_answer)
        loaded = self._deployment.load(Path(model), self.text("model_hash"), LOAD_TIMEOUT_S)
        self._loader = SlowService(LoadPolicy, "load_policy", self._on_load_policy)
        self._rows_left = 0
        self._mode = Mode.IDLE
        self._episode_id = ""
        self.pulse.problem = lambda: self._deployment.current.worker.problem if self._deployment else ""
        self.pulse.values = self._measured
        self._announce(loaded, model)

    def activate(self) -> None:
        self._observer = Observer(self, self._on_observation)
        self._listeners = [self.create_subscription(SupervisorState, "supervisor/state", self._on_state, LATCHED)]
        if not self.stepped:
            self._listeners.append(self.create_subscription(Command, "command", self._on_command, EVENT))
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(0.2, self._tell, clock=steady)

    def deactivate(self) -> None:
        self._observer.close()
        for listener in self._listeners:
            self.destroy_subscription(listener)
        self.destroy_timer(self._timer)

    def cleanup(self) -> None:
        self.make_safe()
        if self._loader is not None:
            self._loader.close()
        self._loader = None
        for name in ("_chunks", "_status"):
            if hasattr(self, name):
                self.destroy_publisher(getattr(self, name))

    def make_safe(self) -> None:
        if self._deployment is not None:
            self._deployment.stop()
        self._deployment = None

    # --- loading ------------------------------------------------------------------------------------------------

    def _load(self, path: Path, expected_hash: str) -> Engine:
        """In a worker's thread: PyTorch takes seconds to import, and the heartbeat goes on."""
        from xrollout_ros.learning.checkpoint import load_policy

        policy = load_policy(
            path, self.robot, self.task, expected_hash=expected_hash or None, device=self.text("device")
        )
        self._device = policy.device
        delay_steps = int(self.get_parameter("delay_steps").value)
        real_time = None if self.stepped else clock
        return make_engine(self.text("engine"), policy, self.robot, delay_steps=delay_steps, clock=real_time)

    def _announce(self, loaded: Loaded, path: str) -> None:
        info, engine = loaded.info, loaded.engine
        how = {
            "prefix": f"goes on from up to {info.max_prefix} rows, as trained",
            "guidance": "is guided towards the rows in play",
            "none": "cannot go on from rows in play; its chunks are spliced in as they are",
        }[info.conditioning]
        told = f"; it {how}" if engine.name == "rtc" else ""
        self.get_logger().info(f"policy {info.policy_id} ready ({path}), engine {engine.name}{told}")

    def _on_load_policy(self, request: LoadPolicy.Request, response: LoadPolicy.Response) -> LoadPolicy.Response:
        """In the service's own thread: answers when the policy is warm, or refused."""
        deployment = self._deployment
        if deployment is None:
            response.message = "refused: the policy node is shutting down"
            return response
        path = Path(request.path).expanduser()
        try:
            loaded = deployment.load(path, request.expected_hash, LOAD_TIMEOUT_S)
        except Exception as error:
            # A checkpoint is somebody's file: whatever loading it raises, the policy in use goes on.
            told = str(error) if isinstance(error, XRolloutError) else f"{type(error).__name__}: {error}"
            response.message = f"refused, the policy in use stays: {told}"
            self.get_logger().error(response.message)
            return response
        self._announce(loaded, str(path))
        # At once: an attempt that is asked for now gets it.
        self._tell()
        response.accepted, response.policy_id = True, loaded.info.policy_id
        response.message = "loaded and warm; it drives from the next attempt on"
        return response

    # --- inference ----------------------------------------------------------------------------------------------

    def _on_observation(self, observation: Observation, episode: EpisodeState) -> None:
        loaded = self._deployment.serve(episode.policy_id) if self._deployment is not None else None
        if loaded is None:
            return
        self._episode_id = episode.episode_id
        seen = loaded.processing(observation)
        # In real time an observation that calls for no new chunk needs no answer.
        if seen is not None and (self.stepped or loaded.engine.due(seen.stamp_ns)):
            loaded.worker.submit(seen, episode.seed)

    def _on_answer(self, chunk: Chunk) -> None:
        if len(chunk.actions) or self.stepped:
            self._chunks.publish(chunk_to_msg(chunk, clock.wall_ns()))
            self._rows_left = len(chunk.actions) or max(0, self._rows_left - 1)

    def _on_state(self, message: SupervisorState) -> None:
        before, self._mode = self._mode, Mode(message.mode)
        given = self._mode is Mode.AUTONOMOUS and before is not Mode.AUTONOMOUS
        if given and self._deployment is not None:
            self._deployment.current.engine.control_given(stamp_ns(message.since))

    def _on_command(self, message: Command) -> None:
        if message.source == Source.POLICY and message.episode_id == self._episode_id and self._deployment is not None:
            self._deployment.current.engine.played(message.chunk_sequence, stamp_ns(message.stamp))

    # --- how it is doing ----------------------------------------------------------------------------------------

    def _measured(self) -> dict[str, object]:
        if self._deployment is None:
            return {}
        current = self._deployment.current
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

    def _tell(self) -> None:
        if self._deployment is None:
            return
        current, newest = self._deployment.current, self._deployment.newest.info
        counts, engine = current.worker.counts, current.engine
        scores = engine.scores
        self._status.publish(
            PolicyStatus(
                stamp=time_msg(clock.wall_ns()),
                engine=engine.name,
                device=self._device,
                policy_id=current.info.policy_id,
                next_policy_id=newest.policy_id,
                next_checkpoint_hash=newest.checkpoint_hash,
                next_dataset_version=newest.dataset_version,
                latency_s=counts.latency_s,
                inferences=counts.inferences,
                queue_left=self._rows_left,
                frozen=engine.frozen,
                chunks_discarded=engine.discarded,
                observations_skipped=counts.skipped,
                errors=counts.errors,
                gave_up=engine.backoff.gave_up,
                last_error=counts.last_error,
                score_names=list(scores),
                score_values=list(scores.values()),
            )
        )


def main() -> None:
    """Console script ``policy``."""
    run_node(PolicyNode)


if __name__ == "__main__":
    main()
