"""manager: brings the nodes up and down, starts and ends attempts, decides their first outcome."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout_ros.core.episode import DELAY_STEPS, RUN
from xrollout_ros.core.errors import GraphError, XRolloutError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Phase
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.cycle.place import Place
from xrollout_ros.episodes import paths
from xrollout_ros.graph.agenda import Agenda
from xrollout_ros.graph.attempting import POLICY_TIMEOUT_S, Attempting
from xrollout_ros.graph.bag_keeper import NOT_CLOSED, BagKeeper
from xrollout_ros.graph.cycling import CycleArguments, Cycling, GraphShop
from xrollout_ros.graph.inbox import Inbox, Wish
from xrollout_ros.graph.lifecycle import Members, StopRequested
from xrollout_ros.graph.node import StopFlag
from xrollout_ros.graph.pulse import Pulse, clock
from xrollout_ros.graph.spinning import SpinThread, make_executor
from xrollout_ros.graph.starting import read_starts
from xrollout_ros.runtime.attempt_plan import AttemptPlan

START_TIMEOUT_S = 60.0
TEAR_DOWN_TIMEOUT_S = 0.5
_TEXTS = (
    "robot", "task", "data", "model", "recovery_policy", "recovery_hash", "start", "operator", "tags", "nodes", "site",
    "faults", "starts", "acting", "flywheel", "recipe", RUN,
)  # fmt: skip
_DEFAULTS: dict[str, object] = {
    "drive": "stepped", "strategy": "episodic", "kind": "attempt", "episodes": 0, "seed": 0, "resume": False,
    "reset_seconds": 0.0, DELAY_STEPS: 0, "level": "L0", "until_cycle": -1, "wait": False,
}  # fmt: skip


class ManagerNode(Node):
    """The sequences run in the process's main thread, in ``run``; the inbox takes notes in the executor's."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__("manager", namespace="xrollout")
        for name in _TEXTS:
            self.declare_parameter(name, "")
        for name, default in _DEFAULTS.items():
            self.declare_parameter(name, default)
        self.pulse = Pulse(self, lambda: 0)
        self.robot, self.task = load_robot(self._text("robot")), load_task(self._text("task"))
        self._stop = stop
        starts, self._seed = read_starts(self._text("starts")), int(self.get_parameter("seed").value)
        self._total = int(self.get_parameter("episodes").value) if starts is None else len(starts)
        self._start = self._text("start") or self.task.default_start
        self._has_policy = bool(self._text("model"))
        self._members = Members(self, self._text("nodes").split(","), clock, stop)
        self._inbox = Inbox(self, self.task, self._start, clock, self._members.changed)
        self._bags = BagKeeper(self, self._members)
        plan = AttemptPlan(0 if starts is not None else self._seed, self._total)
        reset_s = float(self.get_parameter("reset_seconds").value)
        self._agenda = Agenda(self, plan, self._start, starts, reset_s, self._inbox, self._members, self._bags, clock)
        self._agenda.bring_up = self._bring_up
        self._attempting = Attempting(
            self, self.robot, self.task, self._members, self._inbox, self._bags, stop, self._bring_up
        )
        self._attempting.run = self._agenda
        self._cycling = self._make_cycling() if self._text("flywheel") else None
        self._agenda.discarded = lambda meta: self._attempting.tell(Phase.CLOSED, meta, discarded=True)
        self.pulse.values = lambda: {
            "attempts": self._agenda.number,
            "successes": self._agenda.tally.successes,
            "helped": self._agenda.tally.helped,
        }

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def run(self) -> int:
        """Bring the graph up, make the attempts, take it down; gives the exit status."""
        status, how = 0, "done"
        try:
            self._bring_up()
            if self.get_parameter("resume").value:
                # Only now is it known which policy drives.
                like = self._attempting.meta(Wish(new_id(), self._seed, self._start), clock.wall_ns())
                self._agenda.resume(paths.data_dir(self._text("data")), like)
            if self._cycling is not None:
                how = self._cycling.run()
            elif not self._total:
                self.get_logger().info("ready; call start_attempt to begin an attempt")
            while self._cycling is None and (wish := self._agenda.next()) is not None:
                self._try(wish)
        except StopRequested:
            how = "stopped"
        except XRolloutError as error:
            self.get_logger().fatal(str(error))
            status, how = error.exit_code, "failed"
        self._bags.settle()
        if self._cycling is not None:
            self.get_logger().info(how)
        else:
            self.get_logger().info(f"{how}: {self._agenda.tally.text(' of ', self._agenda.number)}")
        self._members.tear_down(TEAR_DOWN_TIMEOUT_S)
        return status

    def _make_cycling(self) -> Cycling:
        place = Place(Path(self._text("flywheel")), clock)
        shop = GraphShop(self, place, self._attempting, self._members, self._inbox, self._stop, self._bring_up)
        arguments = CycleArguments(
            recipe=self._text("recipe"),
            task=self._text("task"),
            robot=self._text("robot"),
            data=self._text("data"),
            operator=self._text("operator"),
            faults=self._text("faults"),
            model=self._text("model"),
            until=int(self.get_parameter("until_cycle").value),
            wait=bool(self.get_parameter("wait").value),
        )
        return Cycling(self, shop, place, arguments, self._stop)

    def _bring_up(self) -> None:
        # What was heard before may be of a process that has died, with a policy that was loaded by hand.
        self._inbox.policy = None
        self._members.bring_up(START_TIMEOUT_S)
        if self._has_policy:
            silent = "the policy node did not report its policy"
            self._members.wait(lambda: self._inbox.policy is not None, POLICY_TIMEOUT_S, silent)

    def _try(self, wish: Wish) -> None:
        """An attempt; where a node died before it could begin, another one follows."""
        try:
            made = self._attempting.make(wish)
        except GraphError as error:
            lost = self._members.lost()
            if not lost:
                raise
            self.get_logger().error(f"{error.what}; {lost}")
        else:
            self._agenda.done(wish, made.meta, made.verdict, self._attempting.keeps and made.where != NOT_CLOSED)


def main() -> None:
    """Console script ``manager``."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = StopFlag()
    try:
        node = ManagerNode(stop.event)
    except XRolloutError as error:
        sys.stderr.write(f"error: {error}\n")
        rclpy.try_shutdown()
        sys.exit(error.exit_code)
    executor = make_executor()
    executor.add_node(node)
    with SpinThread(executor, "executor"):
        status = node.run()
        # The last EpisodeState leaves by the middleware's own threads; give it a moment before the node is gone.
        time.sleep(0.1)
        node.pulse.stop()
    node.destroy_node()
    rclpy.try_shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
