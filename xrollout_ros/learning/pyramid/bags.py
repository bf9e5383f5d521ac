"""Which bags of a data folder a pyramid is made of, and which are not read at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xrollout_ros.core.episode import EpisodeKind
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.learning.shards.filling import Wanted
from xrollout_ros.learning.shards.store import UNREADABLE

RECORD = "Record demonstrations with `xrollout record --task … --operator scripted --episodes 8`."
_NEVER = {
    EpisodeKind.EVALUATION: "evaluation episodes never train",
    EpisodeKind.CLIP: "highlights are no attempts",
}


@dataclass(frozen=True)
class Bags:
    """Of one task."""

    task: str
    bags: tuple[tuple[str, Wanted], ...]
    """Episode id and bag, in order of id."""
    left_out: dict[str, dict[str, str]]
    """Why others are not read: by reason, the episodes (or bags, where they cannot be read) with particulars."""


def bags_of(catalog: Catalog, task: str | None) -> Bags:
    """The bags of one task's attempts and demonstrations.

    Args:
        catalog: of the data folder; brought up to date by the caller.
        task: TaskSpec id; None: there must be just one.

    Raises:
        DataError: there is no bag, several tasks, or none of this one.
    """
    with catalog.reading() as reading:
        rows = reading.rows("SELECT episode_id, kind, task, path, bytes, mtime_ns FROM episodes ORDER BY episode_id")
        problems = reading.rows("SELECT path, problem FROM problems ORDER BY path")
    chosen = _one_task(catalog, [(row[1], row[2]) for row in rows], task, len(problems))
    bags, left_out = [], _Reasons()
    for episode_id, kind, own, path, size, mtime_ns in rows:
        never = _NEVER.get(EpisodeKind(kind))
        if own != chosen:
            left_out.add("another task", episode_id, own)
        elif never is not None:
            left_out.add(never, episode_id, kind)
        else:
            bags.append((episode_id, Wanted(path, size, mtime_ns)))
    for path, problem in problems:
        left_out.add(UNREADABLE, path, problem)
    return Bags(chosen, tuple(bags), left_out.found)


class _Reasons:
    def __init__(self) -> None:
        self.found: dict[str, dict[str, str]] = {}

    def add(self, reason: str, name: str, particulars: str) -> None:
        """One more."""
        self.found.setdefault(reason, {})[name] = particulars


def _one_task(catalog: Catalog, found: Sequence[tuple[str, str]], task: str | None, unreadable: int) -> str:
    counts = Counter(own for kind, own in found if EpisodeKind(kind) not in _NEVER)
    if task is not None:
        if task not in counts:
            raise DataError(
                f"{catalog.data} holds no attempt or demonstration of task {task!r}",
                f"There are {_listed(counts)}." if counts else RECORD,
            )
        return task
    if not counts:
        others = f"; {len(found)} evaluation episodes and highlights, which never train" if found else ""
        bad = f"; {unreadable} bags that cannot be read (`xrollout index` names them)" if unreadable else ""
        raise DataError(f"{catalog.data} holds no attempt or demonstration to build a pyramid of{others}{bad}", RECORD)
    if len(counts) > 1:
        raise DataError(
            f"{catalog.data} holds several tasks: {_listed(counts)}", "A pyramid is of one: choose it with --task."
        )
    return next(iter(counts))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name}: {count} episode{'s' * (count != 1)}" for name, count in sorted(counts.items()))
