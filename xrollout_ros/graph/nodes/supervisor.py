"""supervisor: it alone commands the robot. Wiring only; the logic is in ``runtime/supervisor.py``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from xrollout.msg import (
    ActionChunk,
    EpisodeState,
    Heartbeat,
    OperatorRequest,
    TeleopCommand,
)
from xrollout_ros.core.chunk import Array, OperatorAction
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.episode import CONTROL
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.levels import check_level
from xrollout_ros.core.modes import Mode, Phase, Request, Source
from xrollout_ros.graph.conversions import chunk_from_msg, on_steady_clock, operator_from_msg
from xrollout_ros.graph.node import GraphNode, run_node
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED_EACH, STREAM
from xrollout_ros.graph.sensors import listen, measured_topics
from xrollout_ros.graph.telling import Teller
from xrollout_ros.graph.ticking import Ticker
from xrollout_ros.runtime.action_control import make_control
from xrollout_ros.runtime.meter import Meter
from xrollout_ros.runtime.modes import DRIVING, REQUESTED, Event
from xrollout_ros.runtime.overrides import with_interpolation, with_level
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
        self.declare_parameter(CONTROL, "")
        self.declare_parameter("level", "L0")
        self._lock = threading.Lock()
        """Held by whoever uses the logic: the executor's callbacks, or the ticking thread."""

    def configure(self) -> None:
        robot = with_interpolation(self.robot, self.text("interpolation"))
        robot = with_level(robot, check_level(self.text("level")))
        self.robot = make_control(self.text(CONTROL)).constrain(robot, self.task)
        self.logic = Supervisor(self.robot, stepped=self.stepped)
        self._episode: EpisodeState | None = None
        self._barrier = StepBarrier(measured_topics(self.robot))
        self._ticks = 0
        self._stopped_ns = 0
        """When a tick was made before its time, for an emergency stop."""
        self._teller = Teller(self, self.robot, clock)
        self._ticker = Ticker(self.robot.control_period_ns, self._lock, self._tick, self.pulse, clock)
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
        self._subscriptions_made += listen(self, self.robot, self._locked(self._on_sensor), stepped=self.stepped)
        if not self.stepped:
            self._ticker.start()
        self._teller.state(self.logic, self._time(), self._stamp())

    def deactivate(self) -> None:
        self.make_safe()
        self.destroy_timer(self._watchdog)
        for subscription in self._subscriptions_made:
            self.destroy_subscription(subscription)

    def cleanup(self) -> None:
        if hasattr(self, "_teller"):
            self._teller.close()
        for service in getattr(self, "_own_services", []):
            self.destroy_service(service)

    def make_safe(self) -> None:
        self._ticker.stop()
        if self.logic.mode is Mode.IDLE:
            return
        self.logic.ask(Event.FAULT, "the supervisor is shutting down")
        if self.stepped:
            # The simulator waits for the next command: it is safe where it stands.
            self._publish(self.logic.watch(clock.steady_ns(), self._time()), self._stamp())
        else:
            self._publish(self.logic.tick(self._time(), self._ticks), self._stamp())

    def _locked(self, callback: Callable[..., None]) -> Callable[..., None]:
        def locked(*message: Any) -> None:
            with self._lock:
                callback(*message)

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
            self._look_at_once()
            self._try_step()

    def _on_stop_request(self, message: Bool) -> None:
        """Any true stops; a false takes nothing back."""
        if message.data:
            self.logic.ask(Event.EMERGENCY_STOP, "emergency stop requested on emergency_stop_request")
            self._look_at_once()

    def _on_enabling(self, message: Bool) -> None:
        self.logic.enabling(message.data, clock.steady_ns())
        if not message.data:
            self._look_at_once()

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
            arrived = on_steady_clock(chunk, clock)
            self._submit(source, arrived, arrived.stamp_ns)

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

    def _on_sensor(self, topic: str, values: dict[str, Array], message: Any) -> None:
        self.logic.sensor_seen(topic, clock.steady_ns())
        for name, value in values.items():
            self.logic.measured(name, value)
        if self.stepped:
            self._barrier.measured(topic, stamp_ns(message.header.stamp))
            self._try_step()

    # --- ticks --------------------------------------------------------------------------------------------------

    def _try_step(self) -> None:
        """Stepped: one tick when everyone who must answer the step has answered it."""
        due = self._barrier.take() if self._running else None
        if due is None:
            return
        if due.again:
            self._teller.command_again()
            return
        begin_ns = clock.steady_ns()
        for source, answer in due.answers.items():
            self._submit(source, answer, due.stamp_ns)
        self._publish(self.logic.tick(due.stamp_ns, due.step), due.stamp_ns)
        self.pulse.took(begin_ns)

    def _tick(self, scheduled_ns: int, begin_ns: int) -> float:
        """Real time, in the ticking thread: one tick; gives how late it is, s."""
        if scheduled_ns < self._stopped_ns + self.robot.control_period_ns // 2:
            return 0.0  # this tick was made already, when the emergency stop came
        self._ticks += 1
        self._look()
        tick = self.logic.tick(scheduled_ns, self._ticks, begin_ns)
        late_s = seconds(clock.steady_ns() - scheduled_ns)
        self._publish(tick, clock.wall_ns(), late_s)
        return late_s

    def _watch(self) -> None:
        # Without ticks there is no supervisor: end loudly; the driver's own watchdog has stopped the robot.
        self._ticker.check()
        with self._lock:
            self._look()

    def _look(self) -> None:
        """Watchdogs, and what was asked for."""
        self._publish(self.logic.watch(clock.steady_ns(), self._time()), self._stamp())

    def _look_at_once(self) -> None:
        """As :meth:`_look`; a robot that has to stop does not wait for the next tick."""
        before = self.logic.mode
        self._look()
        if self._ticker.ticking and self.logic.mode is Mode.ESTOP and before in DRIVING:
            self._stopped_ns = clock.steady_ns()
            self._ticks += 1
            self._publish(self.logic.tick(self._stopped_ns, self._ticks), clock.wall_ns())

    # --- outputs ------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self._episode is not None and self._episode.phase == Phase.RUNNING

    def _time(self) -> int:
        return self._barrier.stamp_ns if self.stepped else clock.steady_ns()

    def _stamp(self) -> int:
        return self._barrier.stamp_ns if self.stepped else clock.wall_ns()

    def _publish(self, tick: Tick, stamp: int, late_s: float = 0.0) -> None:
        if self._teller.command(tick, stamp, late_s):
            self.logic.sent(*self._teller.sent_ns)
        drivers = {Source.OPERATOR: self.logic.driver is Source.OPERATOR}
        drivers[Source.RECOVERY] = self.logic.awaits_recovery_policy
        self._barrier.await_also(source for source, drives in drivers.items() if drives)
        self._teller.events(tick, stamp)
        if tick.changed:
            self._teller.state(self.logic, self._time(), self._stamp())

    def _on_emergency_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self.logic.ask(Event.EMERGENCY_STOP, "emergency stop requested")
            self._look_at_once()
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
