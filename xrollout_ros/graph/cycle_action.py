"""The action ``run_cycle``, in a node and threads of its own: a goal takes minutes, and nobody may wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node

from xrollout.action import RunCycle
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.recipe import load_recipe
from xrollout_ros.cycle.record import CycleRecord
from xrollout_ros.graph.spinning import SpinThread


@dataclass(frozen=True)
class Goal:
    """A cycle that somebody wants."""

    recipe: str = ""
    demonstrations: int = 0
    asked: bool = False
    """By the action."""


class CycleAction:
    """Takes one goal at a time, and refuses others with the reason in the log.

    Args:
        want: told of a goal.
        place: the flywheel's folder.
    """

    def __init__(self, want: Callable[[Goal], None], place: Place) -> None:
        self._want, self._place = want, place
        self._node = Node(
            "run_cycle_action", namespace="xrollout", use_global_arguments=False, enable_rosout=False,
            start_parameter_services=False,
        )  # fmt: skip
        self._lock = threading.Lock()
        self._handle: Any = None
        self._taken = False
        self._done = threading.Event()
        self._record: CycleRecord | None = None
        self._server = ActionServer(
            self._node, RunCycle, "run_cycle", self._execute, callback_group=ReentrantCallbackGroup(),
            goal_callback=self._on_goal, cancel_callback=lambda handle: CancelResponse.ACCEPT,
        )  # fmt: skip
        executor = MultiThreadedExecutor(2)
        executor.add_node(self._node)
        self._spinning = SpinThread(executor, "run_cycle")
        self._spinning.__enter__()

    @property
    def cancelled(self) -> bool:
        """Whether whoever asked for the cycle wants it to stop."""
        handle = self._handle
        return handle is not None and bool(handle.is_cancel_requested)

    def feedback(self, record: CycleRecord, what: str, done: int, total: int) -> None:
        """Tell whoever asked where the cycle is."""
        handle = self._handle
        if handle is not None:
            handle.publish_feedback(
                RunCycle.Feedback(
                    cycle_id=record.cycle_id, state=record.state.value, doing=what, done=done, total=total
                )
            )

    def finished(self, record: CycleRecord) -> None:
        """The cycle is through, or does not go on by itself."""
        self._record = record
        self._done.set()

    def close(self) -> None:
        """Serve no more."""
        self._done.set()
        self._server.destroy()
        self._spinning.__exit__(None, None, None)
        self._node.destroy_node()

    def _on_goal(self, request: RunCycle.Goal) -> GoalResponse:
        with self._lock:
            if self._taken:
                self._node.get_logger().warning("run_cycle: a cycle is under way; one at a time")
                return GoalResponse.REJECT
            if request.recipe:
                try:
                    load_recipe(request.recipe)
                except XRolloutError as error:
                    self._node.get_logger().error(f"run_cycle: {error}")
                    return GoalResponse.REJECT
            self._taken = True
        return GoalResponse.ACCEPT

    def _ended(self) -> CycleRecord | None:
        return self._record

    def _execute(self, handle: Any) -> RunCycle.Result:
        self._done.clear()
        self._record = None
        self._handle = handle
        self._want(Goal(handle.request.recipe, handle.request.demonstrations, asked=True))
        self._done.wait()
        record = self._ended()
        self._handle = None
        with self._lock:
            self._taken = False
        if record is None:
            handle.abort()
            return RunCycle.Result(stop="stopped", reason="the manager has ended")
        if handle.is_cancel_requested:
            handle.canceled()
        elif record.stop is not None:
            handle.abort()
        else:
            handle.succeed()
        deployed, stop = self._place.deployed(), record.stop
        return RunCycle.Result(
            cycle_id=record.cycle_id,
            ending=record.ending.value if record.ending is not None else "",
            stop=stop.name.value if stop is not None else "",
            reason=stop.reason if stop is not None else record.reason,
            next_step=stop.next_step if stop is not None else record.next_step,
            policy_id=deployed.policy.policy_id if deployed is not None else "",
            dataset_version=record.curated.dataset_version if record.curated is not None else "",
        )
