"""The figures of a deployment's report that its bags' manifests and the journal tell; no bag is opened."""

from __future__ import annotations

import platform
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import xrollout_ros
from xrollout_ros.core.episode import RUN, EpisodeKind, Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.levels import MEANING
from xrollout_ros.core.ros_distro import ros_distro
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.core.wilson import wilson
from xrollout_ros.episodes.lineage.records import read as read_policies
from xrollout_ros.episodes.records import Record
from xrollout_ros.episodes.store import EpisodeEntry
from xrollout_ros.mining.attempts import UNJUDGED_SEVERITY, UNTAGGED
from xrollout_ros.mining.statistics import SuccessRate, success_rate_of
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, MODES, FailureMode, tag_of
from xrollout_ros.ui import text
from xrollout_ros.ui.deployment import Attempt, Failure, Group, NotRead, Policy

_LIBRARIES = ("torch", "numpy", "metaworld", "mujoco", "foxglove-sdk", "mcap")
_REMARKS = frozenset(tag_of(mode.value) for mode in IN_SUCCESSES)


@dataclass(frozen=True)
class Chosen:
    """The episodes that a report is of."""

    data: Path
    """The data folder."""
    task: TaskSpec | None
    """As the bags have it; none: nothing was made, and nobody has said."""
    robot: str
    records: Sequence[Record] = ()
    """In the order made, of one task on one robot."""
    unreadable: Sequence[EpisodeEntry] = ()
    """Bags that may belong to them."""
    run: str = ""
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
    """By SHA-256: files that whoever asks knows of."""

    def __post_init__(self) -> None:
        for what in ("task", "robot"):
            names = sorted({getattr(record.meta, what) for record in self.records})
            if len(names) > 1:
                raise DataError(
                    f"these episodes are of several {what}s: {', '.join(names)}",
                    f"A report is of one: choose it with --{what}.",
                )

    @property
    def rated(self) -> list[Record]:
        """Attempts of a policy; where there are none, demonstrations."""
        return [each for each in self.records if each.meta.kind.rated] or self.demonstrations

    @property
    def demonstrations(self) -> list[Record]:
        """What was demonstrated."""
        return [each for each in self.records if each.meta.kind is EpisodeKind.DEMONSTRATION]

    @property
    def beside(self) -> list[Record]:
        """Demonstrations that are not what is rated."""
        return self.demonstrations if self.rated != self.demonstrations else []


def attempts_of(records: Iterable[Record], data: Path) -> tuple[Attempt, ...]:
    """Episodes as attempts, numbered in the order given."""
    return tuple(_attempt(number, record, data) for number, record in enumerate(records, start=1))


def environment_of(record: Record) -> str:
    """Where it was made: level and site."""
    return ", ".join(part for part in (record.meta.level, record.meta.site) if part)


def rate_of(records: Iterable[Record]) -> SuccessRate:
    """Their success, with its 95 % interval."""
    return success_rate_of(record.result for record in records)


def by_start(records: Sequence[Record], task: TaskSpec | None) -> tuple[Group, ...]:
    """By start distribution, in the order first used."""
    described = {name: start.description for name, start in task.starts.items()} if task is not None else {}
    return tuple(
        _group(name, own, described.get(name, "")) for name, own in _parts(records, lambda each: each.meta.start)
    )


def by_environment(records: Sequence[Record]) -> tuple[Group, ...]:
    """By level and site, in the order first used."""
    meanings = {str(level): meaning for level, meaning in MEANING.items()}
    return tuple(
        _group(name, own, meanings.get(own[0].meta.level, "")) for name, own in _parts(records, environment_of)
    )


def policies_of(chosen: Chosen) -> tuple[Policy, ...]:
    """The policies that drove, in the order first used.

    Raises:
        DataError: what the data folder knows of policies cannot be read.
    """
    known = {each.checkpoint_hash: each.checkpoint for each in read_policies(chosen.data)[0]}
    known |= {digest: str(path) for digest, path in chosen.checkpoints.items()}
    found = []
    for name, own in _parts(chosen.rated, lambda each: each.meta.policy_id):
        meta, group = own[0].meta, _group(name, own, "")
        if name:
            found.append(
                Policy(
                    **dict(group),
                    checkpoint_hash=meta.checkpoint_hash,
                    checkpoint=known.get(meta.checkpoint_hash, ""),
                    dataset_version=meta.dataset_version,
                )
            )
    return tuple(found)


def failures_of(records: Sequence[Record]) -> tuple[Failure, ...]:
    """The ways in which they failed, those that cost most first: by the lower bound of the share × severity."""
    counted = sum(record.effective.outcome is not Outcome.UNKNOWN for record in records)
    failed = [each for each in records if each.effective.outcome in (Outcome.FAILURE, Outcome.ABORT)]
    found = []
    for mode, own in _parts(failed, lambda each: each.effective.failure_mode or UNTAGGED):
        low, high = wilson(len(own), counted)
        judged = [each.effective.judgements[:1] for each in own]
        severity = sum(each[0].severity if each else UNJUDGED_SEVERITY for each in judged) / len(own)
        meaning = MODES[FailureMode(mode)].meaning if mode in FailureMode._value2member_map_ else ""
        found.append(
            Failure(
                mode=mode,
                meaning=meaning or ("nobody has said why" if mode == UNTAGGED else ""),
                count=len(own),
                low=low,
                high=high,
                severity=severity,
                score=low * severity,
                episodes=_ids(own),
            )
        )
    return tuple(sorted(found, key=lambda each: (-each.score, -each.count, each.mode)))


def settings_of(records: Sequence[Record]) -> dict[str, str]:
    """What all of them have in common."""
    named: list[dict[str, Any]] = [
        {
            "kind": each.meta.kind.value,
            "scene": each.meta.scene,
            "strategy": each.meta.strategy.value,
            "operator": each.meta.operator,
            "software": each.meta.software_version,
            **{name: value for name, value in each.meta.parameters.items() if name != RUN},
        }
        for each in records
    ]
    first = named[0] if named else {}
    return {
        name: str(value)
        for name, value in first.items()
        if value != "" and all(each.get(name) == value for each in named)
    }


def times_of(records: Sequence[Record]) -> tuple[str, str]:
    """When the first one began and the last one ended; empty: there are none, or they do not say."""
    if not records:
        return "", ""
    first, last = records[0].meta, records[-1].meta
    try:
        ended = datetime.fromisoformat(last.started_at.replace("Z", "+00:00")) + timedelta(seconds=last.duration_s)
    except ValueError:
        return first.started_at, ""
    return first.started_at, ended.astimezone(timezone.utc).isoformat(timespec="seconds")


def not_read(entries: Iterable[EpisodeEntry]) -> tuple[NotRead, ...]:
    """Bags that may belong to it and cannot be read."""
    return tuple(NotRead(path=entry.path, problem=entry.problem) for entry in entries)


def notes_of(chosen: Chosen) -> list[str]:
    """What is to be known of the figures."""
    records, notes = chosen.rated, []
    if recovered := sum(record.meta.recovered for record in records):
        notes.append(f"{text.plural(recovered, 'bag')} had been torn and were repaired: the end may be missing")
    if parts := sum(record.meta.kept is not None for record in records):
        notes.append(f"of {text.plural(parts, 'attempt')} the bags hold parts alone, as the strategy wants it")
    if chosen.unreadable:
        what = text.plural(len(chosen.unreadable), "bag")
        notes.append(f"{what} cannot be read; if these were attempts, no figure here counts them")
    return notes


def versions() -> dict[str, str]:
    """What a result may depend on, by name."""
    found = {"xrollout": xrollout_ros.__version__, "Python": platform.python_version()}
    if distribution := ros_distro():
        found["ROS 2"] = distribution
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _parts(records: Iterable[Record], key: Any) -> list[tuple[str, list[Record]]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return list(found.items())


def _ids(records: Iterable[Record]) -> tuple[str, ...]:
    return tuple(record.meta.episode_id for record in records)


def _group(name: str, records: Sequence[Record], description: str) -> Group:
    remarks = Counter(tag for record in records for tag in _remarks(record))
    return Group(
        name=name,
        description=description,
        rate=rate_of(records),
        remarks=dict(sorted(remarks.items())),
        episodes=_ids(records),
    )


def _remarks(record: Record) -> tuple[str, ...]:
    return tuple(sorted(_REMARKS & set(record.effective.tags))) if record.result.success else ()


def _attempt(number: int, record: Record, data: Path) -> Attempt:
    meta, effective = record.meta, record.effective
    judgement = effective.judgements[0] if effective.judgements else None
    return Attempt(
        number=number,
        episode_id=meta.episode_id,
        open=f"xrollout episodes open {meta.episode_id} --data {shlex.quote(str(data))}",
        bag=record.path,
        kind=meta.kind,
        started_at=meta.started_at,
        start=meta.start,
        seed=meta.seed,
        environment=environment_of(record),
        policy_id=meta.policy_id,
        outcome=effective.outcome,
        outcome_source=effective.source,
        outcome_reason=effective.reason,
        helped=record.result.helped,
        duration_s=meta.duration_s,
        failure_mode=judgement.mode if judgement else "",
        stage=judgement.stage if judgement else "",
        moment_s=judgement.moment_s if judgement else None,
        severity=judgement.severity if judgement else None,
        evidence=judgement.evidence if judgement else "",
        judged_by=judgement.author if judgement else "",
        tags=effective.tags,
        remarks=_remarks(record),
        interventions=tuple(meta.interventions),
        safety_events=sum(event.began for event in meta.safety_events),
        lost=record.lost,
    )
