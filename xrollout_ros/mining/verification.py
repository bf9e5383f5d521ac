"""On whose word an episode's outcome rests, and whether somebody who can know vouches for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.episodes.journal_entry import (
    JournalEntry,
    Reviewed,
    Stated,
    Tagged,
    outcome_entry,
    retracted_ids,
)
from xrollout_ros.episodes.layers import ALL_LAYERS, Layers
from xrollout_ros.mining.review.decisions import HUMAN, VERIFIED


class BasisKind(str, Enum):
    """What an outcome rests on."""

    ROBOT = "robot"
    """The robot's own success signal."""
    HUMAN_MARK = "human_mark"
    """An operator's mark while it ran."""
    REVIEWED = "reviewed"
    """What a person said afterwards."""
    AUTO_LABEL = "auto_label"
    """What a program said afterwards: a success classifier, or anybody in the journal who is no person."""
    TIME_LIMIT = "time_limit"
    """Nobody said success until its time was up."""
    SAFETY = "safety"
    """A check stopped it."""
    SYSTEM = "system"
    """Something that it could not do without was gone."""
    NONE = "none"
    """Nobody has said how it ended."""


_OF_BAG = {
    OutcomeSource.ROBOT: BasisKind.ROBOT,
    OutcomeSource.HUMAN: BasisKind.HUMAN_MARK,
    OutcomeSource.MODEL: BasisKind.AUTO_LABEL,
    OutcomeSource.TIME_LIMIT: BasisKind.TIME_LIMIT,
    OutcomeSource.SAFETY: BasisKind.SAFETY,
    OutcomeSource.SYSTEM: BasisKind.SYSTEM,
    OutcomeSource.NONE: BasisKind.NONE,
}
_SURE = frozenset({BasisKind.ROBOT, BasisKind.HUMAN_MARK, BasisKind.REVIEWED})


@dataclass(frozen=True)
class Basis:
    """What an episode's outcome rests on."""

    kind: BasisKind
    outcome: Outcome
    """The one that holds."""
    verified: bool
    """A person or the robot's own success signal vouches for the outcome: it was marked, reviewed or signalled, or a
    person put the tag ``human-verified`` on after it was said."""
    author: str = ""
    """Who said it in the journal; empty: the bag's own word holds."""

    @property
    def unverified_label(self) -> bool:
        """Whether it rests on a program's word alone, which level 4 of the pyramid does not take."""
        return self.kind is BasisKind.AUTO_LABEL and not self.verified


def outcome_basis(meta: Stated, entries: Sequence[JournalEntry], layers: Layers = ALL_LAYERS) -> Basis:
    """On whose word the outcome of an episode rests.

    Args:
        meta: what its bag says: an ``EpisodeMeta``, or what the catalog has of it.
        entries: the journal, or those entries that are about this episode, in the order said.
        layers: those that count.
    """
    holding = outcome_entry(meta, entries, layers)
    if holding is not None and isinstance(holding.what, Reviewed):
        kind = BasisKind.REVIEWED if holding.author.startswith(HUMAN) else BasisKind.AUTO_LABEL
        outcome, author = holding.what.outcome, holding.author
    else:
        kind, outcome, author = _OF_BAG[meta.outcome_source], meta.outcome, ""
    verified = kind in _SURE or _vouched(meta, entries, holding, layers)
    return Basis(kind, outcome, verified, author)


def _vouched(meta: Stated, entries: Sequence[JournalEntry], holding: JournalEntry | None, layers: Layers) -> bool:
    """Whether a person has put the tag on after the outcome was said, and nobody has taken it off."""
    own = [entry for entry in entries if entry.episode_id == meta.episode_id]
    gone = retracted_ids(own)
    vouched = False
    for entry in own:
        if holding is not None and entry.id == holding.id:
            vouched = False  # a person who had looked before did not see this
        what = entry.what
        if not isinstance(what, Tagged) or what.tag != VERIFIED or entry.id in gone or entry.in_layer not in layers:
            continue
        vouched = what.on and entry.author.startswith(HUMAN)
    return vouched
