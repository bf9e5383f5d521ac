"""supervisor: it alone commands the robot. Wiring only; the logic is in ``runtime/supervisor.py``."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from xrollout.msg import (
    ActionChunk,
    Command,
    EpisodeState,
    Heartbeat,
    OperatorRequest,
    SafetyEvent,
    SupervisorState,
    TeleopCommand,
)
from xrollout_ros.core.chunk import OperatorAction
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.fields import extract, stamp_ns
from xrollout_ros.core.modes import Mode, Phase, Request, Source
from xrollout_ros.core.sensing import ObservationSpec
from xrollout_ros.graph.conversions import chunk_from_msg, command_to_msg, event_to_msg, operator_from_msg, time_msg
from xrollout_ros.graph.encodings import MESSAGES, encode
from xrollout_ros.graph.node import GraphNode, clock, run_node
from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED, LATCHED_EACH, STREAM, sensor
from xrollout_ros.graph.types import message_class
from xrollout_ros.runtime.meter import Meter
from xrollout_ros.runtime.modes import REQUESTED, Event
from xrollout_ros.runtime.overrides import with_interpolation
from xrollout_ros.runtime.step_barrier import Answer, StepBarrier
from xrollout_ros.runtime.supervisor import Supervisor, Tick

WATCH_PERIOD_S = 0.05


class SupervisorNode(GraphNode):
    """Ticks when every answer to a step has come (stepped), or by the steady clock in a thread of its own (real time).

    The executor's own timers would tick only after whatever callbacks came first, a millisecond or more late.
    """

    def __init__(self) -> None:
        super().__init__("supervisor")
        self.declare_parameter("interpolation", "")
        self._lock = threading.Lock()
        """Held by whoever uses the logic: the executor's callbacks, or the ticking thread."""
        self._ticking = threading.Event()
        self._ticker: threading.Thread | None = None
        self._failure: Exception | None = None

    def configure(self) -> None:
        robot = with_interpolation(self.robot, self.text("interpolation"))
        self.logic = Supervisor(robot, stepped=self.stepped)
        self._episode: EpisodeState | None = None
        self._measured: dict[str, list[ObservationSpec]] = {}
        for entry in self.robot.observations:
            if entry.name in self.robot.measured:
                self._measured.setdefault(entry.topic, []).append(entry)
        self._barrier = StepBarrier(self._measured)
        self._last_command: Command | None = None
        self._ticks = 0
        self._commands = self.create_publisher(Command, "command", EVENT)
        self._robot_commands = self.create_publisher(
            MESSAGES[self.robot.command.encoding], self.robot.command.topic, COMMAND
        )
        self._state = self.create_publisher(SupervisorState, "supervisor/state", LATCHED)
        self._events = self.create_publisher(SafetyEvent, "supervisor/event", EVENT)
        self._own_services = [
            self.create_service(Trigger, "emergency_stop", self._on_emergency_stop),
            self.create_service(Trigger, "reset_emergency_stop", self._on_reset_emergency_stop),
        ]
        self.pulse.meter = Meter(0.0 if self.stepped else seconds(self.robot.control_period_ns))
        self.pulse.values = lambda: {
            "mode": self.logic.mode.name,
            "queue": self.logic.player.rows_left(self._time()),
            "drops": self.logic.chunks_discarded,
            "in_force": ", ".join(self.logic.in_force) or "nothing",
            "help_wanted": self.logic.help.reason or "no",
        }

    def activate(self) -> None:
        self._subscriptions_made = [
            self.create_subscription(ActionChunk, "chunk", self._locked(self._taking(Source.POLICY)), COMMAND),
            self.create_subscription(TeleopCommand, "teleop/command", self._locked(self._on_operator), COMMAND),
            self.create_subscription(EpisodeState, "episode", self._locked(self._on_episode), LATCHED_EACH),
            self.create_subscription(OperatorRequest, "request", self._locked(self._on_request), EVENT),
            self.create_subscription(Heartbeat, "heartbeat", self._locked(self._on_heartbeat), EVENT),
            self.create_subscription(Bool, "emergency_stop_request", self._locked(self._on_stop_request), EVENT),
        ]
        if self.robot.safety.learned:
            take = self._locked(self._taking(Source.RECOVERY))
            self._subscriptions_made.append(self.create_subscription(ActionChunk, "recovery/chunk", take, COMMAND))
        dead_man = self.robot.safety.dead_man
        if dead_man is not None:
            self._subscriptions_made.append(
                self.create_subscription(Bool, dead_man.topic, self._locked(self._on_enabling), STREAM)
            )
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        self._watchdog = self.create_timer(WATCH_PERIOD_S, self._watch, clock=steady)
        self._listen_to_sensors()
        if not self.stepped:
            self._ticking.set()
            self._ticker = threading.Thread(target=self._run_ticks, name="ticks", daemon=True)
            self._ticker.start()
        self._publish_state()

    def deactivate(self) -> None:
        self.make_safe()
        self.destroy_timer(self._watchdog)
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)

    def cleanup(self) -> None:
        for name in ("_commands", "_robot_commands", "_state", "_events"):
            if hasattr(self, name):
                self.destroy_publisher(getattr(self, name))
        for service in getattr(self, "_own_services", []):
            self.destroy_service(service)

    def make_safe(self) -> None:
        self._ticking.clear()
        if self._ticker is not None:
            self._ticker.join(1.0)
            self._ticker = None
        if self.logic.mode is Mode.IDLE:
            return
        self.logic.ask(Event.FAULT, "the supervisor is shutting down")
        if self.stepped:
            # The simulator waits for the next command: it is safe where it stands.
            self._publish(self.logic.watch(clock.steady_ns(), self._time()), self._stamp())
        else:
            self._publish(self.logic.tick(self._time(), self._ticks), self._stamp())

    def _locked(self, callback: Callable[[Any], None]) -> Callable[[Any], None]:
        def locked(message: Any) -> None:
            with self._lock:
                callback(message)

        return locked

    # --- inputs -------------------------------------------------------------------------------------------------

    def _on_episode(self, message: EpisodeState) -> None:
        before, self._episode = self._episode, message
        begun = message.phase == Phase.RUNNING and (
            before is None or before.episode_id != message.episode_id or before.phase != Phase.RUNNING
        )
        if begun:
            self._barrier.begin(message.episode_id, policy=bool(message.policy_id), operator=bool(message.operator_id))
            self.logic.begin(
                message.episode_id,
                has_policy=bool(message.policy_id),
                operator=message.operator_id,
                time_limit_s=self.task.time_limit_s,
                usual_s=message.usual_s or None,
            )
            # Only here: a latched manager that died long ago must not look alive.
            self.logic.manager_seen(clock.steady_ns())
        elif message.phase != Phase.RUNNING and before is not None and before.phase == Phase.RUNNING:
            self.logic.finish()
        if not begun or not self.stepped:
            self._look()
        self._try_step()

    def _on_request(self, message: OperatorRequest) -> None:
        known = {int(request) for request in Request}
        event = REQUESTED.get(Request(message.request)) if message.request in known else None
        if event is not None:
            self.logic.ask(event, message.reason or event.value, message.operator_id)
            self._look()
            self._try_step()

    def _on_stop_request(self, message: Bool) -> None:
        """Any true stops; a false takes nothing back."""
        if message.data:
            self.logic.ask(Event.EMERGENCY_STOP, "emergency stop requested on emergency_stop_request")
            self._look()

    def _on_enabling(self, message: Bool) -> None:
        self.logic.enabling(message.data, clock.steady_ns())
        if not message.data:
            self._look()

    def _on_heartbeat(self, message: Heartbeat) -> None:
        if message.node == "manager":
            self.logic.manager_seen(clock.steady_ns())

    def _taking(self, source: Source) -> Callable[[ActionChunk], None]:
        """Takes the chunks of the policy, or of the recovery policy."""

        def take(message: ActionChunk) -> None:
            chunk = chunk_from_msg(message)
            if self.stepped:
                self._barrier.answer(source, chunk)
                self._try_step()
                return
            # The chunk's times are wall-clock stamps; the player runs on the steady clock.
            wall_ns = clock.wall_ns()
            shift_ns = clock.steady_ns() - wall_ns
            start_ns, stamp = chunk.start_ns + shift_ns, chunk.stamp_ns + shift_ns
            self._submit(
                source, dataclasses.replace(chunk, start_ns=start_ns, stamp_ns=stamp, accepted_ns=wall_ns), stamp
            )

        return take

    def _submit(self, source: Source, answer: Answer, t_ns: int) -> None:
        if isinstance(answer, OperatorAction):
            self.logic.submit_operator(answer, t_ns)
        elif source is Source.RECOVERY:
            self.logic.submit_recovery_chunk(answer)
        else:
            self.logic.submit_chunk(answer)

    def _on_operator(self, message: TeleopCommand) -> None:
        action = operator_from_msg(message)
        if not self.stepped:
            self._submit(Source.OPERATOR, action, clock.steady_ns())
            return
        self._barrier.answer(Source.OPERATOR, action)
        self._try_step()

    def _listen_to_sensors(self) -> None:
        for topic, kind in {entry.topic: entry.type for entry in self.robot.observations}.items():
            entries = self._measured.get(topic, [])
            if self.stepped and not entries:
                continue
            # Where nothing is measured only the arrival counts: no need to decode.
            subscription = self.create_subscription(
                message_class(kind),
                topic,
                self._locked(self._take(topic, entries)),
                sensor(self.stepped),
                raw=not entries,
            )
            self._subscriptions_made.append(subscription)

    def _take(self, topic: str, entries: list[ObservationSpec]) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            self.logic.sensor_seen(topic, clock.steady_ns())
            for entry in entries:
                self.logic.measured(entry.name, extract(message, entry))
            if self.stepped:
                self._barrier.measured(topic, stamp_ns(message.header.stamp))
                self._try_step()

        return take

    # --- ticks --------------------------------------------------------------------------------------------------

    def _try_step(self) -> None:
        """Stepped: one tick when everyone who must answer the step has answered it."""
        due = self._barrier.take() if self._running else None
        if due is None:
            return
        if due.again:
            if self._last_command is not None:
                self._commands.publish(self._last_command)
            return
        begin_ns = clock.steady_ns()
        for source, answer in due.answers.items():
            self._submit(source, answer, due.stamp_ns)
        self._publish(self.logic.tick(due.stamp_ns, due.step), due.stamp_ns)
        self.pulse.took(begin_ns)

    def _run_ticks(self) -> None:
        try:
            self._tick_real_time()
        except Exception as error:
            self._failure = error

    def _tick_real_time(self) -> None:
        """The ticking thread: one tick each control period, on the steady clock's grid."""
        period_ns = self.robot.control_period_ns
        scheduled_ns = clock.steady_ns()
        while self._ticking.is_set():
            scheduled_ns += period_ns
            begin_ns = clock.steady_ns()
            if begin_ns < scheduled_ns:
                time.sleep(seconds(scheduled_ns - begin_ns))
            with self._lock:
                begin_ns = clock.steady_ns()  # the sleep, or the wait for the lock, may have been a long one
                if begin_ns - scheduled_ns > period_ns:
                    # Stopped or starved of the processor: skip what was missed, and count it.
                    missed = (begin_ns - scheduled_ns) // period_ns
                    self.pulse.meter.missed(missed)
                    scheduled_ns += missed * period_ns
                self._ticks += 1
                self._look()
                tick = self.logic.tick(scheduled_ns, self._ticks, begin_ns)
                late_s = seconds(clock.steady_ns() - scheduled_ns)
                self._publish(tick, clock.wall_ns(), late_s)
            self.pulse.took(begin_ns, late_s)

    def _watch(self) -> None:
        if self._failure is not None:
            # Without ticks there is no supervisor: end loudly; the driver's own watchdog has stopped the robot.
            raise self._failure
        with self._lock:
            self._look()

    def _look(self) -> None:
        """Watchdogs, and what was asked for."""
        self._publish(self.logic.watch(clock.steady_ns(), self._time()), self._stamp())

    # --- outputs ------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self._episode is not None and self._episode.phase == Phase.RUNNING

    def _time(self) -> int:
        return self._barrier.stamp_ns if self.stepped else clock.steady_ns()

    def _stamp(self) -> int:
        return self._barrier.stamp_ns if self.stepped else clock.wall_ns()

    def _publish(self, tick: Tick, stamp: int, late_s: float = 0.0) -> None:
        if tick.command is not None:
            message = command_to_msg(tick.command, stamp, late_s)
            self._last_command = message
            self._commands.publish(message)
            self._robot_commands.publish(encode(self.robot, tick.command.action, stamp))
            self.logic.sent(self._time())
        drivers = {Source.OPERATOR: self.logic.driver is Source.OPERATOR}
        drivers[Source.RECOVERY] = self.logic.awaits_recovery_policy
        self._barrier.await_also(source for source, drives in drivers.items() if drives)
        for event in tick.events:
            self._events.publish(event_to_msg(event, stamp))
        if tick.changed:
            self._publish_state()

    def _publish_state(self) -> None:
        logic, robot = self.logic, self.robot
        now_ns = self._stamp()
        since_ns = now_ns - (self._time() - logic.since_ns) if logic.since_ns else now_ns
        self._state.publish(
            SupervisorState(
                stamp=time_msg(now_ns),
                episode_id=logic.episode_id,
                mode=int(logic.mode),
                since=time_msg(max(0, since_ns)),
                reason=logic.reason,
                operator_id=logic.operator,
                help_wanted=logic.help.since_ns is not None,
                help_since=time_msg(max(0, now_ns - (self._time() - (logic.help.since_ns or self._time())))),
                help_reason=logic.help.reason,
                action_names=[dim.name for dim in robot.actions],
                lower=robot.lower.tolist(),
                upper=robot.upper.tolist(),
                max_rate=robot.max_rate.tolist(),
            )
        )

    def _on_emergency_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self.logic.ask(Event.EMERGENCY_STOP, "emergency stop requested")
            self._look()
        response.success, response.message = True, f"mode is {self.logic.mode.name}"
        return response

    def _on_reset_emergency_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            was = self.logic.mode
            self.logic.ask(Event.RESET_EMERGENCY_STOP, "emergency stop reset")
            self._look()
        response.success = was is Mode.ESTOP and self.logic.mode is not Mode.ESTOP
        response.message = f"mode is {self.logic.mode.name}"
        if not response.success:
            response.message = f"mode was {was.name}, not ESTOP" if was is not Mode.ESTOP else self.logic.reason
        return response


def main() -> None:
    """Console script ``supervisor``."""
    run_node(SupervisorNode)


if __name__ == "__main__":
    main()
