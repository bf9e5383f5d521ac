"""The stepped drive's barrier: one tick when everyone who must answer a step has answered it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xrollout_ros.core.chunk import ActionChunk, OperatorAction

Answer = ActionChunk | OperatorAction


@dataclass(frozen=True)
class Due:
    """A step that all have answered."""

    step: int
    stamp_ns: int
    answers: tuple[Answer, ...]
    again: bool
    """It has been ticked before: the robot asked again, because its command was lost."""


class StepBarrier:
    """Answers may come before their attempt is known, and in any order; each answerer's newest counts.

    Args:
        measured: topics that say where the robot stands; their messages of the same moment must be there too.
    """

    def __init__(self, measured: Iterable[str] = ()) -> None:
        self._answers: dict[type[Answer], Answer] = {}
        self._measured_ns = dict.fromkeys(measured, -1)
        self._episode_id = ""
        self._needed: tuple[type[Answer], ...] = ()
        self._always: tuple[type[Answer], ...] = ()
        self._ticked = -1
        self.stamp_ns = 0
        """Simulated time of the newest answer."""

    def begin(self, episode_id: str, *, policy: bool, operator: bool) -> None:
        """An attempt begins, and these must answer its steps."""
        self._episode_id = episode_id
        self._ticked = -1
        wanted = ((ActionChunk, policy), (OperatorAction, operator))
        self._always = self._needed = tuple(kind for kind, is_needed in wanted if is_needed)

    def await_operator(self, drives: bool) -> None:
        """While an operator drives, the simulation waits for their answers too."""
        more = (OperatorAction,) if drives and OperatorAction not in self._always else ()
        self._needed = (*self._always, *more) if self._always else ()

    def answer(self, answer: Answer) -> None:
        """Somebody has answered a step."""
        self._answers[type(answer)] = answer
        self.stamp_ns = max(self.stamp_ns, answer.stamp_ns)

    def measured(self, topic: str, stamp_ns: int) -> None:
        """A message of one of the topics has come."""
        self._measured_ns[topic] = stamp_ns

    def take(self) -> Due | None:
        """The step that is due now, once; None while somebody's answer or a measurement is missing."""
        answers = tuple(self._answers[kind] for kind in self._needed if kind in self._answers)
        if not self._needed or len(answers) < len(self._needed):
            return None
        steps = {answer.step for answer in answers}
        if len(steps) != 1 or any(answer.episode_id != self._episode_id for answer in answers):
            return None
        step = steps.pop()
        if step not in (self._ticked, self._ticked + 1):
            return None
        if any(measured_ns != answers[0].stamp_ns for measured_ns in self._measured_ns.values()):
            return None
        again, self._ticked = step == self._ticked, step
        for kind in self._needed:
            del self._answers[kind]
        return Due(step, answers[0].stamp_ns, answers, again)
