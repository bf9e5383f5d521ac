"""Whether a failure mode gets rarer from policy to policy as demonstrations are added, or has plateaued."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from xrollout_ros.core.wilson import wilson
from xrollout_ros.mining.attempts import Row

LEAST = 10
"""Attempts that a policy must have made to be compared."""
ROUNDS = 2
"""Rounds of collecting that are looked back on."""
_CONFIDENCE = 0.9
"""Two-sided: 95 % for each of the questions whether it fell, and whether it may have halved."""


class Course(str, Enum):
    """What is known of a mode's course."""

    ONE_POLICY = "one policy"
    NOTHING_ADDED = "nothing added"
    FALLING = "falling"
    PLATEAUED = "plateaued"
    TOO_FEW = "too few attempts to tell"


@dataclass(frozen=True)
class Round:
    """One policy's attempts."""

    policy_id: str
    attempts: int
    failures: int
    """Of the mode."""
    added: int
    """Demonstrations that this one was trained from and the one before was not; where that is not known, those that
    were recorded between their first attempts."""

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95 %."""
        return wilson(self.failures, self.attempts)


@dataclass(frozen=True)
class Trend:
    """The course of one mode."""

    mode: str
    start: str
    """The start distribution, whose attempts alone are compared."""
    rounds: tuple[Round, ...]
    """Oldest policy first; those that made too few attempts are left out."""
    course: Course

    @property
    def words(self) -> str:
        """For people."""
        seen = " → ".join(_words(each) for each in self.rounds)
        compared = self.rounds[-1 - ROUNDS :]
        added = sum(each.added for each in compared[1:])
        if self.course is Course.ONE_POLICY:
            few = "only one policy has" if self.rounds else "no policy has"
            return f"whether it gets rarer is not known: {few} made {LEAST} attempts or more from {self.start} starts"
        if self.course is Course.NOTHING_ADDED:
            return f"{seen}: no demonstration was recorded between these policies, so nothing can be said of collecting"
        if self.course is Course.FALLING:
            return f"{seen}: it gets rarer; {_demonstrations(added)}"
        if self.course is Course.PLATEAUED:
            return f"{seen}: it has plateaued; {_demonstrations(added)} and it has not halved"
        return f"{seen}: no fall to be seen, but too few attempts to rule out that it has halved"


def _demonstrations(count: int) -> str:
    return "1 demonstration was added" if count == 1 else f"{count} demonstrations were added"


def _words(each: Round) -> str:
    low, high = each.interval
    return f"{each.failures}/{each.attempts} ({low:.0%} to {high:.0%})"


def trend(
    mode: str,
    history: Sequence[Row],
    demonstrations: Sequence[Row],
    trained_from: Mapping[str, frozenset[str]] | None = None,
    policy: str = "",
) -> Trend:
    """The course of a mode over the policies of the history, which is sorted by time, up to one of them.

    Compared are attempts from one start distribution: of those that this policy was tried from often enough the
    one with the most failures of the mode, else the one that it was tried from most. The policy, if none is
    named the one that came last, is compared with the one ``ROUNDS`` rounds before it, or the first. It *falls* where
    the lower bound of the fall is above zero; it has *plateaued* where it does not fall, demonstrations were added, and
    the upper bound of the fall is below half of what it was (Newcombe's hybrid score interval of a difference, 1998,
    method 10).
    """
    policies = list(dict.fromkeys(row.policy_id for row in history))
    if policy in policies:
        policies = policies[: policies.index(policy) + 1]
    start = _start(mode, history, policies[-1] if policies else "")
    known = trained_from or {}
    rounds: list[Round] = []
    before, began_before = "", ""
    for each in policies:
        own = [row for row in history if row.policy_id == each and row.start == start]
        if len(own) < LEAST:
            continue
        began = own[0].started_at
        if each in known and before in known:
            added = sum(row.episode_id in known[each] - known[before] for row in demonstrations)
        else:
            added = sum(began_before < row.started_at < began for row in demonstrations)
        rounds.append(Round(each, len(own), sum(row.failed and row.mode == mode for row in own), added))
        before, began_before = each, began
    return Trend(mode, start, tuple(rounds), _course(rounds[-1 - ROUNDS :]))


def _start(mode: str, history: Sequence[Row], policy: str) -> str:
    tried = Counter(row.start for row in history if row.policy_id == policy)
    failed = Counter(row.start for row in history if row.failed and row.mode == mode)
    often = [start for start, count in tried.items() if count >= LEAST]
    if often:
        return max(often, key=lambda start: (failed[start], tried[start]))
    return tried.most_common(1)[0][0] if tried else ""


def _course(rounds: Sequence[Round]) -> Course:
    if len(rounds) < 2:
        return Course.ONE_POLICY
    first, last = rounds[0], rounds[-1]
    if not sum(each.added for each in rounds[1:]):
        return Course.NOTHING_ADDED
    low, high = fall(first, last)
    if low > 0:
        return Course.FALLING
    return Course.PLATEAUED if first.failures and high < first.failures / first.attempts / 2 else Course.TOO_FEW


def fall(first: Round, last: Round) -> tuple[float, float]:
    """Least and largest fall of the frequency that the counts agree with."""
    one, two = first.failures / first.attempts, last.failures / last.attempts
    low_one, high_one = wilson(first.failures, first.attempts, _CONFIDENCE)
    low_two, high_two = wilson(last.failures, last.attempts, _CONFIDENCE)
    least = one - two - math.hypot(one - low_one, high_two - two)
    most = one - two + math.hypot(high_one - one, two - low_two)
    return least, most
