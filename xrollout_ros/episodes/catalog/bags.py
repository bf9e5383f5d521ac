"""Puts bags and journal entries into a live store, in one write each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from xrollout_ros.episodes import journal
from xrollout_ros.episodes.catalog.columns import ANNOTATIONS, EPISODES, names
from xrollout_ros.episodes.catalog.index import JOURNAL_END, behind_journal
from xrollout_ros.episodes.catalog.live import LiveStore, Writing
from xrollout_ros.episodes.catalog.rows import annotation_of, judged, row_of, said_by, unfit
from xrollout_ros.episodes.catalog.walk import AGAIN, folders_above
from xrollout_ros.episodes.journal_entry import JournalEntry, retracted_ids
from xrollout_ros.episodes.rosbag2 import METADATA_FILE

_EPISODE = names(EPISODES)
_ANNOTATION = names(ANNOTATIONS)
_DOUBLE = "it is the same episode as "
_MARK, _PROBLEMS = "journal_mark", "journal_problems"


def look(data: Path, path: str) -> dict[str, Any]:
    """The row of a bag as the bag alone has it, or ``{"path", "problem", "bytes", "mtime_ns"}``.

    Args:
        data: the data folder.
        path: the bag's folder, below it.
    """
    from xrollout_ros.episodes.store import entry_of  # and with it what reads bags, which few questions need

    folder = data / path
    try:
        entry, mtime_ns = entry_of(folder), mtime_of(folder)
    except OSError as error:
        return {"path": path, "problem": f"it cannot be read ({error})", "bytes": 0, "mtime_ns": 0}
    if entry.meta is None:
        return {"path": path, "problem": entry.problem, "bytes": entry.bytes, "mtime_ns": mtime_ns}
    row = row_of(entry.meta, path, entry.bytes, mtime_ns, [])
    if problem := unfit(row):
        return {"path": path, "problem": problem, "bytes": entry.bytes, "mtime_ns": mtime_ns}
    return row


def mtime_of(folder: Path) -> int:
    """When a bag was closed, ns since the epoch; 0: it is not."""
    try:
        return (folder / METADATA_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def put_bag(writing: Writing, data: Path, found: dict[str, Any]) -> str:
    """Keep what :func:`look` found.

    Returns:
        What is wrong with it; empty: nothing.
    """
    path, problem = str(found["path"]), str(found.get("problem", ""))
    # So that it is noticed when they are gone, even if nobody has looked into them yet.
    writing.run("INSERT OR IGNORE INTO folders VALUES (?, ?)", [(folder, AGAIN) for folder in folders_above(path)])
    if not problem:
        others = writing.rows("SELECT path FROM episodes WHERE episode_id = ?", (found["episode_id"],))
        if others and others[0][0] != path and is_bag(data / others[0][0]):
            problem = f"{_DOUBLE}{others[0][0]}"
    forgotten = writing.rows("SELECT episode_id FROM episodes WHERE path = ?", (path,))
    writing.remove("episodes", [key for (key,) in forgotten if problem or key != found["episode_id"]])
    if problem:
        said = (path, problem, found["bytes"], found["mtime_ns"])
        writing.run("INSERT OR REPLACE INTO problems VALUES (?, ?, ?, ?)", [said])
        return problem
    writing.run("DELETE FROM problems WHERE path = ?", [(path,)])
    entries = entries_of(writing, found["episode_id"])
    writing.put("episodes", {**found, **judged(found, said_by(found), entries)} if entries else found)
    return ""


def remove_paths(writing: Writing, data: Path, paths: Iterable[str]) -> int:
    """Take out the bags that are really gone from the disk; how many."""
    gone = [path for path in paths if not is_bag(data / path)]
    writing.run("DELETE FROM problems WHERE path = ?", [(path,) for path in gone])
    keys = [key for path in gone for (key,) in writing.rows("SELECT episode_id FROM episodes WHERE path = ?", (path,))]
    return writing.remove("episodes", keys)


def no_longer_double(writing: Writing, data: Path) -> list[str]:
    """The bags that were left out because of another one that is gone since."""
    found = writing.rows("SELECT path, problem FROM problems WHERE problem LIKE ?", (f"{_DOUBLE}%",))
    return [path for path, problem in found if not is_bag(data / problem.removeprefix(_DOUBLE))]


def is_bag(folder: Path) -> bool:
    """Whether a folder holds what may be a bag."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return False
    return METADATA_FILE in names or any(name.endswith(".mcap") for name in names)


def entries_of(writing: Writing, episode_id: str) -> list[JournalEntry]:
    """What the journal says of an episode, in the order said."""
    found = writing.rows("SELECT entry FROM annotations WHERE episode_id = ? ORDER BY place", (episode_id,))
    return [JournalEntry.model_validate_json(entry) for (entry,) in found]


def follow_journal(store: LiveStore, path: Path, *, anew: bool = False) -> int:
    """Apply what was added to the journal since the last time.

    Args:
        store: the catalog's.
        path: the journal.
        anew: look at all of it, as if nothing had been read.

    Returns:
        How many entries are new.

    Raises:
        DataError: journal or store cannot be used; the store is as it was.
    """
    if not anew:
        with store.read() as reading:
            if not behind_journal(reading, path):
                return 0
    with store.write() as writing:
        end, mark = int(_note(writing.rows, JOURNAL_END, 0)), str(_note(writing.rows, _MARK, ""))
        tail = journal.read_from(path, 0 if anew else end, "" if anew else mark)
        whole = anew or tail.from_start
        new = _apply(writing, tail.entries, tail.places, whole=whole)
        problems = [] if whole else str(_note(writing.rows, _PROBLEMS, "")).splitlines()
        writing.remember(JOURNAL_END, tail.end)
        writing.remember(_MARK, tail.mark)
        writing.remember(_PROBLEMS, "\n".join([*problems, *tail.problems]))
        return new


def _note(rows: Any, name: str, default: object) -> Any:
    found = rows("SELECT value FROM state WHERE name = ?", (name,))
    return found[0][0] if found else default


def _apply(writing: Writing, entries: Sequence[JournalEntry], places: Sequence[int], *, whole: bool) -> int:
    """Keep entries; ``whole``: there are no others."""
    touched: dict[str, None] = {}
    known: dict[str, str] = {}
    if whole:
        known = dict(writing.rows("SELECT entry_id, entry || place FROM annotations"))
        ours = {entry.id for entry in entries}
        gone = [key for key in known if key not in ours]
        for key in gone:
            touched.update((name, None) for (name,) in writing.rows(
                "SELECT episode_id FROM annotations WHERE entry_id = ?", (key,)
            ))  # fmt: skip
        writing.remove("annotations", gone)
    new = 0
    for entry, place in zip(entries, places, strict=True):
        row = annotation_of(entry, place)
        if known.get(entry.id) != f"{row['entry']}{place}":
            writing.put("annotations", row)
            touched[entry.episode_id] = None
            new += 1
    for episode_id in touched:
        _judge(writing, episode_id)
    return new


def _judge(writing: Writing, episode_id: str) -> None:
    """Bring an episode's row and its annotations up to what the journal says of it."""
    entries = entries_of(writing, episode_id)
    _mark_retracted(writing, episode_id, retracted_ids(entries))
    found = writing.rows(f"SELECT {', '.join(_EPISODE)} FROM episodes WHERE episode_id = ?", (episode_id,))
    if found:
        row = dict(zip(_EPISODE, found[0], strict=True))
        now = {**row, **judged(row, said_by(row), entries)}
        if now != row:
            writing.put("episodes", now)


def _mark_retracted(writing: Writing, episode_id: str, gone: Collection[str]) -> None:
    columns = ", ".join(_ANNOTATION)
    for values in writing.rows(f"SELECT {columns} FROM annotations WHERE episode_id = ?", (episode_id,)):
        row = dict(zip(_ANNOTATION, values, strict=True))
        wanted = int(row["entry_id"] in gone)
        if row["retracted"] != wanted:
            writing.put("annotations", {**row, "retracted": wanted})
