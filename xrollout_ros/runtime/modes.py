"""The mode table: ``(mode, event) -> mode``. Whatever is not in it is refused."""

from __future__ import annotations

from enum import Enum

from xrollout_ros.core.modes import Mode, Request


class Event(str, Enum):
    """What can change the mode."""

    START_AUTONOMOUS = "attempt begins, the policy drives"
    START_TELEOP = "attempt begins, the operator drives"
    END = "attempt ended"
    TAKE_OVER = "operator takes over"
    HAND_BACK = "operator hands back"
    OPERATOR_HAS_IT = "handover to the operator is complete"
    POLICY_HAS_IT = "handover to the policy is complete"
    HOLD = "hold requested"
    RECOVER = "recovery begins"
    RECOVERED = "recovery succeeded"
    FAULT = "fault"
    MANAGER_LOST = "manager lost"
    EMERGENCY_STOP = "emergency stop"
    RESET_EMERGENCY_STOP = "emergency stop reset"


DRIVING = (Mode.AUTONOMOUS, Mode.HANDOVER, Mode.TELEOP, Mode.RECOVERING)
"""Modes in which somebody moves the robot."""

REQUESTED = {
    Request.TAKE_OVER: Event.TAKE_OVER,
    Request.HAND_BACK: Event.HAND_BACK,
    Request.HOLD: Event.HOLD,
    Request.EMERGENCY_STOP: Event.EMERGENCY_STOP,
}
"""What an operator may ask the supervisor for; the other requests are the manager's."""

TABLE: dict[tuple[Mode, Event], Mode] = {
    # A supervisor that comes back, or that was left holding, enters the next attempt from HOLD.
    **{(mode, Event.START_AUTONOMOUS): Mode.AUTONOMOUS for mode in (Mode.IDLE, Mode.HOLD)},
    **{(mode, Event.START_TELEOP): Mode.TELEOP for mode in (Mode.IDLE, Mode.HOLD)},
    # In a handover too: whoever asks last gets the robot.
    **{(mode, Event.TAKE_OVER): Mode.HANDOVER for mode in (Mode.AUTONOMOUS, Mode.HOLD, Mode.RECOVERING, Mode.HANDOVER)},
    **{(mode, Event.HAND_BACK): Mode.HANDOVER for mode in (Mode.TELEOP, Mode.HOLD, Mode.HANDOVER)},
    (Mode.HANDOVER, Event.OPERATOR_HAS_IT): Mode.TELEOP,
    (Mode.HANDOVER, Event.POLICY_HAS_IT): Mode.AUTONOMOUS,
    (Mode.AUTONOMOUS, Event.RECOVER): Mode.RECOVERING,
    (Mode.HANDOVER, Event.RECOVER): Mode.RECOVERING,
    (Mode.RECOVERING, Event.RECOVERED): Mode.AUTONOMOUS,
    **{(mode, event): Mode.HOLD for mode in DRIVING for event in (Event.HOLD, Event.FAULT, Event.MANAGER_LOST)},
    **{(mode, Event.END): Mode.HOLD for mode in (*DRIVING, Mode.HOLD)},
    (Mode.ESTOP, Event.RESET_EMERGENCY_STOP): Mode.HOLD,
    **{(mode, Event.EMERGENCY_STOP): Mode.ESTOP for mode in Mode},
}


def next_mode(mode: Mode, event: Event) -> Mode | None:
    """The mode that ``event`` leads to, or None where it is refused."""
    return TABLE.get((mode, event))
