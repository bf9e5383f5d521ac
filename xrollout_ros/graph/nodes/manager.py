"""manager: brings the nodes up and down, starts and ends attempts, decides their first outcome."""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout.msg import EpisodeState
from xrollout.srv import ResetSim
from xrollout_ros import __version__
from xrollout_ros.core.clock import NS, seconds
from xrollout_ros.core.episode import DELAY_STEPS, ENGINE, EpisodeKind, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.errors import GraphError, XRolloutError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Phase
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.durations import SuccessDurations
from xrollout_ros.episodes.resume import RATE
from xrollout_ros.episodes.strategies import make_strategy
from xrollout_ros.graph.agenda import FOREVER_S, Agenda
from xrollout_ros.graph.bag_keeper import NOT_CLOSED, BagKeeper
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.inbox import Inbox, Wish
from xrollout_ros.graph.lifecycle import LOST_S, Members, StopRequested, call
from xrollout_ros.graph.node import StopFlag
from xrollout_ros.graph.pulse import Pulse, clock
from xrollout_ros.graph.qos import LATCHED
from xrollout_ros.graph.spinning import SpinThread, make_executor
from xrollout_ros.graph.starting import read_starts
from xrollout_ros.runtime.attempt import AttemptWatch, Verdict
from xrollout_ros.runtime.attempt_plan import AttemptPlan
from xrollout_ros.runtime.start_list import POLICY_SEED

START_TIMEOUT_S = 60.0
POLICY_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 25.0
STOPPING_TIMEOUT_S = 2.0
TEAR_DOWN_TIMEOUT_S = 0.5
_TEXTS = (
    "robot", "task", "data", "model", "recovery_policy", "recovery_hash", "start", "operator", "tags", "nodes", "site",
    "faults", "starts", "acting",
)  # fmt: skip
_DEFAULTS: dict[str, object] = {
    "drive": "stepped", "strategy": "episodic", "kind": "attempt", "episodes": 0, "seed": 0, "resume": False,
    "reset_seconds": 0.0, DELAY_STEPS: 0,
}  # fmt: skip
GAP_NS = NS
"""Simulated time between two attempts, at least."""


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
        self._stepped = self._text("drive") == "stepped"
        starts, self._seed = read_starts(self._text("starts")), int(self.get_parameter("seed").value)
        self._total = int(self.get_parameter("episodes").value) if starts is None else len(starts)
        self._acting: dict[str, Any] = json.loads(self._text("acting") or "{}")
        self._start = self._text("start") or self.task.default_start
        self._strategy = make_strategy(self._text("strategy"))
        self._has_policy = bool(self._text("model"))
        self._members = Members(self, self._text("nodes").split(","), clock, stop)
        self._inbox = Inbox(self, self.task, self._start, clock, self._members.changed)
        self._durations = SuccessDurations(self.task.id, self.robot.id)
        self._durations.read(Path(self._text("data")))
        self._bags = BagKeeper(self, self._members)
        plan = AttemptPlan(0 if starts is not None else self._seed, self._total)
        reset_s = float(self.get_parameter("reset_seconds").value)
        self._agenda = Agenda(self, plan, self._start, starts, reset_s, self._inbox, self._members, self._bags, clock)
        self._agenda.bring_up = self._bring_up
        self._agenda.discarded = lambda meta: self._tell(Phase.CLOSED, meta, discarded=True)
        self._episode = self.create_publisher(EpisodeState, "episode", LATCHED)
        self._reset = self.create_client(ResetSim, "sim/reset")
        self.pulse.values = lambda: {
            "attempts": self._agenda.plan.number,
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
                like = self._meta(Wish(new_id(), self._seed, self._start), clock.wall_ns())
                self._agenda.resume(paths.data_dir(self._text("data")), like)
            if not self._total:
                self.get_logger().info("ready; call start_attempt to begin an attempt")
            while (wish := self._agenda.next()) is not None:
                self._try(wish)
        except StopRequested:
            how = "stopped"
        except XRolloutError as error:
            self.get_logger().fatal(str(error))
            status, how = error.exit_code, "failed"
        self._bags.settle()
        self.get_logger().info(f"{how}: {self._agenda.tally.text(' of ', self._agenda.plan.number)}")
        self._members.tear_down(TEAR_DOWN_TIMEOUT_S)
        return status

    def _bring_up(self) -> None:
        # What was heard before may be of a process that has died, with a policy that was loaded by hand.
        self._inbox.policy = None
        self._members.bring_up(START_TIMEOUT_S)
        if self._has_policy:
            silent = "the policy node did not report its policy"
            self._members.wait(lambda: self._inbox.policy is not None, POLICY_TIMEOUT_S, silent)

    def _wait_for_reset(self) -> None:
        """An emergency stop outlasts its attempt: until somebody resets it there is no next one."""
        if self._inbox.mode is Mode.ESTOP:
            self.get_logger().warning("emergency stop: waiting for reset_emergency_stop")
            self._members.wait(lambda: self._inbox.mode is not Mode.ESTOP, FOREVER_S, "no reset")

    def _try(self, wish: Wish) -> None:
        """An attempt; where a node died before it could begin, another one follows."""
        try:
            self._attempt(wish)
        except GraphError as error:
            lost = self._members.lost()
            if not lost:
                raise
            self.get_logger().error(f"{error.what}; {lost}")

    def _attempt(self, wish: Wish) -> None:
        """One attempt, from opening its bag to closing it."""
        self._wait_for_reset()
        if self._members.lost():
            self._bring_up()
        self._bags.settle()
        with self._inbox.changed:
            self._inbox.wish = wish
        wall_ns = clock.wall_ns()
        # Simulated time never runs backwards, and attempts do not touch.
        begin_ns = max(wall_ns, self._inbox.last_stamp_ns + GAP_NS) if self._stepped else wall_ns
        meta = self._meta(wish, wall_ns)
        self._tell(Phase.OPENING, meta)
        if self._strategy.keeps_attempts:
            self._open_bag(wish, meta, begin_ns)
        watch = AttemptWatch(self.task, self._stepped, clock.steady_ns(), begin_ns)
        verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, "the run was stopped")
        try:
            self._reset_robot(wish, begin_ns)
            with self._inbox.changed:
                watch.begun_steady_ns = clock.steady_ns()
                self._inbox.watch, self._inbox.episode_id = watch, wish.episode_id
                self._inbox.last_stamp_ns = begin_ns
                if self._inbox.late is not None:
                    watch.request(*self._inbox.late)
                self._inbox.late = None
            self._tell(Phase.RUNNING, meta)
            verdict = self._follow(watch)
        except GraphError as error:
            verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, str(error))
            raise
        finally:
            self._finish(wish, meta, watch, verdict)

    def _open_bag(self, wish: Wish, meta: EpisodeMeta, begin_ns: int) -> None:
        try:
            self._bags.open(meta, begin_ns)
        except GraphError:
            with self._inbox.changed:
                self._inbox.wish = None
            self._agenda.plan.again(wish.key)  # it has not begun
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

    def _finish(self, wish: Wish, meta: EpisodeMeta, watch: AttemptWatch, verdict: Verdict) -> None:
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
        self._tell(Phase.CLOSING, final, verdict.discard)
        where = "not recorded"
        if self._strategy.keeps_attempts:
            where, final = self._close_bag(final, verdict.discard)
        if not verdict.discard:
            self._durations.add(final)
            self._agenda.tally.add(final.result())
        self._tell(Phase.CLOSED, final, verdict.discard)
        total, number = f"/{self._total}" if self._total else "", self._agenda.plan.number
        self.get_logger().info(
            f"attempt {number}{total} seed {meta.seed}: {final.outcome.value} "
            f"({final.outcome_source.value}: {final.outcome_reason}), {final.duration_s:.2f} s; "
            f"{self._agenda.tally.text('/', number)}; {where}"
        )
        self._agenda.done(wish, final, verdict, self._strategy.keeps_attempts and where != NOT_CLOSED)

    def _close_bag(self, final: EpisodeMeta, discard: bool) -> tuple[str, EpisodeMeta]:
        """Where the bag is, or why it could not be closed; and what holds for the attempt."""
        timeout_s = STOPPING_TIMEOUT_S if self._stop.is_set() else CLOSE_TIMEOUT_S
        return self._bags.close(final, timeout_s, discard=discard)

    def _meta(self, wish: Wish, wall_ns: int) -> EpisodeMeta:
        policy = self._inbox.policy
        return EpisodeMeta(
            episode_id=wish.episode_id,
            kind=EpisodeKind(self._text("kind")),
            task=self.task.id,
            robot=self.robot.id,
            site=self._text("site"),
            start=wish.start,
            scene=self.task.scene,
            seed=wish.seed if wish.seed >= 0 else None,
            strategy=self._strategy.name,
            operator=self._text("operator"),
            policy_id=policy.next_policy_id if policy else "",
            checkpoint_hash=policy.next_checkpoint_hash if policy else "",
            dataset_version=policy.next_dataset_version if policy else "",
            software_version=__version__,
            parameters=dict(wish.parameters)
            | {"drive": self._text("drive"), RATE: self.robot.control_rate_hz}
            | ({ENGINE: policy.engine, DELAY_STEPS: self.get_parameter(DELAY_STEPS).value} if policy else {})
            | {name: self._text(name) for name in ("recovery_policy", "recovery_hash") if self._text(name)}
            | self._acting,
            tags=list(dict.fromkeys([*(tag for tag in self._text("tags").split(",") if tag), *wish.tags])),
            started_at=datetime.fromtimestamp(wall_ns / NS, tz=timezone.utc).isoformat(timespec="milliseconds"),
        )

    def _tell(self, phase: Phase, meta: EpisodeMeta, discarded: bool = False) -> None:
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
                number=self._agenda.plan.number,
                total=self._total,
                successes=self._agenda.tally.successes,
            )
        )


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
