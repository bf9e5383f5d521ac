"""What the operator commands, and whether it is of now."""

from __future__ import annotations

from xrollout_ros.core.chunk import Array, OperatorAction
from xrollout_ros.core.clock import seconds
from xrollout_ros.core.modes import Severity
from xrollout_ros.runtime.checks import Finding


class Operated:
    """The operator's newest action.

    Args:
        timeout_s: real time: an action older than this is not followed.
        stepped: only an action that answers the very step is followed.
    """

    def __init__(self, timeout_s: float, *, stepped: bool) -> None:
        self._timeout_s = timeout_s
        self._stepped = stepped
        self.clear()

    def clear(self) -> None:
        """Forget it."""
        self._action: OperatorAction | None = None
        self._acted: OperatorAction | None = None
        self._at_ns = 0

    def take(self, action: OperatorAction, t_ns: int) -> None:
        """It has come."""
        self._action, self._at_ns = action, t_ns

    @property
    def used(self) -> bool:
        """The newest action has been sent."""
        return self._action is self._acted

    def use(self) -> None:
        """It is sent now."""
        self._acted = self._action

    def now(self, t_ns: int, step: int) -> tuple[Array | None, Finding | None]:
        """What to do ``(A,)``, None where the operator does not command; and what is wrong."""
        if self._action is None:
            return None, None
        age_s = seconds(t_ns - self._at_ns)
        fresh = self._action.step == step if self._stepped else age_s <= self._timeout_s
        if not fresh:
            taken = "the operator is silent; holding"
            # An operator who thinks must not lose the attempt.
            return None, Finding("operator_silent", Severity.HOLD, age_s, self._timeout_s, taken, ripens=False)
        return (self._action.action if self._action.enabled else None), None
