"""What a name given to `xrollout lineage` means, and the walk from there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xrollout_ros.episodes.lineage.api import Lineage, Walk, lineage_of
from xrollout_ros.episodes.lineage.graph import Kind, Ref
from xrollout_ros.episodes.lineage.records import PolicyRecord
from xrollout_ros.learning import lineage as checkpoints
from xrollout_ros.ui.following import caught_up, warn
from xrollout_ros.ui.progress import Bar


def walk(name: str, models: Sequence[Path], data: Path, most: int | None) -> Walk:
    """Walk both ways.

    Args:
        name: an id or a part of one, a file, or the folder of a bag.
        models: checkpoints, or folders of them, to look into too.
        data: the data folder.
        most: of each list not more; None: all.

    Raises:
        XRolloutError: nothing is called like that, or several are.
    """
    with Bar("reading checkpoints"):
        given = _given(models)
        file = _file(name)
    if file is not None:
        given.insert(0, file)
    with caught_up(data) as catalog:
        with lineage_of(catalog, given) as known:
            unknown = known.missing()
        with Bar("reading checkpoints"):
            given += _beside(data) if unknown else []
        with lineage_of(catalog, given) as known:
            return known.walk(_root(known, name, file), most)


def _given(models: Sequence[Path]) -> list[PolicyRecord]:
    """What the checkpoints say that were named, or lie in folders that were."""
    found: list[PolicyRecord] = []
    for path in models:
        if path.is_file():
            found.append(checkpoints.record_in(path))
            continue
        records, problems = checkpoints.records_in(path, below=True)
        found += records
        for problem in problems:
            warn(problem)
    return found


def _beside(data: Path) -> list[PolicyRecord]:
    """Checkpoints in the folder that holds the data folder, where most people have them."""
    return checkpoints.records_in(data.resolve().parent, below=False)[0]


def _file(name: str) -> PolicyRecord | None:
    """The checkpoint that is meant, if it is a file."""
    path = Path(name)
    return checkpoints.record_in(path) if path.is_file() or path.suffix == ".pt" else None


def _root(known: Lineage, name: str, file: PolicyRecord | None) -> Ref:
    if file is not None:
        return Ref(Kind.POLICY, file.policy_id)
    path = Path(name)
    # The name of a bag's folder ends in the id of its episode.
    return known.find(path.resolve().name.rpartition("_")[2] if path.is_dir() else name)
