"""What a robot must never do: the limits of the whole robot in a RobotSpec."""

from __future__ import annotations

from pydantic import Field

from xrollout_ros.core.document import Positive, Strict


class SafetyLimits(Strict):
    """Limits of the whole robot that the supervisor watches."""

    hold_abort_s: Positive = Field(
        default=1.0, description="holding this long for want of actions or sensors ends the attempt"
    )
    manager_timeout_s: Positive = Field(default=1.0, description="without the manager's heartbeat this long: hold")
