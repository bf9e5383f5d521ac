"""Modes of the supervisor, where a command comes from, how bad a safety event is."""

from __future__ import annotations

from enum import IntEnum


class Mode(IntEnum):
    """Who is in control; the numbers are those of ``SupervisorState.msg``."""

    IDLE = 0
    AUTONOMOUS = 1
    HOLD = 2
    HANDOVER = 3
    TELEOP = 4
    RECOVERING = 5
    ESTOP = 6


class Source(IntEnum):
    """Where a command comes from; the numbers are those of ``Command.msg``."""

    POLICY = 0
    OPERATOR = 1
    RECOVERY = 2
    HOLD = 3


class Severity(IntEnum):
    """What a check asks for; the most restrictive wins. The numbers are those of ``SafetyEvent.msg``."""

    CLIP = 0
    HOLD = 1
    RECOVER = 2
    ABORT = 3
    STOP = 4


class Phase(IntEnum):
    """Life of an attempt; the numbers are those of ``EpisodeState.msg``."""

    OPENING = 0
    RUNNING = 1
    CLOSING = 2
    CLOSED = 3


class Request(IntEnum):
    """What an operator may ask for; the numbers are those of ``OperatorRequest.msg``."""

    TAKE_OVER = 0
    HAND_BACK = 1
    HOLD = 2
    MARK_SUCCESS = 3
    MARK_FAILURE = 4
    DISCARD = 5
    END = 6
    EMERGENCY_STOP = 7
    RERECORD = 8
