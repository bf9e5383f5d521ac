"""manager: brings the nodes up and down, starts and ends attempts, decides their first outcome."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout.msg import (
    EpisodeState,
    OperatorRequest,
    PolicyStatus,
    SafetyEvent,
    SimStep,
    SupervisorState,
)
from xrollout.srv import CloseEpisode, EndAttempt, OpenEpisode, ResetSim, StartAttempt
from xrollout_ros import __version__
from xrollout_ros.core.clock import NS
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource, Strategy
from xrollout_ros.core.errors import GraphError, XRolloutError
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Phase, Request
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.graph.conversions import event_from_msg, time_msg
from xrollout_ros.graph.lifecycle import Members, StopRequested, call
from xrollout_ros.graph.node import Pulse, StopFlag, clock
from xrollout_ros.graph.qos import EVENT, LATCHED, STREAM
from xrollout_ros.learning.metadata import read_meta
from xrollout_ros.runtime.attempt import AttemptWatch, Verdict

START_TIMEOUT_S = 60.0
OPEN_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 25.0
TEAR_DOWN_TIMEOUT_S = 0.5
_GAP_NS = NS


@dataclass
class _Wish:
    """An attempt that somebody asked for."""

    seed: int
    start: str
    answered: threading.Event
    episode_id: str = ""


class ManagerNode(Node):
    """Callbacks only note what happened; the sequences run in the process's main thread, in ``run``."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__("manager", namespace="xrollout")
        defaults = {
            "robot": "", "task": "", "drive": "stepped", "data": "", "model": "", "strategy": "episodic",
            "kind": "attempt", "start": "", "operator": "", "tags": "", "nodes": "", "site": "",
        }  # fmt: skip
        for name, default in defaults.items():
            self.declare_parameter(name, default)
        self.declare_parameter("episodes", 0)
        self.declare_parameter("seed", 0)
        self.pulse = Pulse(self, lambda: 0)
        self._stop = stop
        self.robot, self.task = load_robot(self._text("robot")), load_task(self._text("task"))
        self._stepped = self._text("drive") == "stepped"
        self._total = int(self.get_parameter("episodes").value)
        self._seed = int(self.get_parameter("seed").value)
        self._start = self._text("start") or self.task.default_start
        self._strategy = Strategy(self._text("strategy"))
        model = self._text("model")
        self._policy = read_meta(Path(model)) if model else None
        self._policy_hash = ""
        self._policy_seen = ""
        self.members = Members(self, self._text("nodes").split(","), clock, stop)
        self._changed = self.members.changed
        self._watch: AttemptWatch | None = None
        self._state = EpisodeState()
        self._wish: _Wish | None = None
        self._number = 0
        self._successes = 0
        self._last_stamp_ns = 0
        self._episode = self.create_publisher(EpisodeState, "episode", LATCHED)
        self._open = self.create_client(OpenEpisode, "open_episode")
        self._close = self.create_client(CloseEpisode, "close_episode")
        self._reset = self.create_client(ResetSim, "sim/reset")
        self.create_service(StartAttempt, "start_attempt", self._on_start)
        self.create_service(EndAttempt, "end_attempt", self._on_end)
        self.create_subscription(SafetyEvent, "supervisor/event", self._on_event, EVENT)
        self.create_subscription(SupervisorState, "supervisor/state", self._on_state, LATCHED)
        self.create_subscription(OperatorRequest, "request", self._on_request, EVENT)
        self.create_subscription(SimStep, "sim/step", self._on_step, EVENT)
        self.create_subscription(PolicyStatus, "policy/status", self._on_policy, STREAM)
        self.pulse.values = lambda: {"attempts": str(self._number), "successes": str(self._successes)}

    def _text(self, name: str) -> str:
        return str(self.get_parameter(name).value)

    # --- callbacks, in the executor's thread ----------------------------------------------------------------------

    def _on_event(self, message: SafetyEvent) -> None:
        with self._changed:
            if self._watch is not None and message.episode_id == self._state.episode_id:
                self._watch.safety(event_from_msg(message))
                self._changed.notify_all()

    def _on_state(self, message: SupervisorState) -> None:
        with self._changed:
            if self._watch is not None and message.episode_id == self._state.episode_id:
                self._watch.mode(Mode(message.mode), message.operator_id, stamp_ns(message.stamp))
                self._changed.notify_all()

    def _on_request(self, message: OperatorRequest) -> None:
        with self._changed:
            if self._watch is not None and message.episode_id in ("", self._state.episode_id):
                self._watch.request(Request(message.request), message.operator_id, message.reason)
                self._changed.notify_all()

    def _on_step(self, message: SimStep) -> None:
        with self._changed:
            if self._watch is not None and message.episode_id == self._state.episode_id:
                stamp = stamp_ns(message.stamp)
                self._last_stamp_ns = max(self._last_stamp_ns, stamp)
                self._watch.step(stamp, success=message.success, done=message.done, steady_ns=clock.steady_ns())
                if message.done:
                    self._changed.notify_all()

    def _on_policy(self, message: PolicyStatus) -> None:
        with self._changed:
            self._policy_seen = message.policy_id
            self._changed.notify_all()

    def _on_start(self, request: StartAttempt.Request, response: StartAttempt.Response) -> StartAttempt.Response:
        start = request.start or self._start
        with self._changed:
            if self._watch is not None or self._wish is not None:
                response.reason = f"attempt {self._state.episode_id} is under way; end it first"
            elif start not in self.task.starts:
                response.reason = f"task {self.task.id} has no start {start!r}; it has {', '.join(self.task.starts)}"
            else:
                response.accepted, response.episode_id = True, new_id()
                self._wish = _Wish(request.seed, start, threading.Event(), response.episode_id)
                self._changed.notify_all()
        return response

    def _on_end(self, request: EndAttempt.Request, response: EndAttempt.Response) -> EndAttempt.Response:
        with self._changed:
            allowed = [outcome.value for outcome in Outcome]
            if self._watch is None:
                response.message = "no attempt is running"
            elif request.outcome not in allowed:
                response.message = f"outcome {request.outcome!r} is unknown; allowed are {', '.join(allowed)}"
            else:
                self._watch.mark(Outcome(request.outcome), request.reason or "end_attempt was called")
                response.accepted, response.message = True, f"attempt {self._state.episode_id} ends"
                self._changed.notify_all()
        return response

    # --- sequences, in the main thread ----------------------------------------------------------------------------

    def run(self) -> int:
        """Bring the graph up, make the attempts, take it down; gives the exit status."""
        status = 0
        try:
            self._bring_up()
            if self._total:
                while self._number < self._total:
                    self._attempt(self._seed + self._number, self._start, new_id())
            else:
                self.get_logger().info("ready; call start_attempt to begin an attempt")
                while True:
                    self._attempt_on_demand()
            self.get_logger().info(f"done: {self._successes} of {self._number} attempts succeeded")
        except StopRequested:
            self.get_logger().info(f"stopped: {self._successes} of {self._number} attempts succeeded")
        except XRolloutError as error:
            self.get_logger().fatal(str(error))
            status = error.exit_code
        self.members.tear_down(TEAR_DOWN_TIMEOUT_S)
        return status

    def _bring_up(self) -> None:
        self.members.bring_up(START_TIMEOUT_S)
        if self._policy is not None:
            wanted = self._policy.policy_id
            self.members.wait(
                lambda: self._policy_seen == wanted, 10.0, f"the policy node did not report policy {wanted}"
            )

    def _attempt_on_demand(self) -> None:
        while self._wish is None:
            self.members.wait(lambda: self._wish is not None or bool(self.members.lost()), 1e9, "nobody asked")
            if self._wish is None:
                self._bring_up()
        wish = self._wish
        seed = wish.seed if wish.seed >= 0 else self._seed + self._number
        try:
            self._attempt(seed, wish.start, wish.episode_id)
        finally:
            self._wish = None

    def _attempt(self, seed: int, start: str, episode_id: str) -> None:
        """One attempt, from opening its bag to closing it."""
        if self.members.lost():
            self._bring_up()
        self._number += 1
        wall_ns = clock.wall_ns()
        # Simulated time never runs backwards, and attempts do not touch.
        begin_ns = max(wall_ns, self._last_stamp_ns + _GAP_NS) if self._stepped else wall_ns
        self._last_stamp_ns = begin_ns
        meta = self._meta(episode_id, seed, start, wall_ns)
        self._tell(Phase.OPENING, meta)
        recording = self._strategy is not Strategy.BASE
        if recording:
            request = OpenEpisode.Request(metadata=meta.model_dump_json(), start=time_msg(begin_ns))
            answer = call(self._open, request, OPEN_TIMEOUT_S, "open the bag")
            if not answer.opened:
                raise GraphError(f"the attempt cannot be recorded: {answer.message}", "Mend that and start again.")
        verdict = None
        watch = AttemptWatch(self.task, self._stepped, clock.steady_ns(), begin_ns)
        try:
            self._reset_robot(episode_id, seed, start, begin_ns)
            with self._changed:
                watch.begun_steady_ns = clock.steady_ns()
                self._watch = watch
            self._tell(Phase.RUNNING, meta)
            verdict = self._follow(watch)
        except (GraphError, StopRequested) as error:
            reason = str(error) or "the run was stopped"
            verdict = Verdict(Outcome.ABORT, OutcomeSource.SYSTEM, reason)
            raise
        finally:
            assert verdict is not None
            self._finish(meta, watch, verdict, recording)

    def _reset_robot(self, episode_id: str, seed: int, start: str, begin_ns: int) -> None:
        if "sim_robot" not in self.members:
            return
        request = ResetSim.Request(
            episode_id=episode_id, seed=seed, task=self._text("task"), start=start, stamp=time_msg(begin_ns)
        )
        answer = call(self._reset, request, CLOSE_TIMEOUT_S, "reset the robot")
        if not answer.ready:
            raise GraphError(f"the robot could not be reset: {answer.message}", "Mend that and start again.")

    def _follow(self, watch: AttemptWatch) -> Verdict:
        while True:
            with self._changed:
                verdict = watch.verdict(clock.steady_ns())
                if verdict is not None:
                    return verdict
                if self._stop.is_set():
                    raise StopRequested
                lost = self.members.lost()
                if lost:
                    watch.lost(lost)
                    continue
                self._changed.wait(0.02)

    def _finish(self, meta: EpisodeMeta, watch: AttemptWatch, verdict: Verdict, recording: bool) -> None:
        with self._changed:
            end_ns = self._last_stamp_ns if self._stepped else clock.wall_ns()
            duration_s = watch.finish(end_ns)
            self._watch = None
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
        self._tell(Phase.CLOSING, final)
        where = ""
        if recording:
            try:
                request = CloseEpisode.Request(metadata=final.model_dump_json(), discard=verdict.discard)
                answer = call(
                    self._close, request, CLOSE_TIMEOUT_S if not self._stop.is_set() else 2.0, "close the bag"
                )
                where = answer.bag if answer.closed else f"bag not closed: {answer.message}"
            except GraphError as error:
                where = f"bag not closed: {error.what}"
                self.get_logger().error(where)
        self._tell(Phase.CLOSED, final)
        total = f"/{self._total}" if self._total else ""
        self.get_logger().info(
            f"attempt {self._number}{total} seed {meta.seed}: {verdict.outcome.value} "
            f"({verdict.source.value}: {verdict.reason}), {duration_s:.2f} s; "
            f"{self._successes}/{self._number} succeeded; {where}"
        )

    def _meta(self, episode_id: str, seed: int, start: str, wall_ns: int) -> EpisodeMeta:
        tags = [tag for tag in self._text("tags").split(",") if tag]
        policy = self._policy
        return EpisodeMeta(
            episode_id=episode_id,
            kind=EpisodeKind(self._text("kind")),
            task=self.task.id,
            robot=self.robot.id,
            site=self._text("site"),
            start=start,
            scene=self.task.scene,
            seed=seed,
            strategy=self._strategy,
            operator=self._text("operator"),
            policy_id=policy.policy_id if policy else "",
            checkpoint_hash=self._policy_hash,
            dataset_version=policy.dataset_version if policy else "",
            software_version=__version__,
            parameters={"drive": self._text("drive")},
            tags=tags,
            started_at=datetime.fromtimestamp(wall_ns / NS, tz=timezone.utc).isoformat(timespec="milliseconds"),
        )

    def _tell(self, phase: Phase, meta: EpisodeMeta) -> None:
        ended = phase in (Phase.CLOSING, Phase.CLOSED)
        self._state = EpisodeState(
            stamp=time_msg(clock.wall_ns()),
            episode_id=meta.episode_id,
            phase=int(phase),
            kind=meta.kind.value,
            task=meta.task,
            robot=meta.robot,
            start=meta.start,
            seed=meta.seed if meta.seed is not None else -1,
            strategy=meta.strategy.value,
            policy_id=meta.policy_id,
            operator_id=meta.operator,
            outcome=meta.outcome.value if ended else "",
            outcome_source=meta.outcome_source.value if ended else "",
            outcome_reason=meta.outcome_reason if ended else "",
            number=self._number,
            total=self._total,
            successes=self._successes,
        )
        self._episode.publish(self._state)


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
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    status = node.run()
    # The last EpisodeState leaves by the middleware's own threads; give it a moment before the node is gone.
    time.sleep(0.1)
    node.pulse.stop()
    executor.shutdown()
    thread.join(2.0)
    node.destroy_node()
    rclpy.try_shutdown()
    sys.exit(status)


if __name__ == "__main__":
    main()
