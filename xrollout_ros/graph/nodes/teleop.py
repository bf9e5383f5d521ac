"""teleop: carries an operator's commands and requests. It never decides the mode."""

from __future__ import annotations

from xrollout_ros.graph.node import GraphNode, run_node
from xrollout_ros.graph.operating import Inputs
from xrollout_ros.graph.teleoperation import Teleoperation
from xrollout_ros.runtime.operators.keyboard import KeyboardOperator
from xrollout_ros.runtime.operators.scripted import ScriptedOperator
from xrollout_ros.runtime.operators.specs import load_operators
from xrollout_ros.runtime.operators.team import join, make_sources
from xrollout_ros.sim.operators import make_expert


class TeleopNode(GraphNode):
    """Wiring only: what the sources mean is in ``runtime/operators``."""

    def __init__(self) -> None:
        super().__init__("teleop")
        self.declare_parameter("operator", "scripted")
        self.declare_parameter("terminal", "")
        self._inputs: Inputs | None = None
        self._teleoperation: Teleoperation | None = None

    def configure(self) -> None:
        specs = load_operators(self.text("operator"))
        sources = make_sources(specs, self.robot, lambda name: make_expert(name, self.robot, self.task))
        self._inputs = Inputs(self, sources, self.text("terminal"))
        self._operator = join(sources)
        self._script = any(isinstance(source, ScriptedOperator) for source in sources)
        self.pulse.problem = self._operator.problem
        self.get_logger().info(f"operator {self._operator.name} is ready")
        for keyboard in (source for source in sources if isinstance(source, KeyboardOperator)):
            self.get_logger().info("keys: " + ", ".join(f"{key} {what}" for key, what in keyboard.help()))

    def activate(self) -> None:
        self._teleoperation = Teleoperation(self, self._operator, by_observation=self._script)

    def deactivate(self) -> None:
        if self._teleoperation is not None:
            self._teleoperation.close()
        self._teleoperation = None

    def cleanup(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
        self._inputs = None

    def make_safe(self) -> None:
        self.deactivate()
        self.cleanup()


def main() -> None:
    """Console script ``teleop``."""
    run_node(TeleopNode)


if __name__ == "__main__":
    main()
