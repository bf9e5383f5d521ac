"""What every node of the graph has: heartbeat, diagnostics, guarded transitions, a clean end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType

import rclpy
from lifecycle_msgs.msg import State as StateMsg
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.graph.pulse import Pulse
from xrollout_ros.graph.spinning import make_executor

SWITCH_INTERVAL_S = 0.0002


class GraphNode(LifecycleNode):
    """Base of the managed nodes.

    A subclass fills in ``configure``, ``activate``, ``deactivate`` and ``cleanup``. Each may raise: the error is
    logged whole, what ``configure`` made is cleaned up again, and the transition fails.
    """

    polls = False
    """Whether it keeps subscriptions from the executor, to empty them by itself."""

    def __init__(self, name: str) -> None:
        super().__init__(name, namespace="xrollout")
        self._refuse_wrong_transitions()
        self.pulse = Pulse(self, self._state_id)
        self.declare_parameter("robot", "")
        self.declare_parameter("task", "")
        self.declare_parameter("drive", "stepped")
        self.robot: RobotSpec
        self.task: TaskSpec
        self.stepped = True
        self.configured = False
        self.active = False

    def text(self, name: str) -> str:
        """A string parameter."""
        return str(self.get_parameter(name).value)

    def configure(self) -> None:
        """Get ready; all or nothing."""

    def activate(self) -> None:
        """Begin to work."""

    def deactivate(self) -> None:
        """Cease to work; leave everything safe."""

    def cleanup(self) -> None:
        """Undo ``configure``; also called when it failed half-way."""

    def make_safe(self) -> None:
        """The process is about to end: leave everything safe, without waiting for anyone. Only called if configured."""

    def _refuse_wrong_transitions(self) -> None:
        """A transition that there is not from the present state is answered with "no"; rclpy would end the process."""
        service = self._service_change_state
        change = service.callback

        def guarded(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change(request, response)
            except rclpy_implementation.RCLError:
                wanted, state = request.transition.label or request.transition.id, self._state_machine.current_state[1]
                self.get_logger().error(f"transition {wanted} refused: the node is {state}")
                response.success = False
                return response

        service.callback = guarded

    def _state_id(self) -> int:
        return int(self._state_machine.current_state[0]) if hasattr(self, "_state_machine") else 0

    def _guard(self, what: str, work: Callable[[], None]) -> bool:
        with self.pulse.transition():
            try:
                work()
            except XRolloutError as error:
                self.get_logger().error(f"{what} failed: {error}")
                return False
            except Exception:
                self.get_logger().error(f"{what} failed:\n{traceback.format_exc()}")
                return False
        return True

    def _configure(self) -> None:
        self.robot, self.task = load_robot(self.text("robot")), load_task(self.text("task"))
        self.stepped = self.text("drive") == "stepped"
        self.configure()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        if self._guard("configure", self._configure):
            self.configured = True
            return TransitionCallbackReturn.SUCCESS
        self._guard("cleanup", self.cleanup)
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        # Publishers that are managed drop silently unless the base class activates them first.
        result = super().on_activate(state)
        if result is not TransitionCallbackReturn.SUCCESS or not self._guard("activate", self.activate):
            return TransitionCallbackReturn.FAILURE
        self.active = True
        # What is here now stays. Collecting garbage must not look through all of it in the middle of a tick.
        gc.collect()
        gc.freeze()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.active = False
        done = self._guard("deactivate", self.deactivate)
        result = super().on_deactivate(state)
        return result if done else TransitionCallbackReturn.FAILURE

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.configured = False
        done = self._guard("cleanup", self.cleanup)
        return TransitionCallbackReturn.SUCCESS if done else TransitionCallbackReturn.FAILURE

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._guard("shutdown", self.make_safe)
        return TransitionCallbackReturn.SUCCESS if done else TransitionCallbackReturn.FAILURE


class StopFlag:
    """Set by SIGINT and SIGTERM: the node ends itself, in its own order."""

    def __init__(self) -> None:
        self.event = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.event.set()


def run_node(make: Callable[[], GraphNode]) -> None:
    """Run a node's process until it is told to stop. Exit status 0 after an orderly end, 1 after a failure.

    Args:
        make: makes the node; a :class:`GraphNode`.
    """
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    # A thread that has something to do (a tick, an inference) must not wait 5 ms for the executor's to give way.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = StopFlag()
    status = 0
    node = make()
    executor = make_executor(waits=node.polls)
    executor.add_node(node)
    try:
        while not stop.event.is_set():
            executor.spin_once(timeout_sec=0.1)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        node.get_logger().fatal(f"{node.get_name()} ends:\n{traceback.format_exc()}")
        status = 1
    try:
        if node.configured:
            node.make_safe()
    except Exception:
        node.get_logger().error(f"could not be made safe:\n{traceback.format_exc()}")
        status = 1
    node.pulse.stop()
    # The last messages leave by the middleware's own threads; give them a moment before the node is gone.
    time.sleep(0.05)
    executor.remove_node(node)
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    sys.exit(status)


ACTIVE = StateMsg.PRIMARY_STATE_ACTIVE
INACTIVE = StateMsg.PRIMARY_STATE_INACTIVE
UNCONFIGURED = StateMsg.PRIMARY_STATE_UNCONFIGURED
