"""The manager's side of the flywheel: makes the attempts that a cycle asks for, and keeps the graph up meanwhile."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rclpy.node import Node

from xrollout.msg import FlywheelState
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, OutcomeSource
from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.ids import new_id
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.machine import Flywheel
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Driver, Told
from xrollout_ros.cycle.recipe import FlywheelRecipe, load_recipe
from xrollout_ros.cycle.record import CycleRecord, State, StopName
from xrollout_ros.cycle.working import work
from xrollout_ros.graph.attempting import Attempting, Count, Finished
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.cycle_action import CycleAction, Goal
from xrollout_ros.graph.inbox import Inbox, Wish
from xrollout_ros.graph.lifecycle import Members, StopRequested
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import LATCHED
from xrollout_ros.runtime.start_list import StartList

TRIES = 3
"""An attempt that a node's death cuts short is made again so often."""
_TOLD_S, _LOGGED_S, _LOOK_S = 0.2, 5.0, 1.0


class GraphShop:
    """``cycle.ports.Workshop`` in a running graph; used in the manager's own thread.

    Args:
        node: the manager.
        place: the flywheel's folder.
        attempting: makes attempts.
        members: the other nodes.
        inbox: what the manager hears.
        stop: set when the process shall end.
        bring_up: brings back nodes that were lost.
    """

    automatic = True

    def __init__(
        self, node: Node, place: Place, attempting: Attempting, members: Members, inbox: Inbox,
        stop: threading.Event, bring_up: Callable[[], None],
    ) -> None:  # fmt: skip
        self._node, self._place, self._attempting = node, place, attempting
        self._members, self._inbox, self._stop, self._bring_up = members, inbox, stop, bring_up
        self._publisher = node.create_publisher(FlywheelState, "flywheel", LATCHED)
        self._told_s = self._logged_s = 0.0
        self._last = ("", "")
        self.action: CycleAction | None = None
        """Whoever asked for the cycle is told, too."""

    def make(
        self, starts: StartList, driver: Driver, kind: EpisodeKind, made: dict[int, EpisodeMeta],
        after: Callable[[EpisodeMeta], bool],
    ) -> None:  # fmt: skip
        """See ``Workshop``."""
        count = Count(len(starts), len(made))
        self._attempting.run = count
        for place, number in enumerate(starts.numbers):
            if number in made:
                continue
            self._turn()
            self._attempting.run = count
            count.number += 1
            made[number] = meta = self._one(starts, place, driver, kind)
            if after(meta):
                return

    def _one(self, starts: StartList, place: int, driver: Driver, kind: EpisodeKind) -> EpisodeMeta:
        listed = starts.starts[place]
        for left in reversed(range(TRIES)):
            wish = Wish(
                new_id(), -1 if listed.seed is None else listed.seed, listed.start, place,
                (*starts.tags, *listed.tags), starts.parameters_of(place), listed.model, driver, kind,
            )  # fmt: skip
            finished = self._try(wish, last=not left)
            # What the system cut short says nothing of the policy.
            if finished is not None and finished.meta.outcome_source is not OutcomeSource.SYSTEM:
                return finished.meta
        raise GraphError(
            f"the attempt at start {listed.start} with seed {listed.seed} was cut short {TRIES} times",
            "Look at the output of the nodes; then `xrollout flywheel run` goes on.",
        )

    def _try(self, wish: Wish, *, last: bool) -> Finished | None:
        try:
            return self._attempting.make(wish)
        except StopRequested as stop:
            raise _stopped() from stop
        except GraphError as error:
            lost = self._members.lost()
            if last or not lost:
                raise
            self._node.get_logger().error(f"{error.what}; {lost}")
            return None

    def work(self, job: str, record: CycleRecord, told: Told) -> None:
        """See ``Workshop``; attempts that somebody asks for are made meanwhile."""
        work(job, self._place.folder(record), told, self._turn)

    def swap(self, policy: PolicyRef) -> None:
        """See ``Workshop``."""
        if "policy" in self._members:
            self._turn()
            self._attempting.load(policy.checkpoint)

    def wait(self, ready: Callable[[], bool]) -> None:
        """See ``Workshop``."""
        looked_s = 0.0
        while True:
            self._turn()
            if time.monotonic() - looked_s > _LOOK_S:
                looked_s = time.monotonic()
                if ready():
                    return
            with self._inbox.changed:
                self._inbox.changed.wait(_TOLD_S)

    def _turn(self) -> None:
        """Between two things: stop if somebody asks for that, bring back what died, make what was asked for.

        Raises:
            CycleStop: somebody asked to stop.
        """
        if self._stop.is_set() or self._place.asked_to_stop or (self.action is not None and self.action.cancelled):
            raise _stopped()
        try:
            if self._members.lost():
                self._bring_up()
            wish = self._inbox.wish
            if wish is not None and self._inbox.watch is None:
                before, self._attempting.run = self._attempting.run, Count()
                driver: Driver | None = "policy" if "policy" in self._members else None
                asked = Wish(wish.episode_id, max(0, wish.seed), wish.start, driver=driver)
                self._try(asked, last=False)
                self._attempting.run = before
        except StopRequested as stop:
            raise _stopped() from stop

    def show(self, record: CycleRecord, what: str, done: int, total: int) -> None:
        """See ``Workshop``."""
        entered = (record.cycle_id, record.state.value) != self._last
        self._last = (record.cycle_id, record.state.value)
        now_s = time.monotonic()
        if entered or done == total or now_s - self._told_s > _TOLD_S:
            self._told_s = now_s
            self.publish(record, what, done, total)
        if entered or now_s - self._logged_s > _LOGGED_S:
            self._logged_s = now_s
            of = f" {done}/{total}" if total else ""
            target = f" for {record.target}" if record.target else ""
            self._node.get_logger().info(f"cycle {record.number} {record.state.value}{target}: {what}{of}")

    def publish(self, record: CycleRecord, what: str = "", done: int = 0, total: int = 0) -> None:
        """Tell everybody where the cycle is."""
        deployed = self._place.deployed()
        if self.action is not None:
            self.action.feedback(record, what, done, total)
        self._publisher.publish(
            FlywheelState(
                stamp=time_msg(clock.wall_ns()),
                cycle_id=record.cycle_id,
                number=record.number,
                state=record.state.value,
                stage=record.stage.value if record.stage is not None else "",
                target=record.target,
                doing=what,
                done=done,
                total=total,
                policy_id=deployed.policy.policy_id if deployed is not None else "",
                candidate_id=record.trained.policy.policy_id if record.trained is not None else "",
                dataset_version=record.curated.dataset_version if record.curated is not None else "",
                ending=record.ending.value if record.ending is not None else "",
                stop=record.stop.name.value if record.stop is not None else "",
                reason=record.stop.reason if record.stop is not None else record.reason,
                next_step=record.stop.next_step if record.stop is not None else record.next_step,
            )
        )


def _stopped() -> CycleStop:
    return CycleStop(StopName.STOPPED, "somebody asked to stop", "`xrollout flywheel run` goes on where it is.")


@dataclass(frozen=True)
class CycleArguments:
    """What the manager's parameters say of the flywheel."""

    recipe: str
    task: str
    robot: str
    data: str
    operator: str
    faults: str
    model: str
    until: int
    """Number of the last cycle to run; below 0: cycles are run when the action asks for one."""
    wait: bool


class Cycling:
    """Runs cycles in the manager's own thread."""

    def __init__(
        self, node: Node, shop: GraphShop, place: Place, arguments: CycleArguments, stop: threading.Event
    ) -> None:
        self._node, self._shop, self._place, self._arguments, self._stop = node, shop, place, arguments, stop
        self._goals: queue.Queue[Goal] = queue.Queue()
        self._recipe = load_recipe(arguments.recipe)
        self._action = CycleAction(self._goals.put, place)

    def run(self) -> str:
        """Run the cycles that were asked for, and say how it went.

        Raises:
            XRolloutError: another process runs them, or a record is damaged.
            StopRequested: the process was told to stop.
        """
        arguments, said = self._arguments, "no cycle was run"
        with self._place.held():
            self._place.forget_stop()
            self._given()
            try:
                while (goal := self._next()) is not None:
                    record = self._one(goal)
                    said = f"cycle {record.number}: {_ended(record)}"
                    if record.stop is not None and arguments.until >= 0:
                        break
                    if record.base is None and record.state is State.DONE:
                        # There was no policy, so there is no node for one.
                        said += " Start again, now with a policy."
                        break
            finally:
                self._action.close()
        if self._stop.is_set():
            raise StopRequested
        return said

    def _given(self) -> None:
        """Deploy the model that the graph was started with, where none is deployed."""
        if self._arguments.model and self._place.deployed() is None:
            self._place.deploy(PolicyRef.of(Path(self._arguments.model)), "it was given")

    def _next(self) -> Goal | None:
        """The next cycle to run; None: no more."""
        newest = self._place.newest()
        done = newest is not None and newest.state is State.DONE
        last = -1 if newest is None else newest.number if done else newest.number - 1
        if self._arguments.until >= 0:
            return Goal() if last < self._arguments.until else None
        if newest is not None:
            self._shop.publish(newest)
        self._node.get_logger().info("ready; the action run_cycle begins a cycle")
        try:
            self._shop.wait(lambda: not self._goals.empty())
        except CycleStop:
            return None
        return self._goals.get()

    def _one(self, goal: Goal) -> CycleRecord:
        arguments = self._arguments
        flywheel = Flywheel(self._place, self._shop, clock, wait=arguments.wait)
        self._shop.action = self._action if goal.asked else None
        try:
            record = flywheel.begin(
                self._with_budget(goal), task=arguments.task, robot=arguments.robot, data=arguments.data,
                operator=arguments.operator, faults=arguments.faults,
            )  # fmt: skip
            record = flywheel.run(record)
        finally:
            self._shop.action = None
        if goal.asked:
            self._action.finished(record)
        self._shop.publish(record)
        # On lines of their own: a line of code logs with one severity.
        if record.stop is not None:
            self._node.get_logger().warning(f"cycle {record.number}: {_ended(record)}")
        else:
            self._node.get_logger().info(f"cycle {record.number}: {_ended(record)}")
        return record

    def _with_budget(self, goal: Goal) -> FlywheelRecipe:
        recipe = load_recipe(goal.recipe) if goal.recipe else self._recipe
        if not goal.demonstrations:
            return recipe
        collect = recipe.collect.model_copy(update={"demonstrations": goal.demonstrations})
        return recipe.model_copy(update={"collect": collect})


def _ended(record: CycleRecord) -> str:
    if record.stop is not None:
        return f"{record.stop.name.value} in {record.state.value}: {record.stop.reason}. {record.stop.next_step}"
    assert record.ending is not None
    return f"{record.ending.value}: {record.reason}. {record.next_step}"
