"""recovery_policy: a second policy, which drives while the supervisor lets a learned recovery drive."""

from __future__ import annotations

import numpy as np

from xrollout.msg import Command, EpisodeState
from xrollout_ros.core.chunk import ActionChunk, Observation
from xrollout_ros.core.modes import Source
from xrollout_ros.core.recoveries import LEARNED
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.graph.inference import InferenceNode
from xrollout_ros.graph.node import run_node
from xrollout_ros.runtime.engines.deployment import Deployment, Loaded


class RecoveryPolicyNode(InferenceNode):
    """Computes nothing until it is its turn. What it has to remember of observations it does all the time."""

    topic = "recovery/chunk"

    def __init__(self) -> None:
        super().__init__("recovery_policy")

    def fits(self) -> TaskSpec | None:
        # Whoever has learned to withdraw can do so in any task.
        return None

    def has_control(self, command: Command) -> bool:
        return bool(command.recovery == LEARNED)

    def is_own(self, command: Command) -> bool:
        return bool(command.source == Source.RECOVERY and command.chunk_sequence >= 0)

    def serve(self, deployment: Deployment, episode: EpisodeState) -> Loaded | None:
        return deployment.current

    def consider(self, observation: Observation, episode: EpisodeState) -> None:
        if self.control.given:
            super().consider(observation, episode)
        elif self.deployment is not None:
            current = self.deployment.current
            current.processing(observation)
            if self.stepped:
                # Always an answer: a recovery may begin before it is known here.
                self.publish(_nothing(observation, current.info.policy_id, self.robot))


def _nothing(observation: Observation, policy_id: str, robot: RobotSpec) -> ActionChunk:
    rows = np.zeros((0, robot.action_dim), dtype=np.float32)
    stamp, period_ns = observation.stamp_ns, robot.policy_period_ns
    return ActionChunk(observation.episode_id, policy_id, 0, observation.step, stamp, stamp, period_ns, rows)


def main() -> None:
    """Console script ``recovery_policy``."""
    run_node(RecoveryPolicyNode)


if __name__ == "__main__":
    main()
