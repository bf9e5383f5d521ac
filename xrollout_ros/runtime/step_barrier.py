"""The stepped drive's barrier: one tick when everyone who must answer a step has answered it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from xrollout_ros.core.chunk import ActionChunk, OperatorAction
from xrollout_ros.core.modes import Source

Answer = ActionChunk | OperatorAction


@dataclass(frozen=True)
class Due:
    """A step that all have answered."""

    step: int
    stamp_ns: int
    answers: Mapping[Source, Answer]
    """By who drives with it: the policy, an operator, the recovery policy."""
    again: bool
    """It has been ticked before: the robot asked again, because its command was lost."""


class StepBarrier:
    """Answers may come before their attempt is known, and in any order; each answerer's newest counts.

    Args:
        measured: topics that say where the robot stands; their messages of the same moment must be there too.
    """

    def __init__(self, measured: Iterable[str] = ()) -> None:
        self._answers: dict[Source, Answer] = {}
        self._measured_ns = dict.fromkeys(measured, -1)
        self._episode_id = ""
        self._needed: tuple[Source, ...] = ()
        self._always: tuple[Source, ...] = ()
        self._ticked = -1
        self.stamp_ns = 0
        """Simulated time of the newest answer."""

    def begin(self, episode_id: str, *, policy: bool, operator: bool) -> None:
        """An attempt begins, and these must answer its steps."""
        self._episode_id = episode_id
        self._ticked = -1
        wanted = ((Source.POLICY, policy), (Source.OPERATOR, operator))
        self._always = self._needed = tuple(source for source, is_needed in wanted if is_needed)

    def await_also(self, sources: Iterable[Source]) -> None:
        """While an operator or the recovery policy drives, the simulation waits for their answers too."""
        more = tuple(source for source in sources if source not in self._always)
        self._needed = (*self._always, *more) if self._always else ()

    def answer(self, source: Source, answer: Answer) -> None:
        """Somebody has answered a step."""
        self._answers[source] = answer
        self.stamp_ns = max(self.stamp_ns, answer.stamp_ns)

    def measured(self, topic: str, stamp_ns: int) -> None:
        """A message of one of the topics has come."""
        self._measured_ns[topic] = stamp_ns

    def take(self) -> Due | None:
        """The step that is due now, once; None while somebody's answer or a measurement is missing."""
        answers = {source: self._answers[source] for source in self._needed if source in self._answers}
        if not self._needed or len(answers) < len(self._needed):
            return None
        steps = {answer.step for answer in answers.values()}
        if len(steps) != 1 or any(answer.episode_id != self._episode_id for answer in answers.values()):
            return None
        step, [stamp_ns, *_] = steps.pop(), [answer.stamp_ns for answer in answers.values()]
        if step not in (self._ticked, self._ticked + 1):
            return None
        if any(measured_ns != stamp_ns for measured_ns in self._measured_ns.values()):
            return None
        again, self._ticked = step == self._ticked, step
        for source in answers:
            del self._answers[source]
        return Due(step, stamp_ns, answers, again)
