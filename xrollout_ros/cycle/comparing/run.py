"""Runs a comparison: pair after pair until the verdict is clear, and goes on with one that was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.comparing.trials import Arm, ComparisonPlan, Log, PlannedPair, Trial, planned
from xrollout_ros.cycle.comparing.verdict import Judge, Verdict


@dataclass(frozen=True)
class Tried:
    """What came of one trial."""

    outcome: Outcome
    steps: int
    episode_id: str = ""
    seed: int | None = None


class Trials(Protocol):
    """Makes trials, in whatever world."""

    @property
    def at_once(self) -> int:
        """Pairs that it likes to be given together."""
        ...

    def run(self, pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, dict[Arm, Tried]]]:
        """Make the trials of these pairs and give each pair when it and all before it are made.

        Raises:
            XRolloutError: they cannot be made.
        """
        ...


@dataclass
class Comparison:
    """A comparison as far as it is made."""

    plan: ComparisonPlan
    judge: Judge
    trials: list[Trial] = field(default_factory=list)
    """All that were made, in the order of the log."""
    quarantined: list[int] = field(default_factory=list)
    """Pairs of which one was a success from the start on: they say nothing of a policy."""
    unknown: list[int] = field(default_factory=list)
    """Pairs of which an outcome is not known."""

    @property
    def verdict(self) -> Verdict | None:
        """None: not clear yet."""
        return self.judge.verdict

    def is_through(self) -> bool:
        """Whether there is a verdict."""
        return self.verdict is not None

    @property
    def number(self) -> int:
        """Of the next pair."""
        return max((each.pair for each in self.trials), default=0) + 1

    def add(self, pair: int, own: dict[Arm, Trial]) -> None:
        """Count a pair whose trials are in the log."""
        self.trials += own.values()
        a, b = own["A"], own["B"]
        if any(each.success and each.steps <= AT_RESET for each in (a, b)):
            self.quarantined.append(pair)
        elif Outcome.UNKNOWN in (a.outcome, b.outcome):
            self.unknown.append(pair)
        else:
            self.judge.add(a.start, a.success, b.success)


AT_RESET = 1
"""A success after no more policy steps than this was one before the policy did anything."""
_SPARE = 3
"""So many times the pairs that are to be judged are made at most, where pairs have to be left out."""


def compare(
    plan: ComparisonPlan, folder: Path, trials: Trials, progress: Callable[[Comparison], None] | None = None
) -> Comparison:
    """Make trials until there is a verdict.

    Args:
        plan: what is compared.
        folder: of the log; where an interrupted run of the same has left one, it is gone on with.
        trials: makes them.
        progress: told after each pair.

    Raises:
        DataError: the folder holds another comparison, the disk refuses, or no pair can be judged.
        XRolloutError: trials cannot be made.
    """
    log = Log(folder)
    plan = log.begin(plan)
    made = so_far(plan, log)
    told = progress or (lambda _: None)
    told(made)
    while not made.is_through():
        first = made.number
        if first > _SPARE * plan.rules.pairs:
            left_out = len(made.quarantined) + len(made.unknown)
            raise DataError(
                f"of {first - 1} pairs {left_out} cannot be judged: {len(made.quarantined)} were a success at once, "
                f"{len(made.unknown)} have an unknown outcome",
                "Look at the start distribution and at the success signal of the task.",
            )
        for pair, tried in trials.run([planned(plan, first + place) for place in range(trials.at_once)]):
            own = {arm: _trial(plan, pair, arm, tried[arm]) for arm in pair.order}
            log.add(tuple(own.values()))
            made.add(pair.number, own)
            told(made)
            if made.is_through():
                break  # what was made beyond the verdict would depend on how many are made at once
    return made


def so_far(plan: ComparisonPlan, log: Log) -> Comparison:
    """A comparison as far as the log has it; a pair of which one trial is missing is made again.

    Raises:
        DataError: the log cannot be read.
    """
    made = Comparison(plan, Judge(plan.rules, tuple(plan.starts)))
    own: dict[int, dict[Arm, Trial]] = {}
    for trial in log.trials():
        own.setdefault(trial.pair, {})[plan.arm(trial.code)] = trial
    for number in sorted(own):
        if len(own[number]) == 2:
            made.add(number, {arm: own[number][arm] for arm in planned(plan, number).order})
    return made


def _trial(plan: ComparisonPlan, pair: PlannedPair, arm: Arm, tried: Tried) -> Trial:
    code: str = plan.coded(arm)
    return Trial.model_validate(
        {
            "pair": pair.number, "code": code, "start": pair.start,
            "seed": pair.seed if tried.seed is None and not tried.episode_id else tried.seed,
            "outcome": tried.outcome, "steps": tried.steps, "episode_id": tried.episode_id,
        }
    )  # fmt: skip
