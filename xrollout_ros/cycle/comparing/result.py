"""What a comparison found, as a document: ``comparison.json``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

import xrollout_ros
from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.document import Strict
from xrollout_ros.core.errors import DataError, first_problem
from xrollout_ros.core.files import write_texts
from xrollout_ros.core.wilson import wilson
from xrollout_ros.cycle.comparing import evidence
from xrollout_ros.cycle.comparing.evidence import Pairs
from xrollout_ros.cycle.comparing.run import Comparison
from xrollout_ros.cycle.comparing.trials import Arm, ComparisonPlan
from xrollout_ros.cycle.comparing.verdict import Kind

FILE = "comparison.json"
FORMAT: Literal["xrollout.comparison"] = "xrollout.comparison"
Share = Annotated[float, Field(ge=0, le=1)]


class Rate(Strict):
    """Successes among trials, with the Wilson interval (95 %)."""

    successes: int
    trials: int
    low: Share
    high: Share

    @classmethod
    def of(cls, successes: int, trials: int) -> Rate:
        """With its interval."""
        low, high = wilson(successes, trials)
        return cls(successes=successes, trials=trials, low=low, high=high)

    def __str__(self) -> str:
        rate = self.successes / self.trials if self.trials else math.nan
        return f"{self.successes}/{self.trials} = {rate:.0%} ({self.low:.0%} to {self.high:.0%})"


class Stratum(Strict):
    """What came of the pairs from one start distribution."""

    start: str
    a: Rate
    b: Rate
    won: int = Field(description="pairs in which B alone succeeded")
    lost: int = Field(description="pairs in which A alone succeeded")
    low: float = Field(description="of B's rate less A's; with `high` valid at every time at once, 95 %")
    high: float
    p_not_worse: Share = Field(description="that B is worse by the margin or more; adjusted for all strata (Holm)")

    @classmethod
    def of(cls, start: str, pairs: Pairs, p_not_worse: float) -> Stratum:
        """From counts."""
        low, high = evidence.difference(pairs)
        return cls(
            start=start,
            a=Rate.of(pairs.successes_a, pairs.count),
            b=Rate.of(pairs.successes_b, pairs.count),
            won=pairs.only_b,
            lost=pairs.only_a,
            low=low,
            high=high,
            p_not_worse=p_not_worse,
        )


class Made(Strict):
    """One trial, with the policy's name."""

    pair: int
    arm: Arm
    start: str
    seed: int | None
    outcome: str
    steps: int
    episode_id: str
    counted: bool


class ComparisonResult(Strict):
    """A comparison with its verdict."""

    format: Literal["xrollout.comparison"] = FORMAT
    version: Literal[1] = 1
    plan: ComparisonPlan
    verdict: Kind
    reason: str
    next_step: str
    pairs: int = Field(description="that were judged")
    decided_after: int = Field(description="pairs after which it was clear")
    overall: Stratum
    strata: tuple[Stratum, ...]
    e_value: float = Field(description="at the end; infinite: 1e308")
    largest_e_value: float
    bound: float = Field(description="that it must reach")
    course: tuple[float, ...] = Field(description="the e-value after each pair")
    mcnemar_p: Share = Field(description="would be valid if so many pairs had been fixed before")
    boschloo_p: Share
    barnard_p: Share
    posterior_better: Share = Field(description="P(B > A) by uniform priors; for display, nothing is decided by it")
    quarantined: tuple[int, ...] = Field(description="pairs of which one was a success from the start on")
    unknown: tuple[int, ...] = Field(description="pairs of which an outcome is not known")
    trials: tuple[Made, ...]
    ended_at: str
    software_version: str


def result_of(made: Comparison, clock: Clock) -> ComparisonResult:
    """The document of a comparison that has its verdict.

    Raises:
        ValueError: it has none yet.
    """
    verdict, judge = made.verdict, made.judge
    if verdict is None:
        raise ValueError("the comparison is not clear yet")
    pairs = judge.pairs
    left_out = {*made.quarantined, *made.unknown}
    seen = (pairs.successes_a, pairs.successes_b, pairs.count)
    course = course_of(made)
    return ComparisonResult(
        plan=made.plan,
        verdict=verdict.kind,
        reason=verdict.reason,
        next_step=verdict.next_step,
        pairs=pairs.count,
        decided_after=verdict.pairs,
        overall=Stratum.of("all", pairs, max(judge.p_not_worse().values(), default=1.0)),
        strata=tuple(Stratum.of(name, own, judge.p_not_worse()[name]) for name, own in judge.strata.items()),
        e_value=_finite(judge.e_value),
        largest_e_value=_finite(judge.largest_e_value),
        bound=judge.bound,
        course=tuple(course),
        mcnemar_p=min(1.0, evidence.mcnemar(pairs)),
        boschloo_p=min(1.0, evidence.boschloo(*seen)),
        barnard_p=min(1.0, evidence.barnard(*seen)),
        posterior_better=posterior_better(pairs),
        quarantined=tuple(made.quarantined),
        unknown=tuple(made.unknown),
        trials=tuple(
            Made(
                pair=each.pair, arm=made.plan.arm(each.code), start=each.start, seed=each.seed,
                outcome=each.outcome.value, steps=each.steps, episode_id=each.episode_id,
                counted=each.pair not in left_out,
            )
            for each in made.trials
        ),
        ended_at=utc_now(clock),
        software_version=xrollout_ros.__version__,
    )  # fmt: skip


def course_of(made: Comparison) -> list[float]:
    """The e-value after each pair that was judged."""
    from xrollout_ros.cycle.comparing.verdict import Judge

    own: dict[int, dict[Arm, bool]] = {}
    starts: dict[int, str] = {}
    for each in made.trials:
        own.setdefault(each.pair, {})[made.plan.arm(each.code)] = each.success
        starts[each.pair] = each.start
    judge, found = Judge(made.plan.rules, tuple(made.plan.starts)), []
    for pair, outcomes in own.items():
        if pair not in made.quarantined and pair not in made.unknown:
            judge.add(starts[pair], outcomes["A"], outcomes["B"])
            found.append(_finite(judge.e_value))
    return found


def posterior_better(pairs: Pairs) -> float:
    """P(B's rate is above A's) for uniform priors and trials taken as unpaired (Beta posteriors)."""
    import numpy as np
    from scipy import stats

    if not pairs.count:
        return 0.5
    rates = (np.arange(2000) + 0.5) / 2000
    b = stats.beta.pdf(rates, pairs.successes_b + 1, pairs.count - pairs.successes_b + 1)
    below = stats.beta.cdf(rates, pairs.successes_a + 1, pairs.count - pairs.successes_a + 1)
    return min(1.0, max(0.0, float(np.mean(b * below))))


def write_result(result: ComparisonResult, folder: Path, also: Sequence[tuple[Path, str]] = ()) -> Path:
    """Write it, and other pages of it, all or none.

    Raises:
        DataError: the disk refuses.
    """
    text = result.model_dump_json(indent=2) + "\n"
    path = folder / FILE
    write_texts({path: text, **dict(also)})
    return path


def read_result(folder: Path) -> ComparisonResult:
    """Read what :func:`write_result` wrote.

    Raises:
        DataError: there is none, or it is damaged.
    """
    path = folder / FILE if folder.is_dir() else folder
    try:
        return ComparisonResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the comparison {path} cannot be read ({error})", "`xrollout compare A B` makes one."
        ) from error
    except ValidationError as error:
        raise DataError(f"{path} is no comparison: {first_problem(error)}", "Make it again.") from error


def _finite(value: float) -> float:
    return min(value, 1e308)
