"""Makes attempts: opens the bag, resets the robot, follows what happens, closes the bag. In the manager's own
thread.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from rclpy.node import Node

from xrollout.msg import EpisodeState
from xrollout.srv import LoadPolicy, ResetSim
from xrollout_ros import __version__
from xrollout_ros.core.clock import NS, seconds
from xrollout_ros.core.episode import DELAY_STEPS, ENGINE, RUN, EpisodeKind, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.errors import CheckpointError, GraphError
from xrollout_ros.core.modes import Mode, Phase
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.durations import SuccessDurations
from xrollout_ros.episodes.resume import RATE
from xrollout_ros.episodes.strategies import make_strategy
from xrollout_ros.graph.agenda import FOREVER_S
from xrollout_ros.graph.bag_keeper import BagKeeper
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.inbox import Inbox, Wish
from xrollout_ros.graph.lifecycle import LOST_S, Members, StopRequested, call
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import LATCHED
from xrollout_ros.learning.metadata import read_bytes, sha256
from xrollout_ros.runtime.attempt import AttemptWatch, Verdict
from xrollout_ros.runtime.attempt_plan import Tally
from xrollout_ros.runtime.start_list import POLICY_SEED

CLOSE_TIMEOUT_S = 25.0
LOAD_TIMEOUT_S = 70.0
"""The policy node gives up after 60 s."""
POLICY_TIMEOUT_S = 10.0
STOPPING_TIMEOUT_S = 2.0
GAP_NS = NS
"""Simulated time between two attempts, at least."""


class Run(Protocol):
    """What a run counts."""

    @property
    def number(self) -> int:
        """Of the attempt, from 1."""
        ...

    @property
    def total(self) -> int:
        """Attempts there shall be; 0: no end."""
        ...

    @property
    def tally(self) -> Tally:
        """What came of those that were made."""
        ...

    def again(self, key: int) -> None:
        """An attempt could not begin."""
        ...


@dataclass
class Count:
    """A run of attempts that nobody makes again for it."""

    total: int = 0
    number: int = 0
    tally: Tally = field(default_factory=Tally)

    def again(self, key: int) -> None:
        """It could not begin: whoever asked for it makes it again."""
        self.number = max(0, self.number - 1)


@dataclass(frozen=True)
class Finished:
    """An attempt that was made."""

    meta: EpisodeMeta
    verdict: Verdict
    where: str
    """Of its bag, in words."""


class Attempting:
    """Makes one attempt after the other.

    Args:
        node: the manager; has the parameters of a run.
        robot: its spec.
        task: its spec.
        members: the other nodes.
        inbox: what the manager hears.
        bags: opens and closes bags.
        stop: set when the process shall end.
        bring_up: brings back nodes that were lost.
    """

    def __init__(
        self, node: Node, robot: RobotSpec, task: TaskSpec, members: Members, inbox: Inbox, bags: BagKeeper,
        stop: threading.Event, bring_up: Callable[[], None],
    ) -> None:  # fmt: skip
        self._node, self._robot, self._task = node, robot, task
        self._members, self._inbox, self._bags, self._stop, self._bring_up = members, inbox, bags, stop, bring_up
        self._stepped = self._text("drive") == "stepped"
        self._strategy = make_strategy(self._text("strategy"))
        self._acting: dict[str, Any] = json.loads(self._text("acting") or "{}")
        self._durations = SuccessDurations(task.id, robot.id)
        self._durations.read(Path(self._text("data")))
        self._episode = node.create_publisher(EpisodeState, "episode", LATCHED)
        self._reset = node.create_client(ResetSim, "sim/reset")
        self._load = node.create_client(LoadPolicy, "load_policy")
        self._hashes: dict[str, str] = {}
        self.run: Run = Count()
        """The run that attempts are counted in."""

    def _text(self, name: str) -> str:
        return str(self._node.get_parameter(name).value)

    @property
    def keeps(self) -> bool:
        """Whether attempts are recorded."""
        return self._strategy.keeps_attempts

    def make(self, wish: Wish) -> Finished:
        """One attempt, from opening its bag to closing it.

        Raises:
            StopRequested: the process was told to stop; the bag is closed.
            GraphError: it could not be made, or a node was lost.
            CheckpointError: the policy that it names cannot be loaded.
        """
        self._wait_for_reset()
        if self._members.lost():
            self._bring_up()
        self._bags.settle()
        self.load(wish.model)
        with self._inbox.changed:
            self._inbox.wish = wish
        wall_ns = clock.wall_ns()
        # Simulated time never runs backwards, and attempts do not touch.
        begin_ns = max(wall_ns, self._inbox.last_stamp_ns + GAP_NS) if self._stepped else wall_ns
        meta = self.meta(wish, wall_ns)
        self.tell(Phase.OPENING, meta)
        if self.keeps:
            self._open_bag(wish, meta, begin_ns)
        watch = AttemptWatch(self._task, self._stepped, clock.steady_ns(), begin_ns)
        verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, "the run was stopped")
        finished: list[Finished] = []
        try:
            self._reset_robot(wish, begin_ns)
            with self._inbox.changed:
                watch.begun_steady_ns = clock.steady_ns()
                self._inbox.watch, self._inbox.episode_id = watch, wish.episode_id
                self._inbox.last_stamp_ns = begin_ns
                if self._inbox.late is not None:
                    watch.request(*self._inbox.late)
                self._inbox.late = None
            self.tell(Phase.RUNNING, meta)
            verdict = self._follow(watch)
        except GraphError as error:
            verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, str(error))
            raise
        finally:
            finished.append(self._finish(meta, watch, verdict))
        return finished[0]

    def load(self, model: str) -> None:
        """Have the policy node take this checkpoint for the next attempt, if it has another one.

        Raises:
            CheckpointError: it is missing, or the node refuses it; the policy in use stays.
            GraphError: the node does not answer.
        """
        if not model:
            return
        if model not in self._hashes:
            self._hashes[model] = sha256(read_bytes(Path(model)))
        wanted = self._hashes[model]

        def has_it() -> bool:
            return self._inbox.policy is not None and self._inbox.policy.next_checkpoint_hash == wanted

        if has_it():
            return
        request = LoadPolicy.Request(path=model, expected_hash=wanted)
        lost = lambda: self._members.is_replaced("policy")  # noqa: E731
        answer = call(self._load, request, LOAD_TIMEOUT_S, f"load {model}", lost)
        if not answer.accepted:
            raise CheckpointError(f"the policy node takes {model} not: {answer.message}", "The policy in use stays.")
        self._members.wait(has_it, POLICY_TIMEOUT_S, f"the policy node did not report {answer.policy_id}")

    def _wait_for_reset(self) -> None:
        """An emergency stop outlasts its attempt: until somebody resets it there is no next one."""
        if self._inbox.mode is Mode.ESTOP:
            self._node.get_logger().warning("emergency stop: waiting for reset_emergency_stop")
            self._members.wait(lambda: self._inbox.mode is not Mode.ESTOP, FOREVER_S, "no reset")

    def _open_bag(self, wish: Wish, meta: EpisodeMeta, begin_ns: int) -> None:
        try:
            self._bags.open(meta, begin_ns)
        except GraphError:
            with self._inbox.changed:
                self._inbox.wish = None
            self.run.again(wish.key)  # it has not begun
            raise

    def _reset_robot(self, wish: Wish, begin_ns: int) -> None:
        if "sim_robot" not in self._members:
            return
        request = ResetSim.Request(
            episode_id=wish.episode_id,
            seed=wish.seed,
            task=self._text("task"),
            start=wish.start,
            stamp=time_msg(begin_ns),
            faults=self._text("faults"),
        )
        answer = call(
            self._reset, request, CLOSE_TIMEOUT_S, "reset the robot", lambda: self._members.is_replaced("sim_robot")
        )
        if not answer.ready:
            raise GraphError(f"the robot could not be reset: {answer.message}", "Mend that and start again.")

    def _follow(self, watch: AttemptWatch) -> Verdict:
        changed, looked_ns = self._inbox.changed, clock.steady_ns()
        with changed:
            while (verdict := watch.verdict(clock.steady_ns())) is None:
                if self._stop.is_set():
                    raise StopRequested
                asleep_s, looked_ns = seconds(clock.steady_ns() - looked_ns), clock.steady_ns()
                lost = self._members.lost()
                if asleep_s > LOST_S:
                    lost = f"the manager was stopped for {asleep_s:.1f} s"
                if lost:
                    watch.lost(lost)
                else:
                    changed.wait(0.02)
        return verdict

    def _finish(self, meta: EpisodeMeta, watch: AttemptWatch, verdict: Verdict) -> Finished:
        with self._inbox.changed:
            duration_s = watch.finish(self._inbox.last_stamp_ns if self._stepped else clock.wall_ns())
            self._inbox.watch = self._inbox.wish = None
        final = meta.model_copy(
            update={
                "duration_s": duration_s,
                "outcome": verdict.outcome,
                "outcome_source": verdict.source,
                "outcome_reason": verdict.reason,
                "interventions": watch.interventions,
                "safety_events": watch.events,
            }
        )
        self.tell(Phase.CLOSING, final, verdict.discard)
        where = "not recorded"
        if self.keeps:
            timeout_s = STOPPING_TIMEOUT_S if self._stop.is_set() else CLOSE_TIMEOUT_S
            where, final = self._bags.close(final, timeout_s, discard=verdict.discard)
        if not verdict.discard:
            self._durations.add(final)
            self.run.tally.add(final.result())
        self.tell(Phase.CLOSED, final, verdict.discard)
        run = self.run
        of, number = f"/{run.total}" if run.total else "", run.number
        self._node.get_logger().info(
            f"attempt {number}{of} seed {meta.seed}: {final.outcome.value} "
            f"({final.outcome_source.value}: {final.outcome_reason}), {final.duration_s:.2f} s; "
            f"{run.tally.text('/', number)}; {where}"
        )
        return Finished(final, verdict, where)

    def meta(self, wish: Wish, wall_ns: int) -> EpisodeMeta:
        """The attempt as it would begin now."""
        policy = self._inbox.policy if wish.driver != "operator" else None
        operator = self._text("operator") if wish.driver != "policy" else ""
        return EpisodeMeta(
            episode_id=wish.episode_id,
            kind=wish.kind or EpisodeKind(self._text("kind")),
            task=self._task.id,
            robot=self._robot.id,
            site=self._text("site"),
            start=wish.start,
            scene=self._task.scene,
            seed=wish.seed if wish.seed >= 0 else None,
            level=self._text("level"),
            strategy=self._strategy.name,
            operator=operator,
            policy_id=policy.next_policy_id if policy else "",
            checkpoint_hash=policy.next_checkpoint_hash if policy else "",
            dataset_version=policy.next_dataset_version if policy else "",
            software_version=__version__,
            parameters=dict(wish.parameters)
            | {"drive": self._text("drive"), RATE: self._robot.control_rate_hz}
            | ({ENGINE: policy.engine, DELAY_STEPS: self._node.get_parameter(DELAY_STEPS).value} if policy else {})
            | {name: self._text(name) for name in (RUN, "recovery_policy", "recovery_hash") if self._text(name)}
            | (self._acting if wish.driver != "operator" else {}),
            tags=list(dict.fromkeys([*(tag for tag in self._text("tags").split(",") if tag), *wish.tags])),
            started_at=datetime.fromtimestamp(wall_ns / NS, tz=timezone.utc).isoformat(timespec="milliseconds"),
        )

    def tell(self, phase: Phase, meta: EpisodeMeta, discarded: bool = False) -> None:
        """Tell everybody of the attempt."""
        ended = phase in (Phase.CLOSING, Phase.CLOSED)
        self._episode.publish(
            EpisodeState(
                stamp=time_msg(clock.wall_ns()),
                episode_id=meta.episode_id,
                phase=int(phase),
                kind=meta.kind.value,
                task=meta.task,
                robot=meta.robot,
                start=meta.start,
                seed=-1 if meta.seed is None else meta.seed,
                policy_seed=int(meta.parameters.get(POLICY_SEED, meta.seed or 0)),
                strategy=meta.strategy.value,
                policy_id=meta.policy_id,
                operator_id=meta.operator,
                usual_s=self._durations.usual_s,
                outcome=meta.outcome.value if ended else "",
                outcome_source=meta.outcome_source.value if ended else "",
                outcome_reason=meta.outcome_reason if ended else "",
                discarded=discarded,
                number=self.run.number,
                total=self.run.total,
                successes=self.run.tally.successes,
            )
        )
