"""sim_robot: a simulated robot behind a robot driver's topics."""

from __future__ import annotations

import array
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from sensor_msgs.msg import Image
from visualization_msgs.msg import MarkerArray

from xrollout.msg import Command, EpisodeState, SimStep
from xrollout.srv import ResetSim
from xrollout_ros.core.action import HoldRule
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.fields import assign, stamp_ns
from xrollout_ros.core.modes import Phase, Source
from xrollout_ros.core.ports import SimObservation
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.sensing import CameraSpec
from xrollout_ros.graph.conversions import scene_to_msg, time_msg
from xrollout_ros.graph.encodings import MESSAGES, decode
from xrollout_ros.graph.node import GraphNode, run_node
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED_EACH, sensor
from xrollout_ros.graph.types import message_class
from xrollout_ros.sim.faults import parse_faults
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.robot import make_sim_robot

RESEND_S = 0.25
"""Stepped drive: without a command for this long the observation is sent again."""
WATCHDOG_S = 0.1
"""Real time: without a command for this long the robot holds by itself."""
SCENE_RATE_HZ = 20.0


class SimRobotNode(GraphNode):
    """Steps the simulator on commands (stepped drive) or on its own timer (real time)."""

    def __init__(self) -> None:
        super().__init__("sim_robot")
        self.declare_parameter("cameras", False)
        self.declare_parameter("private_log", "")
        self.sim: FaultyRobot | None = None

    def configure(self) -> None:
        self._stamp_ns = 0
        self._episode_id = ""
        self._running = False
        self._now: SimObservation | None = None
        self._sent_ns = 0
        self._commanded: tuple[Array, int] | None = None
        self._resent = 0
        self._watchdog_trips = 0
        self._made_for = ""
        topics: dict[str, list[Any]] = {}
        for entry in self.robot.observations:
            topics.setdefault(entry.topic, []).append(entry)
        self._entries = topics
        qos = sensor(self.stepped)
        self._sensors = {
            topic: self.create_publisher(message_class(entries[0].type), topic, qos)
            for topic, entries in topics.items()
        }
        self._cameras: tuple[CameraSpec, ...] = self.robot.cameras if self.get_parameter("cameras").value else ()
        self._images = {camera.name: self.create_publisher(Image, camera.topic, qos) for camera in self._cameras}
        self._scene = self.create_publisher(MarkerArray, "scene", EVENT)
        self._scene_every = max(1, round(self.robot.policy_rate_hz / SCENE_RATE_HZ))
        self._step = self.create_publisher(SimStep, "sim/step", EVENT)
        self._reset = self.create_service(ResetSim, "sim/reset", self._on_reset)
        self._make(self.text("task"))
        self.pulse.values = lambda: {"drops": self._resent, "watchdog_trips": self._watchdog_trips}

    def _make(self, task: str) -> None:
        if task != self._made_for:
            if self.sim is not None:
                self.sim.close()
            cameras = [camera.name for camera in self._cameras]
            self.sim = FaultyRobot(make_sim_robot(self.robot, load_task(task), cameras=cameras), self.robot)
            self._made_for = task

    def activate(self) -> None:
        self._episode = self.create_subscription(EpisodeState, "episode", self._on_episode, LATCHED_EACH)
        steady = RosClock(clock_type=ClockType.STEADY_TIME)
        if self.stepped:
            self._commands = self.create_subscription(Command, "command", self._on_step_command, EVENT)
            self._timer = self.create_timer(RESEND_S / 2, self._resend, clock=steady)
        else:
            message = MESSAGES[self.robot.command.encoding]
            self._commands = self.create_subscription(message, self.robot.command.topic, self._on_command, COMMAND)
            # The robot's own topic does not say who sends; only faults ask.
            self._drivers = self.create_subscription(Command, "command", self._on_driver, EVENT)
            self._timer = self.create_timer(seconds(self.robot.policy_period_ns), self._run_real_time, clock=steady)

    def deactivate(self) -> None:
        self._running = False
        self.destroy_timer(self._timer)
        self.destroy_subscription(self._commands)
        if not self.stepped:
            self.destroy_subscription(self._drivers)
        self.destroy_subscription(self._episode)

    def cleanup(self) -> None:
        if self.sim is not None:
            self.sim.close()
        self.sim = None
        for publisher in (*getattr(self, "_sensors", {}).values(), *getattr(self, "_images", {}).values()):
            self.destroy_publisher(publisher)
        for name in ("_scene", "_step"):
            if hasattr(self, name):
                self.destroy_publisher(getattr(self, name))
        if hasattr(self, "_reset"):
            self.destroy_service(self._reset)

    # --- attempts -----------------------------------------------------------------------------------------------

    def _on_reset(self, request: ResetSim.Request, response: ResetSim.Response) -> ResetSim.Response:
        self._running = False
        self._commanded = None
        try:
            self._make(request.task)
            assert self.sim is not None
            self.sim.inject(parse_faults(request.faults))
            self._now = self.sim.reset(request.seed, request.start)
        except XRolloutError as error:
            response.ready, response.message = False, str(error)
            return response
        self._episode_id = request.episode_id
        self._stamp_ns = stamp_ns(request.stamp)
        response.ready = True
        return response

    def _on_episode(self, message: EpisodeState) -> None:
        if message.episode_id != self._episode_id:
            return
        if message.phase == Phase.RUNNING and not self._running and self._now is not None:
            self._running = True
            if self.stepped:
                self._publish()
        elif message.phase in (Phase.CLOSING, Phase.CLOSED):
            self._running = False
            if message.phase == Phase.CLOSED:
                self._keep_private_log()

    def _keep_private_log(self) -> None:
        """What really happened, for benchmarks and tests alone: it lies beside the bags and is never published."""
        folder = self.text("private_log")
        if not folder or self.sim is None or self.sim.log is None or not self.sim.log.events:
            return
        try:
            self.sim.log.write(Path(folder), self._episode_id)
        except XRolloutError as error:
            self.get_logger().error(str(error))
        self.sim.log.events.clear()

    # --- stepped drive ------------------------------------------------------------------------------------------

    def _on_step_command(self, message: Command) -> None:
        now = self._now
        if not self._running or now is None or self.sim is None or now.done:
            return
        if message.episode_id != self._episode_id or message.step != now.step:
            return
        self.sim.driven_by(Source(message.source))
        self._advance(np.asarray(message.action))
        self._publish()

    def _resend(self) -> None:
        if self._running and self._now is not None and seconds(clock.steady_ns() - self._sent_ns) > RESEND_S:
            self._resent += 1
            self._publish()

    # --- real time ----------------------------------------------------------------------------------------------

    def _on_command(self, message: Any) -> None:
        try:
            self._commanded = (decode(self.robot, message), clock.steady_ns())
        except XRolloutError as error:
            self.get_logger().error(f"{error}", throttle_duration_sec=1.0)

    def _on_driver(self, message: Command) -> None:
        if self.sim is not None and message.episode_id == self._episode_id:
            self.sim.driven_by(Source(message.source))

    def _run_real_time(self) -> None:
        if self._now is None:
            return
        if self._running and not self._now.done:
            self._advance(self._real_time_action())
        self._stamp_ns = clock.wall_ns()
        self._publish()

    def _real_time_action(self) -> Array:
        held = np.zeros(self.robot.action_dim)
        if self._commanded is None:
            return held
        action, at_ns = self._commanded
        if seconds(clock.steady_ns() - at_ns) <= WATCHDOG_S:
            # A delta acts once: the same message must not displace the hand a second time.
            once = np.array([dim.kind.once for dim in self.robot.actions])
            self._commanded = (np.where(once, 0.0, action), at_ns)
            return action
        self._watchdog_trips += 1
        keep = np.array([dim.hold is not HoldRule.ZERO for dim in self.robot.actions])
        return np.where(keep, action, held)

    # --- both ---------------------------------------------------------------------------------------------------

    def _advance(self, action: Array) -> None:
        assert self.sim is not None
        begin_ns = clock.steady_ns()
        self._now = self.sim.step(action)
        self._stamp_ns += self.robot.policy_period_ns
        self.pulse.took(begin_ns)

    def _publish(self) -> None:
        now = self._now
        assert now is not None
        stamp = time_msg(self._stamp_ns)
        for topic, entries in self._entries.items():
            message = message_class(entries[0].type)()
            message.header.stamp = stamp
            message.header.frame_id = self.robot.frame
            for entry in entries:
                assign(message, entry, now.values[entry.name])
            self._sensors[topic].publish(message)
        for name, image in now.images.items():
            picture = Image(height=image.shape[0], width=image.shape[1], encoding="rgb8", step=3 * image.shape[1])
            picture.header.stamp, picture.header.frame_id = stamp, name
            picture.data = array.array("B", image.tobytes())
            self._images[name].publish(picture)
        if now.shapes and (now.step % self._scene_every == 0 or now.done):
            self._scene.publish(scene_to_msg(now.shapes, self.robot.frame, self._stamp_ns))
        self._step.publish(
            SimStep(stamp=stamp, episode_id=self._episode_id, step=now.step, success=now.success, done=now.done)
        )
        self._sent_ns = clock.steady_ns()


def main() -> None:
    """Console script ``sim_robot``."""
    run_node(SimRobotNode)


if __name__ == "__main__":
    main()
