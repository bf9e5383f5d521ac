"""What one bag holds, in the terminal and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.modes import Source
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.episodes.records import Record, journal_of, record_json
from xrollout_ros.ui import text
from xrollout_ros.ui.facts import Facts
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.progress import Bar


def read(bag: Path) -> tuple[Record, EpisodeData]:
    """A bag as it is judged now, and its arrays.

    Raises:
        XRolloutError: it cannot be read.
    """
    with Bar("reading the bag"):
        arrays = read_episode(bag, allow_empty=True)
    path = bag if bag.is_dir() else bag.parent
    judged = journal.read(journal_of(path))
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return Record(path, size, arrays.meta, journal.effective(arrays.meta, judged.entries)), arrays


def show(console: Console, record: Record, arrays: EpisodeData) -> None:
    """For people."""
    _facts(console, record, arrays)
    _topics(console, record)
    console.print("\nhow to open it", style="bold")
    for how, what in how_to_open(record.path):
        console.print(f"  {how}: {what}", soft_wrap=True)


def as_json(record: Record, arrays: EpisodeData) -> dict[str, Any]:
    """For programs."""
    return {**record_json(record), "arrays": _shapes(arrays), "sources": _sources(arrays)}


def _facts(console: Console, record: Record, arrays: EpisodeData) -> None:
    meta, effective = record.meta, record.effective
    facts = Facts()
    add = facts.add

    add("episode", meta.episode_id)
    add("bag", f"{record.path} ({text.size(record.bytes)})")
    add("kind", f"{meta.kind.value}, recorded by strategy {meta.strategy.value}, level {meta.level}")
    add("task", f"{meta.task} on {meta.robot}, start {meta.start}, seed {'none' if meta.seed is None else meta.seed}")
    add("site", ", ".join(part for part in (meta.site, meta.scene) if part))
    add("started", f"{meta.started_at}, lasted {text.duration(meta.duration_s)}")
    outcome = f"{effective.outcome.value}, said by {effective.source.value}"
    add("outcome", outcome + (f": {effective.reason}" if effective.reason else ""))
    if record.result.helped:
        add("", "helped by an operator: it counts in no success of the policy")
    if (meta.outcome, meta.outcome_source) != (effective.outcome, effective.source):
        add("", f"the bag itself says {meta.outcome.value} by {meta.outcome_source.value}; the journal overrides it")
    for judgement in effective.judgements:
        stage = f" in {judgement.stage}" if judgement.stage else ""
        add("failure", f"{judgement.mode}{stage} at {judgement.moment_s:.2f} s: {judgement.evidence}")
        add("", f"severity {judgement.severity:g}, confidence {judgement.confidence:g}, by {judgement.author}")
    add("tags", ", ".join(f"{tag} ({why})" if why else tag for tag, why in effective.tags.items()))
    add("policy", " ".join(part for part in (meta.policy_id, meta.checkpoint_hash[:16]) if part))
    add("operator", meta.operator)
    for span in meta.interventions:
        add("intervention", f"{span.operator} from {span.begin_s:.2f} s to {span.end_s:.2f} s")
    for event in meta.safety_events:
        verb = "began" if event.began else "ended"
        add("safety", f"{event.check} ({event.severity.name.lower()}) {verb} at {event.at_s:.2f} s: {event.value:g}")
    add("software", meta.software_version)
    add("parameters", ", ".join(f"{name}={value}" for name, value in sorted(meta.parameters.items())))
    if meta.recovered:
        add("recovered", Text("the bag was torn and has been repaired; its end may be missing", style="yellow"))
    add("arrays", ", ".join(f"{name} {tuple(shape)}" for name, shape in _shapes(arrays).items()))
    add("commands", ", ".join(f"{count} by {name}" for name, count in _sources(arrays).items()))
    console.print(facts.table)


def _topics(console: Console, record: Record) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("topic")
    table.add_column("messages", justify="right")
    table.add_column("lost", justify="right")
    for name, count in sorted(record.meta.topics.items()):
        lost = Text(str(count.lost), style="bold red") if count.lost else Text("0", style="dim")
        table.add_row(Text(name), str(count.received), lost)
    console.print()
    console.print(table)


def _shapes(arrays: EpisodeData) -> dict[str, Any]:
    named: dict[str, npt.NDArray[Any]] = {
        "state": arrays.state,
        "action": arrays.action,
        "stamp_s": arrays.stamp_s,
        "source": arrays.source,
    }
    return {name: list(array.shape) for name, array in named.items()}


def _sources(arrays: EpisodeData) -> dict[str, int]:
    values, counts = np.unique(arrays.source, return_counts=True)
    return {Source(int(value)).name.lower(): int(count) for value, count in zip(values, counts, strict=True)}
