"""Rows of the catalog from a bag's own words and the journal's."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource, Result, counts_in_rate
from xrollout_ros.episodes.catalog.columns import EPISODES, LARGEST, OVERRIDDEN, Kind
from xrollout_ros.episodes.catalog.times import utc
from xrollout_ros.episodes.journal_entry import (
    JournalEntry,
    Judged,
    PropertySet,
    Retracted,
    Reviewed,
    Tagged,
    effective,
)
from xrollout_ros.episodes.layers import ALL_LAYERS, Layers

_NAMES = {column.name for column in EPISODES if column.kind is Kind.TEXT} - {"outcome_reason", "bag_outcome_reason"}
"""Columns of one line: what people say in their own words may have several."""


@dataclass(frozen=True)
class Said:
    """What the bag of a row says, as far as the journal can override it."""

    episode_id: str
    outcome: Outcome
    outcome_source: OutcomeSource
    outcome_reason: str
    tags: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


def row_of(meta: EpisodeMeta, path: str, size: int, mtime_ns: int, entries: Sequence[JournalEntry]) -> dict[str, Any]:
    """The row of a bag, all columns but ``row`` and ``change``.

    Args:
        meta: what the bag says.
        path: its folder, below the data folder.
        size: of its files, bytes.
        mtime_ns: of its ``metadata.yaml``.
        entries: the journal's, about this episode.
    """
    counts = meta.topics.values()
    seed = meta.seed if meta.seed is not None and abs(meta.seed) <= LARGEST else None
    row: dict[str, Any] = {
        "episode_id": meta.episode_id,
        "kind": meta.kind.value,
        "task": meta.task,
        "robot": meta.robot,
        "site": meta.site,
        "scene": meta.scene,
        "start": meta.start,
        "seed": seed,
        "level": meta.level,
        "strategy": meta.strategy.value,
        "operator": meta.operator,
        "policy_id": meta.policy_id,
        "checkpoint_hash": meta.checkpoint_hash,
        "dataset_version": meta.dataset_version,
        "software_version": meta.software_version,
        "started_at": started(meta.started_at),
        "duration_s": meta.duration_s,
        "interventions": len(meta.interventions),
        "intervention_s": sum(span.end_s - span.begin_s for span in meta.interventions),
        "safety_events": sum(event.began for event in meta.safety_events),
        "helped": int(meta.result().helped),
        "recovered": int(meta.recovered),
        "messages": sum(count.received for count in counts),
        "lost": sum(count.lost for count in counts),
        "bytes": size,
        "path": path,
        "mtime_ns": mtime_ns,
    }
    return {**row, **judged(row, meta, entries)}


def judged(
    row: Mapping[str, Any],
    said: EpisodeMeta | Said,
    entries: Sequence[JournalEntry],
    layers: Layers = ALL_LAYERS,
) -> dict[str, Any]:
    """The columns that the journal can change.

    Args:
        row: has ``kind`` and ``helped``.
        said: what the bag says.
        entries: the journal's, about this episode.
        layers: those that count.
    """
    holds = effective(said, entries, layers)
    why = holds.judgements[0] if holds.judgements else None
    now = {
        "outcome": holds.outcome.value,
        "outcome_source": holds.source.value,
        "outcome_reason": holds.reason,
        "tags": to_json(list(holds.tags)),
        "properties": to_json(holds.properties),
    }
    bag = {
        "outcome": said.outcome.value,
        "outcome_source": said.outcome_source.value,
        "outcome_reason": said.outcome_reason,
        "tags": to_json(list(said.tags)),
        "properties": to_json(dict(said.parameters)),
    }
    attempt = counts_in_rate(EpisodeKind(row["kind"]), holds.outcome)
    return {
        **now,
        **{f"bag_{name}": bag[name] if bag[name] != now[name] else None for name in OVERRIDDEN},
        "attempt": int(attempt),
        "success": int(attempt and Result(holds.outcome, bool(row["helped"])).success),
        "failure_mode": why.mode if why else "",
        "failure_stage": why.stage if why else "",
        "failure_moment_s": why.moment_s if why else None,
        "failure_severity": why.severity if why else None,
        "failure_confidence": why.confidence if why else None,
        "failure_author": why.author if why else "",
    }


def said_by(row: Mapping[str, Any]) -> Said:
    """What the bag of a row says."""
    own = {name: row[name] if row[f"bag_{name}"] is None else row[f"bag_{name}"] for name in OVERRIDDEN}
    return Said(
        row["episode_id"],
        Outcome(own["outcome"]),
        OutcomeSource(own["outcome_source"]),
        own["outcome_reason"],
        json.loads(own["tags"]),
        json.loads(own["properties"]),
    )


def annotation_of(entry: JournalEntry, place: int) -> dict[str, Any]:
    """The row of a journal entry.

    Args:
        entry: what was said.
        place: where it stands in the journal; later ones count more.
    """
    what = entry.what
    name, value, reason = "", None, ""
    if isinstance(what, Tagged):
        name, value, reason = what.tag, "true" if what.on else None, what.reason
    elif isinstance(what, PropertySet):
        name, value, reason = what.name, None if what.value is None else to_json(what.value), what.reason
    elif isinstance(what, Reviewed):
        name, value, reason = what.outcome.value, to_json(what.source.value), what.reason
    elif isinstance(what, Judged):
        name, value, reason = what.judgement.mode, what.judgement.model_dump_json(), what.judgement.evidence
    elif isinstance(what, Retracted):
        name, value, reason = what.entry, "true", what.reason
    return {
        "entry_id": entry.id,
        "episode_id": entry.episode_id,
        "layer": entry.in_layer,
        "kind": what.kind,
        "name": name,
        "value": value,
        "author": entry.author,
        "reason": reason,
        "time": entry.time,
        "retracted": 0,
        "place": place,
        "entry": entry.model_dump_json(),
    }


def to_json(value: object) -> str:
    """Compact JSON, the same for the same value; what JSON has no numbers for becomes text."""
    try:
        return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not abs(value) < float("inf") else value


def started(text: str) -> str:
    """When an episode began, so that text sorts by time; what is no time stays as it is."""
    try:
        return utc(text)
    except (ValueError, OverflowError):
        return text


def unfit(row: Mapping[str, Any]) -> str:
    """Why a row cannot be kept; empty: it can."""
    for name, value in row.items():
        if isinstance(value, int) and abs(value) > LARGEST:
            return f"its {name} {value:.3g} is too large"
        if isinstance(value, float) and not math.isfinite(value):
            return f"its {name} is {value}, no finite number"
        if isinstance(value, str) and name in _NAMES and not value.isprintable():
            return f"its {name} {value!r} has control characters"
    return ""
