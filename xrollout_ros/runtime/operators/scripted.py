"""A script as an operator: it demonstrates, or takes over when help is wanted, corrects, and hands back."""

from __future__ import annotations

from dataclasses import dataclass

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.modes import Request
from xrollout_ros.core.ports import Asked, Expert, Moment, OperatorAnswer, Withdraws
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.operators.axes import Posed

_ASK_AGAIN_STEPS = 10
"""A refused take-over is asked for again after so many policy steps."""


@dataclass(frozen=True)
class TakeoverRule:
    """When a script takes over; in an attempt without a policy it drives from the start."""

    on_help: bool = True
    at_step: int | None = None
    """Policy steps since the start of the attempt."""
    for_steps: int | None = None
    """Hands back after so many policy steps; None: stays until the attempt ends."""


WHEN_WANTED = TakeoverRule()


class ScriptedOperator:
    """Answers from the state alone, so that a seed gives the same takeover in the graph and in the in-process loop.

    Having taken over it first brings the robot back to familiar states, if its expert can, and then does the task
    (Hu et al. 2025, RaC, arXiv:2509.07953).
    """

    def __init__(self, expert: Expert, robot: RobotSpec, rule: TakeoverRule = WHEN_WANTED) -> None:
        self._expert = expert
        self._rule = rule
        self._posed = Posed(robot)
        self._period_ns = robot.policy_period_ns
        self.reset(0)

    @property
    def name(self) -> str:
        """The expert's."""
        return self._expert.name

    def reset(self, seed: int) -> None:
        """See ``Operator``."""
        self._expert.reset(seed)
        self._begun_ns: int | None = None
        self._took_step: int | None = None
        self._asked_step: int | None = None
        self._turns = 0
        self._corrects = self._withdrawing = False
        self._pending: list[Asked] = []

    def answer(self, moment: Moment) -> OperatorAnswer:
        """See ``Operator``."""
        if moment.state is None:
            return OperatorAnswer(self._posed.origin(moment), False)
        if self._begun_ns is None:
            self._begun_ns = moment.t_ns
        self._decide(moment, round((moment.t_ns - self._begun_ns) / self._period_ns))
        if moment.driving or self._asked_step is not None:
            return OperatorAnswer(self._act(moment.state), True)
        return OperatorAnswer(self._posed.origin(moment), False)

    def _act(self, state: Array) -> Array:
        expert = self._expert
        # In a demonstration, which it drives from the start, it does its task and nothing else.
        if not self._corrects or not isinstance(expert, Withdraws):
            return expert.act(state)
        self._withdrawing = self._withdrawing or expert.strayed(state)
        back = expert.withdraw(state) if self._withdrawing else None
        self._withdrawing = back is not None
        return expert.act(state) if back is None else back

    def _decide(self, moment: Moment, step: int) -> None:
        rule = self._rule
        if moment.driving:
            if self._took_step is None:
                self._took_step, self._asked_step = step, None
                self._turns += 1
            if rule.for_steps is not None and step - self._took_step == rule.for_steps:
                self._pending.append(Asked(Request.HAND_BACK, f"corrected for {rule.for_steps} steps"))
            return
        self._took_step = None
        due = rule.at_step is not None and step >= rule.at_step and self._turns == 0
        wanted = rule.on_help and moment.help_wanted
        if not due and not wanted:
            self._asked_step = None
        elif self._asked_step is None or step - self._asked_step >= _ASK_AGAIN_STEPS:
            self._asked_step = step
            self._corrects = self._withdrawing = True
            self._pending.append(Asked(Request.TAKE_OVER, "help is wanted" if wanted else f"step {step}"))

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        """See ``Operator``."""
        asked, self._pending = tuple(self._pending), []
        return asked

    def problem(self) -> str:
        """See ``Operator``; a script is always there."""
        return ""
