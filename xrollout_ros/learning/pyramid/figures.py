"""Facts of an episode that rules and gates may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from xrollout_ros.core.episode import EpisodeKind
from xrollout_ros.learning.pyramid.cases import Case
from xrollout_ros.learning.pyramid.starts import Place

Value = bool | float | str | tuple[str, ...] | None
"""None: not known."""


class Kind(str, Enum):
    """What a fact is."""

    NUMBER = "a number"
    TEXT = "text"
    TRUTH = "true or false"
    TAGS = "a set of tags"


@dataclass(frozen=True)
class Figure:
    """One fact."""

    kind: Kind
    about: str
    of: Callable[[Case, Place], Value]
    better: int = -1
    """Of a number: 1: the larger the better, -1: the smaller."""


def _camera(of: Callable[[Case], list[float]]) -> Callable[[Case, Place], Value]:
    return lambda case, place: max(of(case), default=None) if case.facts.cameras else None


def _seen(case: Case, name: str) -> list[float]:
    return [float(getattr(each, name)) for each in case.facts.cameras.values()]


T, X, B, N = Kind.TAGS, Kind.TEXT, Kind.TRUTH, Kind.NUMBER
FIGURES: dict[str, Figure] = {
    # What bag and journal say.
    "kind": Figure(X, "attempt or demonstration", lambda case, place: case.meta.kind.value),
    "outcome": Figure(X, "success, failure, abort or unknown, as it holds now", lambda case, place: case.outcome.value),
    "outcome_basis": Figure(X, "what the outcome rests on", lambda case, place: case.basis.kind.value),
    "verified": Figure(
        B, "a person or the robot's own signal vouches for the outcome", lambda case, place: case.basis.verified
    ),
    "demonstrated": Figure(B, "shown from the start", lambda case, place: case.demonstrated),
    "by_policy": Figure(B, "an attempt of a policy", lambda case, place: case.by_policy),
    "helped": Figure(B, "an operator drove in the place of the policy", lambda case, place: case.helped),
    "recovered": Figure(
        B, "it succeeded after an intervention, a recovery or a second try", lambda case, place: case.recovered
    ),
    "failure_mode": Figure(X, "why it failed; empty: nobody said", lambda case, place: case.holds.failure_mode),
    "tags": Figure(T, "recorded or put on later", lambda case, place: tuple(sorted(case.holds.tags))),
    "start": Figure(X, "named start distribution", lambda case, place: case.meta.start),
    "operator": Figure(X, "who helped or demonstrated", lambda case, place: case.meta.operator),
    "policy_id": Figure(X, "empty: no policy", lambda case, place: case.meta.policy_id),
    "collected": Figure(B, "it was collected for a plan", lambda case, place: bool(case.plan_id)),
    "collected_for": Figure(
        X, "failure mode that it was collected for", lambda case, place: case.cluster if case.plan_id else ""
    ),
    # Where it started.
    "start_familiar": Figure(
        B, "within the ranges that the TaskSpec calls familiar", lambda case, place: place.familiar
    ),
    "start_gap": Figure(
        N, "distance to the nearest demonstrated start; 1: as far as these usually lie apart",
        lambda case, place: place.gap,
    ),
    "difficulty": Figure(N, "share of attempts from around its start that fail", lambda case, place: place.difficulty),
    # What was measured.
    "rows": Figure(N, "rows", lambda case, place: float(case.kept.held.rows), better=1),
    "duration_s": Figure(N, "from the first row to the last, s", lambda case, place: case.facts.duration_s),
    "not_finite": Figure(
        N, "rows with a value that is not finite", lambda case, place: float(case.facts.not_finite)
    ),
    "out_of_order": Figure(
        N, "rows whose stamp or step does not follow that of the row before",
        lambda case, place: float(case.facts.out_of_order),
    ),
    "gap": Figure(N, "longest time between two rows, in periods", lambda case, place: case.facts.gap),
    "idle_s": Figure(
        N, "longest time in the middle in which an operator commanded no motion, s",
        lambda case, place: case.facts.idle_s,
    ),
    "regrasps": Figure(
        N, "times that the object was lost and taken again",
        lambda case, place: None if case.facts.regrasps is None else float(case.facts.regrasps),
    ),
    "clipped_share": Figure(
        N, "share of an operator's rows that a limit changed, without one of a policy's",
        lambda case, place: case.facts.clipped_share,
    ),
    "lost_share": Figure(
        N, "share of the messages that never came, of the worst topic", lambda case, place: case.facts.lost_share
    ),
    "recovery_s": Figure(N, "time that a recovery policy drove, s", lambda case, place: case.facts.recovery_s),
    "camera_gap_s": Figure(
        N, "longest time without a new image, s", _camera(lambda case: _seen(case, "gap_s"))
    ),
    "camera_frozen_s": Figure(
        N, "longest time in which a camera's images were the same, s", _camera(lambda case: _seen(case, "frozen_s"))
    ),
    "camera_blank_share": Figure(
        N, "share of a camera's images that show nothing", _camera(lambda case: _seen(case, "blank_share"))
    ),
    # Scores.
    "sparc": Figure(
        N, "spectral arc length of the hand's speed while an operator drove: nearer to 0 is smoother",
        lambda case, place: case.facts.sparc, better=1,
    ),
    "mutual_information": Figure(
        N, "how much its states tell of its actions, beside the other demonstrations (DemInf), nats",
        lambda case, place: place.information, better=1,
    ),
}  # fmt: skip
"""By name."""


def figures_of(case: Case, place: Place) -> Mapping[str, Value]:
    """All of them, of one episode."""
    return {name: figure.of(case, place) for name, figure in FIGURES.items()}


TRAINING_KINDS = frozenset({EpisodeKind.ATTEMPT, EpisodeKind.DEMONSTRATION})
"""Others never train: a policy must not be judged on starts that it was trained on, and clips are no attempts."""
