"""The 5/10-point rule: how far labels of a success classifier are relied on, by what people say of a random sample.

Pure. The number that is compared is the *disagreement*: among the labels that were drawn for the human sample, and that
a person has decided about without seeing them, the share in which the person says something else, over the newest of
them. Perfect is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from xrollout_ros.core.errors import DataError
from xrollout_ros.core.wilson import wilson


class RuleState(str, Enum):
    """How far the labels of a classifier are relied on."""

    GATHERING = "gathering"
    """People have checked too few labels to say."""
    WIDEN = "widen"
    """They agree: the human sample shrinks."""
    HOLD = "hold"
    """Neither well enough to widen nor badly enough to stop: all stays as it is."""
    RETRAIN = "retrain"
    """They do not: no more labels until the classifier is trained anew."""


_NOTHING = "nobody has checked a label yet"


@dataclass(frozen=True)
class Rule:
    """The numbers of the rule."""

    within: float = 0.05
    """A disagreement up to this widens."""
    beyond: float = 0.10
    """One above this stops the labels."""
    least: int = 30
    """Checked labels before there is any other state than ``gathering``."""
    newest: int = 100
    """So many checked labels count, those given last: what was good long ago must not outweigh what is wrong now."""
    sample: float = 0.2
    """Share of the labels that people check."""
    widened: float = 0.1
    """The same once they agree."""
    confidence: float = 0.95
    """Of the Wilson interval."""

    def __post_init__(self) -> None:
        shares = (self.widened, self.sample, self.within, self.beyond)
        if not all(math.isfinite(each) and 0 <= each <= 1 for each in shares) or not 0 < self.confidence < 1:
            raise DataError(f"a share of the rule is none: {shares}, {self.confidence}", "Give shares from 0 to 1.")
        if self.within > self.beyond or self.widened > self.sample or not 1 <= self.least <= self.newest:
            raise DataError(
                f"the rule contradicts itself: within {self.within}, beyond {self.beyond}, sample {self.sample}, "
                f"widened {self.widened}, least {self.least}, newest {self.newest}",
                "within <= beyond, widened <= sample, 1 <= least <= newest.",
            )


@dataclass(frozen=True)
class Tally:
    """What people say of the labels of one classifier."""

    labels: int = 0
    """In force, or overridden by a person."""
    drawn: int = 0
    """Of these in the human sample."""
    agreed: int = 0
    """Drawn, and a person says the same."""
    false_successes: int = 0
    """Drawn, labelled a success, and a person says that it was none."""
    false_failures: int = 0
    """Drawn, labelled a failure, and a person says that it was a success."""
    undecided: int = 0
    """Drawn, and a person says that nobody can know; they count in nothing."""
    older: int = 0
    """Drawn and decided, but given before the newest that count."""
    expected: float = 0.0
    """Mean probability, by the classifier's own word, that a checked label is wrong."""

    @property
    def checked(self) -> int:
        """Labels that people have decided about."""
        return self.agreed + self.disagreed

    @property
    def disagreed(self) -> int:
        """Labels that people say are wrong."""
        return self.false_successes + self.false_failures


@dataclass(frozen=True)
class Standing:
    """The rule applied to a tally."""

    state: RuleState
    tally: Tally
    disagreement: float
    """NaN: nothing is checked."""
    low: float
    high: float
    """Wilson interval of the disagreement."""
    share: float
    """Of the labels that people check from now on."""
    reason: str
    next_step: str

    @property
    def labels_go_on(self) -> bool:
        """Whether more labels may be given."""
        return self.state is not RuleState.RETRAIN


def standing(tally: Tally, rule: Rule | None = None) -> Standing:
    """Apply the rule.

    - ``retrain``: the disagreement of at least ``least`` checked labels is above ``beyond``; or, with fewer, the whole
      interval is.
    - ``gathering``: fewer than ``least`` are checked.
    - ``widen``: the disagreement is at most ``within``, and the interval leaves out what would stop the labels: its
      upper end is at most ``beyond``. With no disagreement at all that takes 35 checked labels.
    - ``hold``: everything else.
    """
    rule = rule or Rule()
    n, wrong = tally.checked, tally.disagreed
    low, high = wilson(wrong, n, rule.confidence)
    rate = wrong / n if n else math.nan
    seen = f"people say otherwise of {wrong} of {n} checked labels"
    if n:
        seen += f" ({rate:.1%}, {rule.confidence:.0%} interval {low:.1%} to {high:.1%})"
    left = tally.drawn - n - tally.undecided - tally.older
    share, step = rule.sample, "Check more labels: `xrollout review`."
    if left <= 0:
        step = "Every label of the sample is checked: record more attempts, and label them with `xrollout label`."
    if n and (low > rule.beyond or (n >= rule.least and rate > rule.beyond)):
        state, reason = RuleState.RETRAIN, f"{seen}, more than {rule.beyond:.0%}"
        step = "Train it anew, with what people said since: `xrollout label train`; then `xrollout label`."
    elif n < rule.least:
        state, reason = (
            RuleState.GATHERING,
            f"{seen if n else _NOTHING}; {rule.least} are wanted before anything is said",
        )
    elif rate <= rule.within and high <= rule.beyond:
        state, share = RuleState.WIDEN, rule.widened
        reason = f"{seen}, within {rule.within:.0%}: {1 - share:.0%} of the labels need no person"
        step = "Go on: `xrollout label`."
    else:
        state = RuleState.HOLD
        why = f"between {rule.within:.0%} and {rule.beyond:.0%}"
        if rate <= rule.within:
            why = f"within {rule.within:.0%}, but too few to exclude more than {rule.beyond:.0%}"
        reason = f"{seen}, {why}"
    return Standing(state, tally, rate, low, high, share, reason, step)
