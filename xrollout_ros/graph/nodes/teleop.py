"""teleop: carries an operator's commands and requests. It never decides the mode."""

from __future__ import annotations

from xrollout.msg import EpisodeState, TeleopCommand
from xrollout_ros.core.chunk import Observation, OperatorAction
from xrollout_ros.core.ports import Operator
from xrollout_ros.graph.conversions import operator_to_msg
from xrollout_ros.graph.node import GraphNode, run_node
from xrollout_ros.graph.observing import Observer
from xrollout_ros.graph.qos import COMMAND
from xrollout_ros.sim.operators import make_operator


class TeleopNode(GraphNode):
    """The scripted operator: it sees what everybody sees, the robot's topics."""

    def __init__(self) -> None:
        super().__init__("teleop")
        self.declare_parameter("operator", "scripted")
        self._operator: Operator | None = None

    def configure(self) -> None:
        self._operator = make_operator(self.text("operator"), self.robot, self.task)
        self._episode_id = ""
        self._commands = self.create_publisher(TeleopCommand, "teleop/command", COMMAND)

    def activate(self) -> None:
        self._observer = Observer(self, self._on_observation)

    def deactivate(self) -> None:
        self._observer.close()

    def cleanup(self) -> None:
        if hasattr(self, "_commands"):
            self.destroy_publisher(self._commands)
        self._operator = None

    def _on_observation(self, observation: Observation, episode: EpisodeState) -> None:
        operator = self._operator
        if operator is None or not episode.operator_id:
            return
        if observation.episode_id != self._episode_id:
            operator.reset(episode.seed)
            self._episode_id = observation.episode_id
        action = OperatorAction(
            observation.episode_id,
            episode.operator_id,
            observation.step,
            observation.stamp_ns,
            operator.act(observation.state),
        )
        self._commands.publish(operator_to_msg(action))


def main() -> None:
    """Console script ``teleop``."""
    run_node(TeleopNode)


if __name__ == "__main__":
    main()
