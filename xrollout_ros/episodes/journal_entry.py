"""What can be said of an episode after its bag was closed, and what holds when all of it was said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from xrollout_ros.core.episode import FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.errors import check_name
from xrollout_ros.episodes.layers import ALL_LAYERS, DEFAULT_LAYER, Layers

TAG_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
"""Tags: lower-case letters, digits, dots, hyphens and underscores."""
PROPERTY_PATTERN = r"^[a-z][a-z0-9_.-]{0,63}$"
"""Names of properties: as tags, but for a letter at the beginning."""
TEXT_PATTERN = r"^[^\x00-\x1f\x7f]{0,1000}$"
"""Values of properties that are text: no control characters."""
Value = StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, Field(pattern=TEXT_PATTERN)]
_LAYERS = {"rule": "rules", "human": "review"}
_PEOPLE, _MODELS = "human:", "model:"


class _Said(BaseModel):
    # NaN and infinity are no values of a property: nothing compares with them.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Judged(_Said):
    """Somebody said why the attempt failed."""

    kind: Literal["failure"] = "failure"
    judgement: FailureJudgement


class Reviewed(_Said):
    """Somebody said how the attempt ended, against the bag."""

    kind: Literal["outcome"] = "outcome"
    outcome: Outcome
    source: OutcomeSource
    reason: str = ""


class Tagged(_Said):
    """Somebody put a tag on the episode, or took one off it."""

    kind: Literal["tag"] = "tag"
    tag: Annotated[str, Field(pattern=TAG_PATTERN)]
    on: bool = True
    reason: str = ""


class PropertySet(_Said):
    """Somebody gave the episode a property, or took one away."""

    kind: Literal["property"] = "property"
    name: Annotated[str, Field(pattern=PROPERTY_PATTERN)]
    value: Value | None = Field(description="none: the property is taken away")
    reason: str = ""


class Retracted(_Said):
    """Somebody took back what an entry before this one said; taking that back brings it into force again."""

    kind: Literal["retraction"] = "retraction"
    entry: str = Field(description="id of the entry")
    reason: str = ""


What = Judged | Reviewed | Tagged | PropertySet | Retracted


class JournalEntry(BaseModel):
    """One line of the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    time: str = Field(description="ISO 8601, UTC")
    author: str
    episode_id: str
    what: Annotated[What, Field(discriminator="kind")]
    layer: str = Field(default="", description="empty: the one that the author's kind writes to")
    batch: str = Field(default="", description="id of what was said in one go; all of it counts, or nothing")
    batch_size: Annotated[int, Field(ge=0)] = 0

    @property
    def in_layer(self) -> str:
        """The layer that it belongs to."""
        if self.layer:
            return self.layer
        by, _, name = self.author.partition(":")
        if by == "human" and isinstance(self.what, (Tagged, PropertySet)):
            return DEFAULT_LAYER
        return _LAYERS.get(by) or (f"model:{name}" if by == "model" else DEFAULT_LAYER)


class Stated(Protocol):
    """What a bag says of its episode, as far as the journal can override it."""

    @property
    def episode_id(self) -> str:
        """ULID."""
        ...

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        ...

    @property
    def outcome_source(self) -> OutcomeSource:
        """Who said so."""
        ...

    @property
    def outcome_reason(self) -> str:
        """Why."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """As recorded."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """As recorded."""
        ...


@dataclass(frozen=True)
class Effective:
    """What holds for an episode, the bag and the journal together."""

    outcome: Outcome
    source: OutcomeSource
    reason: str
    judgements: tuple[FailureJudgement, ...] = ()
    """The latest of each author, people before rules and models; none for a success."""
    tags: dict[str, str] = field(default_factory=dict)
    """Who put each of the episode's tags on it, and why; empty: it was made with it."""
    properties: dict[str, Any] = field(default_factory=dict)
    """The bag's parameters, and what was said later."""

    @property
    def failure_mode(self) -> str:
        """The mode that counts; empty: none."""
        return self.judgements[0].mode if self.judgements else ""


def retracted_ids(entries: Sequence[JournalEntry]) -> frozenset[str]:
    """Ids of the entries that were taken back, among them retractions that were."""
    gone: set[str] = set()
    for entry in reversed(entries):
        # Later ones are known by now, so it is known whether this retraction still holds.
        if isinstance(entry.what, Retracted) and entry.id not in gone:
            gone.add(entry.what.entry)
    return frozenset(gone)


def outcome_entry(meta: Stated, entries: Iterable[JournalEntry], layers: Layers = ALL_LAYERS) -> JournalEntry | None:
    """The entry whose word on how the episode ended holds; None: the bag's own word does.

    It is the latest one. What a model says counts for nothing where a person has said it, there or in the bag.

    Args:
        meta: what the bag says.
        entries: the journal, or those entries that are about this episode.
        layers: those that count.
    """
    own = [entry for entry in entries if entry.episode_id == meta.episode_id]
    return _outcome_entry(meta, _in_force(own, layers))


def _in_force(own: Sequence[JournalEntry], layers: Layers) -> list[JournalEntry]:
    gone = retracted_ids(own)
    return [entry for entry in own if entry.id not in gone and entry.in_layer in layers]


def _outcome_entry(meta: Stated, in_force: Sequence[JournalEntry]) -> JournalEntry | None:
    said = [entry for entry in in_force if isinstance(entry.what, Reviewed)]
    by_people = meta.outcome_source is OutcomeSource.HUMAN or any(entry.author.startswith(_PEOPLE) for entry in said)
    counting = [entry for entry in said if not (by_people and entry.author.startswith(_MODELS))]
    return counting[-1] if counting else None


def effective(meta: Stated, entries: Iterable[JournalEntry], layers: Layers = ALL_LAYERS) -> Effective:
    """What holds for an episode: the journal's latest word on each thing, else the bag's; and who says why it failed.

    On how it ended people's words come before those of models, see :func:`outcome_entry`.

    Args:
        meta: what the bag says.
        entries: the journal, or those entries that are about this episode.
        layers: those that count.
    """
    own = [entry for entry in entries if entry.episode_id == meta.episode_id]
    in_force = _in_force(own, layers)
    outcome, source, reason = meta.outcome, meta.outcome_source, meta.outcome_reason
    ended = _outcome_entry(meta, in_force)
    if ended is not None and isinstance(ended.what, Reviewed):
        outcome, source, reason = ended.what.outcome, ended.what.source, ended.what.reason
    latest: dict[str, FailureJudgement] = {}
    tags, properties = dict.fromkeys(meta.tags, ""), dict(meta.parameters)
    for entry in in_force:
        what = entry.what
        if isinstance(what, Judged):
            latest[what.judgement.author] = what.judgement
        elif isinstance(what, Tagged):
            if what.on:
                tags[what.tag] = ": ".join(part for part in (entry.author, what.reason) if part)
            else:
                tags.pop(what.tag, None)
        elif isinstance(what, PropertySet):
            properties[what.name] = what.value
            if what.value is None:
                del properties[what.name]
    judgements = sorted(latest.values(), key=lambda judgement: not judgement.author.startswith("human:"))
    whys = () if outcome is Outcome.SUCCESS else tuple(judgements)
    return Effective(outcome, source, reason, whys, tags, properties)


def check_tag(tag: str) -> str:
    """Return ``tag`` if it may be one.

    Raises:
        DataError: it may not.
    """
    return check_name("tag", tag, TAG_PATTERN, "up to 64 lower-case letters, digits, dots, hyphens, underscores")


def check_text(what: str, text: str) -> str:
    """Return ``text`` if it may be a value or a reason.

    Raises:
        DataError: it may not.
    """
    return check_name(what, text, TEXT_PATTERN, "up to 1000 characters on one line, none of them a control character")


def check_property(name: str) -> str:
    """Return ``name`` if it may be a property's.

    Raises:
        DataError: it may not.
    """
    allowed = "a lower-case letter, then up to 63 of these, digits, dots, hyphens, underscores"
    return check_name("property", name, PROPERTY_PATTERN, allowed)
