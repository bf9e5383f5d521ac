"""manager: brings the nodes up and down, starts and ends attempts, decides their first outcome."""

from __future__ import annotations

import sys
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout.msg import EpisodeState
from xrollout.srv import CloseEpisode, OpenEpisode, ResetSim
from xrollout_ros import __version__
from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource, Strategy
from xrollout_ros.core.errors import GraphError, XRolloutError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Phase
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.inbox import Inbox, Wish
from xrollout_ros.graph.lifecycle import Members, StopRequested, call
from xrollout_ros.graph.node import Pulse, StopFlag, clock
from xrollout_ros.graph.qos import LATCHED
from xrollout_ros.graph.spinning import SpinThread, make_executor
from xrollout_ros.learning.metadata import read_meta
from xrollout_ros.runtime.attempt import AttemptWatch, Verdict

START_TIMEOUT_S = 60.0
POLICY_TIMEOUT_S = 10.0
OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 25.0
STOPPING_TIMEOUT_S = 2.0
TEAR_DOWN_TIMEOUT_S = 0.5
FOREVER_S = 1e9
GAP_NS = NS
"""Simulated time between two attempts, at least."""


class ManagerNode(Node):
    """The sequences run in the process's main thread, in ``run``; the inbox takes notes in the executor's."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__("manager", namespace="xrollout")
        for name in ("robot", "task", "data", "model", "model_hash", "start", "operator", "tags", "nodes", "site"):
            self.declare_parameter(name, "")
        for name, default in (("drive", "stepped"), ("strategy", "episodic"), ("kind", "attempt")):
            self.declare_parameter(name, default)
        self.declare_parameter("episodes", 0)
        self.declare_parameter("seed", 0)
        self.pulse = Pulse(self, lambda: 0)
        self.robot, self.task = load_robot(self._text("robot")), load_task(self._text("task"))
        self._stop = stop
        self._stepped = self._text("drive") == "stepped"
        self._total = int(self.get_parameter("episodes").value)
        self._seed = int(self.get_parameter("seed").value)
        self._start = self._text("start") or self.task.default_start
        self._strategy = Strategy(self._text("strategy"))
        model = self._text("model")
        self._policy = read_meta(Path(model)) if model else None
        self._members = Members(self, self._text("nodes").split(","), clock, stop)
        self._inbox = Inbox(self, self.task, self._start, clock, self._members.changed)
        self._number = 0
        self._successes = 0
        self._episode = self.create_publisher(EpisodeState, "episode", LATCHED)
        self._open = self.create_client(OpenEpisode, "open_episode")
        self._close = self.create_client(CloseEpisode, "close_episode")
        self._reset = self.create_client(ResetSim, "sim/reset")
        self.pulse.values = lambda: {"attempts": self._number, "successes": self._successes}

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    def run(self) -> int:
        """Bring the graph up, make the attempts, take it down; gives the exit status."""
        status, how = 0, "done"
        try:
            self._bring_up()
            if self._total:
                while self._number < self._total:
                    self._attempt(Wish(new_id(), self._seed + self._number, self._start))
            else:
                self.get_logger().info("ready; call start_attempt to begin an attempt")
                while True:
                    self._attempt(self._wait_for_wish())
        except StopRequested:
            how = "stopped"
        except XRolloutError as error:
            self.get_logger().fatal(str(error))
            status, how = error.exit_code, "failed"
        self.get_logger().info(f"{how}: {self._successes} of {self._number} attempts succeeded")
        self._members.tear_down(TEAR_DOWN_TIMEOUT_S)
        return status

    def _bring_up(self) -> None:
        self._members.bring_up(START_TIMEOUT_S)
        if self._policy is not None:
            wanted = self._policy.policy_id
            ready = f"the policy node did not report policy {wanted}"
            self._members.wait(lambda: self._inbox.policy_id == wanted, POLICY_TIMEOUT_S, ready)

    def _wait_for_wish(self) -> Wish:
        while True:
            self._members.wait(
                lambda: self._inbox.wish is not None or bool(self._members.lost()), FOREVER_S, "nobody asked"
            )
            if self._members.lost():
                self._bring_up()
            elif self._inbox.wish is not None:
                return self._inbox.wish

    def _wait_for_reset(self) -> None:
        """An emergency stop outlasts its attempt: until somebody resets it there is no next one."""
        if self._inbox.mode is Mode.ESTOP:
            self.get_logger().warning("emergency stop: waiting for reset_emergency_stop")
            self._members.wait(lambda: self._inbox.mode is not Mode.ESTOP, FOREVER_S, "no reset")

    def _attempt(self, wish: Wish) -> None:
        """One attempt, from opening its bag to closing it."""
        self._wait_for_reset()
        if self._members.lost():
            self._bring_up()
        self._number += 1
        wall_ns = clock.wall_ns()
        # Simulated time never runs backwards, and attempts do not touch.
        begin_ns = max(wall_ns, self._inbox.last_stamp_ns + GAP_NS) if self._stepped else wall_ns
        meta = self._meta(wish, wall_ns)
        recording = self._strategy is not Strategy.BASE
        self._tell(Phase.OPENING, meta)
        if recording:
            request = OpenEpisode.Request(metadata=meta.model_dump_json(), start=time_msg(begin_ns))
            answer = call(self._open, request, OPEN_TIMEOUT_S, "open the bag")
            if not answer.opened:
                raise GraphError(f"the attempt cannot be recorded: {answer.message}", "Mend that and start again.")
        watch = AttemptWatch(self.task, self._stepped, clock.steady_ns(), begin_ns)
        verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, "the run was stopped")
        try:
            self._reset_robot(wish, begin_ns)
            with self._inbox.changed:
                watch.begun_steady_ns = clock.steady_ns()
                self._inbox.watch, self._inbox.episode_id = watch, wish.episode_id
                self._inbox.last_stamp_ns = begin_ns
            self._tell(Phase.RUNNING, meta)
            verdict = self._follow(watch)
        except GraphError as error:
            verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, str(error))
            raise
        finally:
            self._finish(meta, watch, verdict, recording)

    def _reset_robot(self, wish: Wish, begin_ns: int) -> None:
        if "sim_robot" not in self._members:
            return
        request = ResetSim.Request(
            episode_id=wish.episode_id,
            seed=self._seed_of(wish),
            task=self._text("task"),
            start=wish.start,
            stamp=time_msg(begin_ns),
        )
        answer = call(self._reset, request, CLOSE_TIMEOUT_S, "reset the robot")
        if not answer.ready:
            raise GraphError(f"the robot could not be reset: {answer.message}", "Mend that and start again.")

    def _follow(self, watch: AttemptWatch) -> Verdict:
        changed = self._inbox.changed
        with changed:
            while (verdict := watch.verdict(clock.steady_ns())) is None:
                if self._stop.is_set():
                    raise StopRequested
                lost = self._members.lost()
                if lost:
                    watch.lost(lost)
                else:
                    changed.wait(0.02)
        return verdict

    def _finish(self, meta: EpisodeMeta, watch: AttemptWatch, verdict: Verdict, recording: bool) -> None:
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
        self._successes += verdict.outcome is Outcome.SUCCESS and not verdict.discard
        self._tell(Phase.CLOSING, final, verdict.discard)
        where = self._close_bag(final, verdict.discard) if recording else "not recorded"
        self._tell(Phase.CLOSED, final, verdict.discard)
        total = f"/{self._total}" if self._total else ""
        self.get_logger().info(
            f"attempt {self._number}{total} seed {meta.seed}: {verdict.outcome.value} "
            f"({verdict.source.value}: {verdict.reason}), {duration_s:.2f} s; "
            f"{self._successes}/{self._number} succeeded; {where}"
        )

    def _close_bag(self, final: EpisodeMeta, discard: bool) -> str:
        """Where the bag is, or why it could not be closed."""
        if self._members.is_lost("recorder"):
            self.get_logger().error("the bag was not closed: the recorder has died; the next one repairs it")
            return "its bag was not closed"
        request = CloseEpisode.Request(metadata=final.model_dump_json(), discard=discard)
        timeout_s = STOPPING_TIMEOUT_S if self._stop.is_set() else CLOSE_TIMEOUT_S
        try:
            answer = call(self._close, request, timeout_s, "close the bag")
        except GraphError as error:
            self.get_logger().error(f"the bag was not closed: {error.what}")
            return "its bag was not closed"
        if not answer.closed:
            self.get_logger().error(f"the bag was not closed: {answer.message}")
            return "its bag was not closed"
        return str(answer.bag)

    def _seed_of(self, wish: Wish) -> int:
        return wish.seed if wish.seed >= 0 else self._seed + self._number - 1

    def _meta(self, wish: Wish, wall_ns: int) -> EpisodeMeta:
        policy = self._policy
        return EpisodeMeta(
            episode_id=wish.episode_id,
            kind=EpisodeKind(self._text("kind")),
            task=self.task.id,
            robot=self.robot.id,
            site=self._text("site"),
            start=wish.start,
            scene=self.task.scene,
            seed=self._seed_of(wish),
            strategy=self._strategy,
            operator=self._text("operator"),
            policy_id=policy.policy_id if policy else "",
            checkpoint_hash=self._text("model_hash"),
            dataset_version=policy.dataset_version if policy else "",
            software_version=__version__,
            parameters={"drive": self._text("drive")},
            tags=[tag for tag in self._text("tags").split(",") if tag],
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
                strategy=meta.strategy.value,
                policy_id=meta.policy_id,
                operator_id=meta.operator,
                outcome=meta.outcome.value if ended else "",
                outcome_source=meta.outcome_source.value if ended else "",
                outcome_reason=meta.outcome_reason if ended else "",
                discarded=discarded,
                number=self._number,
                total=self._total,
                successes=self._successes,
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
