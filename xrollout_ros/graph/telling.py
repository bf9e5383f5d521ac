"""What the supervisor sends: commands to the robot and as they were sent, events, and its state."""

from __future__ import annotations

from rclpy.node import Node

from xrollout.msg import Command, SafetyEvent, SupervisorState
from xrollout_ros.core.clock import Clock
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.graph.conversions import command_to_msg, event_to_msg, time_msg
from xrollout_ros.graph.encodings import MESSAGES, encode
from xrollout_ros.graph.qos import COMMAND, EVENT, LATCHED
from xrollout_ros.runtime.supervisor import Supervisor, Tick


class Teller:
    """The supervisor's publishers.

    Args:
        node: the supervisor's node.
        robot: whose commands are sent.
        clock: the machine's.
    """

    def __init__(self, node: Node, robot: RobotSpec, clock: Clock) -> None:
        self._node, self._robot, self._clock = node, robot, clock
        self.sent_ns = (0, 0)
        """Steady time just before and just after the last command went to the robot."""
        self._commands = node.create_publisher(Command, "command", EVENT)
        self._robot_commands = node.create_publisher(MESSAGES[robot.command.encoding], robot.command.topic, COMMAND)
        self._state = node.create_publisher(SupervisorState, "supervisor/state", LATCHED)
        self._events = node.create_publisher(SafetyEvent, "supervisor/event", EVENT)
        self._last: Command | None = None

    def close(self) -> None:
        """Nothing is sent any more."""
        for publisher in (self._commands, self._robot_commands, self._state, self._events):
            self._node.destroy_publisher(publisher)

    def command(self, tick: Tick, stamp: int, late_s: float = 0.0) -> bool:
        """Send the command of a tick; gives whether there is one.

        Args:
            tick: what one call of the logic wants done.
            stamp: time of what is sent, in ns since the epoch (stepped: simulated time).
            late_s: real time: how long after its scheduled time it is sent.
        """
        if tick.command is None:
            return False
        self._last = command_to_msg(tick.command, stamp, late_s)
        message = encode(self._robot, tick.command.action, stamp)
        begin_ns = self._clock.steady_ns()
        self._robot_commands.publish(message)
        self.sent_ns = begin_ns, self._clock.steady_ns()
        self._commands.publish(self._last)
        return True

    def command_again(self) -> None:
        """Send the last command once more: the robot asked for it again."""
        if self._last is not None:
            self._commands.publish(self._last)

    def events(self, tick: Tick, stamp: int) -> None:
        """Send the events of a tick; ``stamp`` as for its command."""
        for event in tick.events:
            self._events.publish(event_to_msg(event, stamp))

    def state(self, logic: Supervisor, time_ns: int, stamp: int) -> None:
        """Send the mode, and what goes with it.

        Args:
            logic: whose state.
            time_ns: now, on the clock of the logic.
            stamp: now, in ns since the epoch (stepped: simulated time).
        """
        robot = self._robot
        since_ns = stamp - (time_ns - logic.since_ns) if logic.since_ns else stamp
        self._state.publish(
            SupervisorState(
                stamp=time_msg(stamp),
                episode_id=logic.episode_id,
                mode=int(logic.mode),
                since=time_msg(max(0, since_ns)),
                reason=logic.reason,
                operator_id=logic.operator,
                help_wanted=logic.help.since_ns is not None,
                help_since=time_msg(max(0, stamp - (time_ns - (logic.help.since_ns or time_ns)))),
                help_reason=logic.help.reason,
                action_names=[dim.name for dim in robot.actions],
                lower=robot.lower.tolist(),
                upper=robot.upper.tolist(),
                max_rate=robot.max_rate.tolist(),
            )
        )
