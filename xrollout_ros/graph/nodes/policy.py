"""policy: turns observations into action chunks. It never touches the robot."""

from __future__ import annotations

from pathlib import Path

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType

from xrollout.msg import Command, EpisodeState, PolicyStatus
from xrollout.srv import LoadPolicy
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.inference import LOAD_TIMEOUT_S, InferenceNode
from xrollout_ros.graph.node import run_node
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import STREAM
from xrollout_ros.graph.slow_service import SlowService
from xrollout_ros.runtime.engines.deployment import Deployment, Loaded


class PolicyNode(InferenceNode):
    """Answers every observation, and takes another policy when it is told to."""

    topic = "chunk"

    def __init__(self) -> None:
        super().__init__("policy")
        self._loader: SlowService | None = None

    def configure(self) -> None:
        self._status = self.create_publisher(PolicyStatus, "policy/status", STREAM)
        super().configure()
        self._loader = SlowService(LoadPolicy, "load_policy", self._on_load_policy)

    def activate(self) -> None:
        super().activate()
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(0.2, self._tell, clock=steady)

    def deactivate(self) -> None:
        super().deactivate()
        self.destroy_timer(self._timer)

    def cleanup(self) -> None:
        super().cleanup()
        if self._loader is not None:
            self._loader.close()
        self._loader = None
        if hasattr(self, "_status"):
            self.destroy_publisher(self._status)

    def has_control(self, command: Command) -> bool:
        return bool(command.mode == Mode.AUTONOMOUS)

    def is_own(self, command: Command) -> bool:
        return bool(command.source == Source.POLICY)

    def serve(self, deployment: Deployment, episode: EpisodeState) -> Loaded | None:
        return deployment.serve(episode.policy_id)

    def _on_load_policy(self, request: LoadPolicy.Request, response: LoadPolicy.Response) -> LoadPolicy.Response:
        """In the service's own thread: answers when the policy is warm, or refused."""
        deployment = self.deployment
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
        self.announce(loaded, str(path))
        # At once: an attempt that is asked for now gets it.
        self._tell()
        response.accepted, response.policy_id = True, loaded.info.policy_id
        response.message = "loaded and warm; it drives from the next attempt on"
        return response

    def _tell(self) -> None:
        if self.deployment is None:
            return
        current, newest = self.deployment.current, self.deployment.newest.info
        counts, engine = current.worker.counts, current.engine
        scores = engine.scores
        self._status.publish(
            PolicyStatus(
                stamp=time_msg(clock.wall_ns()),
                engine=engine.name,
                device=self.device,
                policy_id=current.info.policy_id,
                next_policy_id=newest.policy_id,
                next_checkpoint_hash=newest.checkpoint_hash,
                next_dataset_version=newest.dataset_version,
                latency_s=counts.latency_s,
                inferences=counts.inferences,
                queue_left=self.rows_left,
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
