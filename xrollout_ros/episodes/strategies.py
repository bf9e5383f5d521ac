"""Recording strategies: what of a run is kept. One class each, behind :class:`RecordingStrategy`."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

from xrollout_ros.core.episode import Strategy
from xrollout_ros.core.errors import SpecError

DEFAULTS = {
    "ring_seconds": 30.0,
    "ring_mib": 512.0,
    "highlight_after": 0.0,
    "correction_before": 1.0,
    "correction_after": 1.0,
}
"""How much the ring holds, how long a highlight goes on, what is kept round a correction; s, but for the MiB."""
_LONGEST_S = 3600


@dataclass(frozen=True)
class Margin:
    """Time that is kept round a correction."""

    before_s: float
    after_s: float

    def __post_init__(self) -> None:
        for name, value in (("before", self.before_s), ("after", self.after_s)):
            if not 0 <= value < _LONGEST_S:
                raise SpecError(f"the time kept {name} a correction is {value!r} s", f"Allowed is 0 to {_LONGEST_S}.")


class RecordingStrategy(ABC):
    """What is kept of a run. Highlights can be saved in each, since the ring is always filled."""

    name: ClassVar[Strategy]
    description: ClassVar[str]
    """For a person who chooses."""
    keeps_attempts: ClassVar[bool] = True
    """Whether each attempt has a bag."""
    must_upload: ClassVar[bool] = False
    may_upload: ClassVar[bool] = True

    @property
    def corrections(self) -> Margin | None:
        """Time round each correction that is kept, where only corrections are; none: the whole attempt is."""
        return None


class Base(RecordingStrategy):
    """Records nothing."""

    name = Strategy.BASE
    description = "nothing"
    keeps_attempts = False
    may_upload = False


class Sentry(RecordingStrategy):
    """A deployment under watch: every attempt is kept and uploaded."""

    name = Strategy.SENTRY
    description = "every attempt, and uploads it"
    must_upload = True


class Highlight(RecordingStrategy):
    """Long runs of which only what somebody asks for is worth the disk."""

    name = Strategy.HIGHLIGHT
    description = "only what save_highlight asks for"
    keeps_attempts = False


class Dagger(RecordingStrategy):
    """An operator corrects the policy: whole attempts with their intervention spans, or only these."""

    name = Strategy.DAGGER
    description = "attempts with an operator's corrections, or only these (argument corrections)"

    def __init__(self, corrections: Margin | None) -> None:
        self._corrections = corrections

    @property
    def corrections(self) -> Margin | None:
        """See :class:`RecordingStrategy`."""
        return self._corrections


class Episodic(RecordingStrategy):
    """A number of attempts, with time to put the scene right between them."""

    name = Strategy.EPISODIC
    description = "every attempt, a number of them with resets between"


_PLAIN: dict[Strategy, type[RecordingStrategy]] = {
    strategy.name: strategy for strategy in (Base, Sentry, Highlight, Episodic)
}
_ALL: tuple[type[RecordingStrategy], ...] = (*_PLAIN.values(), Dagger)
DESCRIPTIONS = {strategy.name.value: strategy.description for strategy in _ALL}
"""What each keeps, by its name."""


def make_strategy(name: str, corrections: Margin | None = None) -> RecordingStrategy:
    """The strategy of this name.

    Args:
        name: one of :class:`Strategy`.
        corrections: keep only the operator's spans and this much time round each; for ``dagger`` alone.

    Raises:
        SpecError: it is unknown, or does not go with the rest.
    """
    if name not in DESCRIPTIONS:
        raise SpecError(f"strategy is {name!r}", f"Allowed are {', '.join(DESCRIPTIONS)}.")
    if name == Strategy.DAGGER:
        return Dagger(corrections)
    if corrections is not None:
        raise SpecError(
            f"strategy {name} cannot keep corrections only", "Use strategy:=dagger, or leave out corrections:=true."
        )
    return _PLAIN[Strategy(name)]()
