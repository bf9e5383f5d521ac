"""Which of a level's episodes are taken: a stage that the recipe names for each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xrollout_ros.core.episode import Outcome

if TYPE_CHECKING:
    from xrollout_ros.learning.pyramid.cases import Case
    from xrollout_ros.learning.pyramid.conditions import Spread
    from xrollout_ros.learning.pyramid.figures import Value
    from xrollout_ros.learning.pyramid.recipe import Gate, LevelRecipe


@dataclass(frozen=True)
class Passed:
    """What a filter says of one episode at one gate."""

    gate: str
    passed: bool
    words: str
    """With its figure."""


@dataclass(frozen=True)
class Candidate:
    """An episode that a rule or a reviewer put into a level."""

    case: Case
    figures: Mapping[str, Value]


class Filter(Protocol):
    """Takes episodes, or leaves them out; pure."""

    def judge(self, candidate: Candidate, level: LevelRecipe, usual: Mapping[str, Spread]) -> Sequence[Passed]:
        """Every gate with its figure; the episode is taken if it passes all.

        Args:
            candidate: the episode.
            level: has the gates.
            usual: what is usual among the task's successful demonstrations, by fact.
        """
        ...


class Everything:
    """Leaves nothing out."""

    def judge(self, candidate: Candidate, level: LevelRecipe, usual: Mapping[str, Spread]) -> Sequence[Passed]:
        """See :class:`Filter`."""
        return ()


class Successes:
    """Takes what succeeded; nothing else is looked at."""

    def judge(self, candidate: Candidate, level: LevelRecipe, usual: Mapping[str, Spread]) -> Sequence[Passed]:
        """See :class:`Filter`."""
        outcome = candidate.case.outcome
        return (Passed("success", outcome is Outcome.SUCCESS, f"outcome {outcome.value}"),)


class Gates:
    """Takes what passes every gate of the recipe: the hard ones, and the scores."""

    def judge(self, candidate: Candidate, level: LevelRecipe, usual: Mapping[str, Spread]) -> Sequence[Passed]:
        """See :class:`Filter`."""
        found = []
        for gate in level.gates:
            exempt = _exempt(candidate.case, gate)
            if exempt:
                found.append(Passed(gate.name, True, f"not asked of {exempt}"))
                continue
            verdict = gate.judge(candidate.figures, usual)
            found.append(Passed(gate.name, verdict.passed, verdict.words))
        return found


def _exempt(case: Case, gate: Gate) -> str:
    kinds = {"recoveries": case.recovered, "demonstrations": case.demonstrated, "attempts": case.by_policy}
    return next((name for name in gate.exempt if kinds[name]), "")


FILTERS: dict[str, Filter] = {"gates": Gates(), "successes": Successes(), "all": Everything()}
"""By name."""
