"""What a build has to say: of the pyramid as a whole, and of each episode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xrollout_ros.learning.frames import FRAME_NAMES
from xrollout_ros.learning.pyramid.recipe import NAMES

if TYPE_CHECKING:
    from xrollout_ros.learning.pyramid.build import Built
    from xrollout_ros.learning.pyramid.levels import Level


def report_of(built: Built) -> dict[str, Any]:
    """``report.json``."""
    return {
        "format": "xrollout.pyramid_report",
        "version": 1,
        "task": built.task,
        "robot": built.robot.id,
        "recipe": built.recipe.name,
        "episodes": len(built.judged),
        "bags_read": built.read,
        "bags_known": built.known,
        "levels": [_level(built, level) for level in built.levels],
        "rules": rules_of(built),
        "gates": gates_of(built),
        "stages": {name: dict(counts) for name, counts in built.stages.items()},
        "left_out": {
            reason: {"episodes": len(found), "which": dict(sorted(found.items()))}
            for reason, found in sorted(built.left_out.items())
        },
        "damaged_shards": dict(built.damaged),
    }


def _level(built: Built, level: Level) -> dict[str, Any]:
    manifest = level.manifest
    frames: Counter[str] = Counter()
    trained: Counter[str] = Counter()
    for episode in manifest.episodes:
        for span in episode.spans:
            frames[span.frame] += span.end - span.begin
            trained[span.frame] += (span.end - span.begin) * span.trains
    return {
        "level": level.number,
        "name": NAMES[level.number],
        "folder": level.folder,
        "dataset_version": manifest.dataset_version,
        "filter": built.recipe.levels[level.number].filter,
        "episodes": len(manifest.episodes),
        "training_episodes": sum(bool(episode.trained_rows) for episode in manifest.episodes),
        "rows": sum(episode.rows for episode in manifest.episodes),
        "training_rows": manifest.rows,
        "frames": {name: frames[name] for name in FRAME_NAMES if frames[name]},
        "training_frames": {name: trained[name] for name in FRAME_NAMES if trained[name]},
        "kinds": dict(sorted(Counter(episode.kind.value for episode in manifest.episodes).items())),
        "outcomes": dict(sorted(Counter(episode.outcome.value for episode in manifest.episodes).items())),
        "failure_modes": dict(sorted(Counter(each.cluster for each in manifest.episodes if each.cluster).items())),
        "highest_level": dict(sorted(Counter(str(each.level) for each in manifest.episodes).items())),
        "left_out": manifest.left_out,
        "cut": dict(level.cut),
        "balance_before": dict(level.before),
        "balance_after": dict(level.after),
        "missing": manifest.missing,
    }


def rules_of(built: Built) -> list[dict[str, Any]]:
    """Each promotion rule, for how many episodes it held, and for how many not."""
    held = Counter(rule.rule for judged in built.judged for rule in judged.rules if rule.held)
    total = len(built.judged)
    return [
        {
            "rule": rule.name,
            "level": rule.level,
            "about": rule.about,
            "held": held[rule.name],
            "not_held": total - held[rule.name],
        }
        for rule in built.recipe.rules
    ]


def gates_of(built: Built) -> list[dict[str, Any]]:
    """Each gate of each level, how many of those that were wanted there passed, and how many failed."""
    found: Counter[tuple[int, str, bool]] = Counter()
    for judged in built.judged:
        for member in judged.members:
            found.update((member.level, gate.gate, gate.passed) for gate in member.gates)
    names = dict.fromkeys((level, gate) for level, gate, _ in found)
    return [
        {"level": level, "gate": gate, "passed": found[level, gate, True], "failed": found[level, gate, False]}
        for level, gate in names
    ]


def lines_of(built: Built) -> Iterator[dict[str, Any]]:
    """``episodes.jsonl``: each episode, its levels, and every rule and gate with its figures."""
    cut = {(level.number, name): why for level in built.levels for name, why in level.cut.items()}
    weights = {
        (level.number, episode.episode_id): episode.weight
        for level in built.levels
        for episode in level.manifest.episodes
    }
    for judged in built.judged:
        case = judged.case
        yield {
            "episode_id": case.id,
            "kind": case.meta.kind.value,
            "start": case.meta.start,
            "outcome": case.outcome.value,
            "outcome_basis": case.basis.kind.value,
            "verified": case.basis.verified,
            "level": judged.level,
            "reviewer": None if case.reviewer is None else vars(case.reviewer),
            "ignored": case.ignored,
            "rules": [
                {"rule": each.rule, "level": each.level, "held": each.held, "words": each.words}
                for each in judged.rules
            ],
            "levels": [
                {
                    "level": member.level,
                    "in": member.taken and (member.level, case.id) not in cut,
                    "why": member.why,
                    "refused": member.refused or cut.get((member.level, case.id), ""),
                    "weight": weights.get((member.level, case.id)),
                    "gates": [{"gate": gate.gate, "passed": gate.passed, "words": gate.words} for gate in member.gates],
                }
                for member in judged.members
            ],
            "figures": {name: list(value) if isinstance(value, tuple) else value
                        for name, value in judged.figures.items()},
        }  # fmt: skip
    for reason, found in sorted(built.left_out.items()):
        for name, particulars in sorted(found.items()):
            yield {"episode_id": name, "level": 0, "left_out": reason, "particulars": particulars}
