"""Says where a catalog, the bags and the journal disagree; changes nothing."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.core.clock import Clock
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.catalog.bags import look
from xrollout_ros.episodes.catalog.live import LiveStore
from xrollout_ros.episodes.catalog.walk import Known, changes
from xrollout_ros.episodes.paths import JOURNAL


def disagreements(store: LiveStore, data: Path, clock: Clock) -> list[str]:
    """What ``xrollout index`` would change, one line each; bags that nobody can read are not among it.

    Args:
        store: the catalog's.
        data: the data folder.
        clock: the machine's.
    """
    with store.read() as reading:
        before = Known(reading)
        said = dict(reading.rows("SELECT entry_id, entry FROM annotations"))
        found = changes(data, before, clock.wall_ns(), every=True)
        there = {path: before.bag(path) for path in (*found.look, *found.gone)}
    lines = []
    for path in found.look:
        known = there[path]
        if known is None:
            readable = "problem" not in look(data, path)
            lines.append(f"the bag {path} is not in the catalog{'' if readable else ', and cannot be read'}")
        elif known.readable:
            lines.append(f"the bag {path} was changed since it was put into the catalog")
    for path in found.gone:
        known = there[path]
        if known is not None and known.readable:
            lines.append(f"the catalog has {path}, which is gone from the disk")
    entries = journal.read(data / JOURNAL).entries
    missing = [entry.id for entry in entries if entry.id not in said]
    changed = [entry.id for entry in entries if said.get(entry.id, "") not in ("", entry.model_dump_json())]
    more = set(said) - {entry.id for entry in entries}
    for count, words in (
        (len(missing), "entries of the journal are not in the catalog"),
        (len(changed), "entries of the journal were changed since they were put into the catalog"),
        (len(more), "entries of the catalog are not in the journal"),
    ):
        if count:
            lines.append(f"{count} {words}")
    return lines
