"""The mode table: ``(mode, event) -> mode``. Whatever is not in it is refused."""

from __future__ import annotations

from enum import Enum

from xrollout_ros.core.modes import Mode


class Event(str, Enum):
    """What can change the mode."""

    START_AUTONOMOUS = "attempt begins, the policy drives"
    START_TELEOP = "attempt begins, the operator drives"
    END = "attempt ended"
    TAKE_OVER = "operator takes over"
    HAND_BACK = "operator hands back"
    HOLD = "hold requested"
    FAULT = "fault"
    MANAGER_LOST = "manager lost"
    EMERGENCY_STOP = "emergency stop"
    RESET_EMERGENCY_STOP = "emergency stop reset"


TABLE: dict[tuple[Mode, Event], Mode] = {
    (Mode.IDLE, Event.START_AUTONOMOUS): Mode.AUTONOMOUS,
    (Mode.IDLE, Event.START_TELEOP): Mode.TELEOP,
    # A supervisor that comes back, or that was left holding, enters the next attempt from HOLD.
    (Mode.HOLD, Event.START_AUTONOMOUS): Mode.AUTONOMOUS,
    (Mode.HOLD, Event.START_TELEOP): Mode.TELEOP,
    (Mode.AUTONOMOUS, Event.TAKE_OVER): Mode.TELEOP,
    (Mode.HOLD, Event.TAKE_OVER): Mode.TELEOP,
    (Mode.TELEOP, Event.HAND_BACK): Mode.AUTONOMOUS,
    (Mode.HOLD, Event.HAND_BACK): Mode.AUTONOMOUS,
    (Mode.AUTONOMOUS, Event.HOLD): Mode.HOLD,
    (Mode.TELEOP, Event.HOLD): Mode.HOLD,
    (Mode.AUTONOMOUS, Event.FAULT): Mode.HOLD,
    (Mode.TELEOP, Event.FAULT): Mode.HOLD,
    (Mode.AUTONOMOUS, Event.MANAGER_LOST): Mode.HOLD,
    (Mode.TELEOP, Event.MANAGER_LOST): Mode.HOLD,
    (Mode.AUTONOMOUS, Event.END): Mode.HOLD,
    (Mode.TELEOP, Event.END): Mode.HOLD,
    (Mode.HOLD, Event.END): Mode.HOLD,
    (Mode.ESTOP, Event.RESET_EMERGENCY_STOP): Mode.HOLD,
    **{(mode, Event.EMERGENCY_STOP): Mode.ESTOP for mode in Mode},
}


def next_mode(mode: Mode, event: Event) -> Mode | None:
    """The mode that ``event`` leads to, or None where it is refused."""
    return TABLE.get((mode, event))
