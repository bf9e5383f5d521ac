"""An operator that joins a running graph from outside, e.g. from another terminal: `xrollout teleop`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.graph.lifecycle import call
from xrollout_ros.graph.middleware import prepare
from xrollout_ros.graph.monitor import GraphObserver
from xrollout_ros.graph.operating import Inputs
from xrollout_ros.graph.pulse import Pulse
from xrollout_ros.graph.spinning import SpinThread, make_executor
from xrollout_ros.graph.teleoperation import Teleoperation
from xrollout_ros.graph.topics import NAMESPACE
from xrollout_ros.runtime.operators.keyboard import KeyboardOperator
from xrollout_ros.runtime.operators.sources import HUMAN
from xrollout_ros.runtime.operators.specs import OperatorSpec, load_operators
from xrollout_ros.runtime.operators.team import join, make_sources
from xrollout_ros.sim.operators import make_expert

FIND_S = 10.0
LISTEN_S = 2.0
"""Without a recorder (strategy base) the supervisor listens alone."""


@dataclass(frozen=True)
class Joined:
    """An operator at work in a running graph."""

    name: str
    observer: GraphObserver
    """What the graph does meanwhile."""
    keys: list[tuple[str, str]]
    """Keys of a keyboard and what they do."""
    problem: Callable[[], str]
    """Why nothing can come from the operator; empty: nothing is wrong."""


class _JoiningNode(Node):
    """Named after the operator, so that several may join."""

    def __init__(self, name: str, context: Context) -> None:
        super().__init__(f"teleop_{name}", namespace=NAMESPACE.strip("/"), context=context)
        self.stepped = False
        self.pulse = Pulse(self, lambda: 0)


@contextmanager
def joined(operator: str, terminal: str, on_quit: Callable[[], None]) -> Iterator[Joined]:
    """Join the graph of this process's ROS domain and stay until the context is left; then the robot holds.

    Args:
        operator: sources, e.g. ``keyboard`` or ``leader,pedal``, as in ``operator:=``.
        terminal: path of the terminal that a keyboard reads.
        on_quit: called when somebody presses q on that keyboard.

    Raises:
        GraphError: no graph runs, it is driven stepped, or a source is absent.
        SpecError: the operator does not fit the robot.
    """
    specs = load_operators(operator)
    prepare()
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = _JoiningNode("_".join(spec.source for spec in specs), context)
    executor = make_executor(context)
    executor.add_node(node)
    # Undone in reverse; nothing may be answered any more when sources and publishers are taken away.
    undo = ExitStack()
    undo.callback(rclpy.try_shutdown, context=context)
    undo.callback(node.destroy_node)
    undo.callback(node.pulse.stop)
    with undo:
        inputs: Inputs | None = None
        teleoperation: Teleoperation | None = None
        try:
            with SpinThread(executor, "joined"):
                robot, task, drive = _parameters(node)
                node.robot = load_robot(robot)
                _refuse(operator, specs, drive)
                sources = make_sources(specs, node.robot, lambda name: make_expert(name, node.robot, load_task(task)))
                team = join(sources)
                inputs = Inputs(node, sources, terminal, on_quit)
                teleoperation = Teleoperation(node, team, by_observation=False, operator_id=team.name)
                node.pulse.problem = team.problem
                _wait_for_graph(teleoperation)
                keys = [key for source in sources if isinstance(source, KeyboardOperator) for key in source.help()]
                yield Joined(team.name, GraphObserver(node), keys, team.problem)
        finally:
            if teleoperation is not None:
                teleoperation.close()
            if inputs is not None:
                inputs.close()


def _wait_for_graph(teleoperation: Teleoperation) -> None:
    """Nothing that is pressed from now on may be lost, and the first command must not be missing from the bag."""
    begin_s = time.monotonic()
    while not (teleoperation.knows_attempt and teleoperation.listeners):
        if time.monotonic() > begin_s + FIND_S:
            raise GraphError(
                f"the graph's supervisor answers, but was not heard on its topics within {FIND_S:g} s",
                "Look at its log, and whether the machine is overloaded (`xrollout monitor`); then try again.",
            )
        time.sleep(0.02)
    while teleoperation.listeners < 2 and time.monotonic() < begin_s + LISTEN_S:
        time.sleep(0.02)


def _refuse(operator: str, specs: tuple[OperatorSpec, ...], drive: str) -> None:
    if drive == "stepped":
        raise GraphError(
            "the running graph is driven stepped: simulated time does not wait for a person",
            "Start it with drive:=real_time; a scripted operator is named there: operator:=scripted.",
        )
    if any(spec.source not in HUMAN for spec in specs):
        raise GraphError(
            f"operator {operator!r} is a script, and a script cannot join a running graph",
            "Name it when the graph is started: operator:=scripted.",
        )


def _parameters(node: Node) -> list[str]:
    """Robot, task and drive of the running graph, as its supervisor was told."""
    client = node.create_client(GetParameters, "supervisor/get_parameters")
    if not client.wait_for_service(FIND_S):
        raise GraphError(
            f"no graph was found within {FIND_S:g} s",
            "Start one (`xrollout up deploy model:=checkpoint.pt drive:=real_time`), or set its ROS_DOMAIN_ID.",
        )
    request = GetParameters.Request(names=["robot", "task", "drive"])
    answer = call(client, request, FIND_S, "ask for the graph's robot")
    node.destroy_client(client)
    return [value.string_value for value in answer.values]
