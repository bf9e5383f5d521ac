"""What a collection plan asks for as a list of starts, and which of its demonstrations are there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome
from xrollout_ros.mining.plan import CollectionPlan, PlannedStart
from xrollout_ros.runtime.start_list import LIST, NUMBER, ListedStart, Scalar, StartList

PLAN, MODE, START, FAILED = "plan_id", "plan_mode", "plan_start", "failed_attempt"
"""Where an episode's parameters say which plan it was collected for, which failure that is about, which of the plan's
starts it began from, and which attempt had failed from there."""
TARGETED = "targeted"
"""Tag of what was collected for a failure."""


@dataclass(frozen=True)
class Wanted:
    """One demonstration that a plan asks for."""

    number: int
    """Among all that it asks for, from 1: a start that is to be demonstrated twice has two."""
    start: PlannedStart

    @property
    def possible(self) -> bool:
        """Whether a simulated robot can be put there."""
        return self.start.seed is not None


def wanted(plan: CollectionPlan) -> tuple[Wanted, ...]:
    """All that it asks for, in its order."""
    every = [start for start in plan.starts for _ in range(start.demonstrations)]
    return tuple(Wanted(number, start) for number, start in enumerate(every, 1))


def listed(plan: CollectionPlan, chosen: Sequence[Wanted] | None = None) -> StartList:
    """The plan's starts for a run.

    Args:
        plan: says what is kept with each episode.
        chosen: some of :func:`wanted`, at least one; none: all.
    """
    starts = []
    for each in wanted(plan) if chosen is None else chosen:
        kept: dict[str, Scalar] = {START: each.start.number, FAILED: each.start.episode_id}
        # Where a real robot was put to was no matter of a seed.
        seed = each.start.seed if plan.simulated else None
        starts.append(ListedStart(start=each.start.start, seed=seed, number=each.number, parameters=kept))
    about: dict[str, Scalar] = {PLAN: plan.plan_id, MODE: plan.target.mode}
    return StartList(list_id=plan.plan_id, tags=(TARGETED,), parameters=about, starts=tuple(starts))


def collected(plan: CollectionPlan, episodes: Iterable[tuple[EpisodeMeta, Outcome]]) -> dict[int, EpisodeMeta]:
    """Those of its demonstrations that are there, by their number.

    Counted is what succeeded and shows how: a demonstration, or an attempt of a policy in which an operator drove.

    Args:
        plan: the plan.
        episodes: each with the outcome that holds.
    """
    found = {}
    for meta, outcome in episodes:
        known, shows = meta.parameters, meta.kind is EpisodeKind.DEMONSTRATION or meta.result().helped
        if known.get(LIST) == plan.plan_id and outcome is Outcome.SUCCESS and shows and meta.kind.counts:
            found[int(known[NUMBER])] = meta
    return found
