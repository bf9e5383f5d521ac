"""policy: turns observations into action chunks. It never touches the robot."""

from __future__ import annotations

from pathlib import Path

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType

from xrollout.msg import ActionChunk, EpisodeState, PolicyStatus
from xrollout_ros.core.chunk import ActionChunk as Chunk
from xrollout_ros.core.chunk import Observation
from xrollout_ros.core.errors import SpecError
from xrollout_ros.graph.conversions import chunk_to_msg, time_msg
from xrollout_ros.graph.node import GraphNode, clock, run_node
from xrollout_ros.graph.observing import Observer
from xrollout_ros.graph.qos import COMMAND, STREAM
from xrollout_ros.runtime.inference import ChunkPlanner, InferenceWorker
from xrollout_ros.runtime.processors import Pipeline, Processing

LOAD_TIMEOUT_S = 60.0


class PolicyNode(GraphNode):
    """Answers every observation; the network runs in the worker's thread alone."""

    def __init__(self) -> None:
        super().__init__("policy")
        self.declare_parameter("model", "")
        self.declare_parameter("model_hash", "")
        self.declare_parameter("delay_steps", 0)
        self._worker: InferenceWorker | None = None

    def configure(self) -> None:
        model = self.text("model")
        if not model:
            raise SpecError("no model was given", "Start with model:=checkpoint.pt.")
        delay_steps = int(self.get_parameter("delay_steps").value)

        def load() -> ChunkPlanner:
            # Imported here, in the worker's thread: PyTorch takes seconds, the heartbeat goes on.
            from xrollout_ros.learning.checkpoint import load_policy

            policy = load_policy(Path(model), robot=self.robot, expected_hash=self.text("model_hash") or None)
            return ChunkPlanner(policy, self.robot, delay_steps)

        self._chunks = self.create_publisher(ActionChunk, "chunk", COMMAND)
        self._status = self.create_publisher(PolicyStatus, "policy/status", STREAM)
        self._worker = InferenceWorker(load, self._on_answer)
        planner = self._worker.start(LOAD_TIMEOUT_S)
        self._info = planner.policy.info
        self._processing = Processing(Pipeline(self._info.processors, self.robot), self.robot)
        self._rows_left = 0
        self.pulse.problem = lambda: self._worker.counts.last_error if self._worker else ""
        self.pulse.values = self._measured
        self.get_logger().info(f"policy {self._info.policy_id} ready ({model})")

    def activate(self) -> None:
        self._observer = Observer(self, self._on_observation)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(0.2, self._tell, clock=steady)

    def deactivate(self) -> None:
        self._observer.close()
        self.destroy_timer(self._timer)

    def cleanup(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._worker = None
        for name in ("_chunks", "_status"):
            if hasattr(self, name):
                self.destroy_publisher(getattr(self, name))

    def make_safe(self) -> None:
        if self._worker is not None:
            self._worker.stop()

    def _measured(self) -> dict[str, object]:
        if self._worker is None:
            return {}
        counts = self._worker.counts
        return {
            "queue": self._worker.waiting,
            "drops": counts.skipped,
            "inferences": counts.inferences,
            "inference_ms": f"{1e3 * counts.latency_s:.3f}",
            "errors": counts.errors,
        }

    def _on_observation(self, observation: Observation, episode: EpisodeState) -> None:
        worker = self._worker
        if worker is None or episode.policy_id != self._info.policy_id:
            return
        assert worker.planner is not None
        # Here, not in the worker's thread: that one may miss observations, a processor must see each tick once.
        seen = self._processing(observation)
        # In real time an observation that calls for no new chunk needs no answer.
        if seen is not None and (self.stepped or worker.planner.due(seen.stamp_ns)):
            worker.submit(seen, episode.seed)

    def _on_answer(self, chunk: Chunk) -> None:
        if len(chunk.actions) or self.stepped:
            self._chunks.publish(chunk_to_msg(chunk, clock.wall_ns()))
            self._rows_left = len(chunk.actions) or max(0, self._rows_left - 1)

    def _tell(self) -> None:
        if self._worker is None:
            return
        counts = self._worker.counts
        self._status.publish(
            PolicyStatus(
                stamp=time_msg(clock.wall_ns()),
                engine="sync",
                policy_id=self._info.policy_id,
                latency_s=counts.latency_s,
                inferences=counts.inferences,
                queue_left=self._rows_left,
                chunks_discarded=counts.skipped,
                errors=counts.errors,
                last_error=counts.last_error,
            )
        )


def main() -> None:
    """Console script ``policy``."""
    run_node(PolicyNode)


if __name__ == "__main__":
    main()
