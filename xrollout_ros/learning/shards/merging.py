"""Makes large shards out of many small ones, which builds after a few new bags leave; no bag is needed for it."""

from __future__ import annotations

from collections.abc import Sequence

from xrollout_ros.learning.shards.layout import CAMERA, ROW_ARRAYS
from xrollout_ros.learning.shards.store import Kept, Store
from xrollout_ros.learning.shards.writer import ReadEpisode, write_shard

SMALL_BYTES = 8 * 2**20
"""Of a shard's arrays; below this it is small."""
MANY = 16
"""So many small ones are worth the copying."""
LARGE_BYTES = 256 * 2**20


def merge_small(store: Store, kept: Sequence[Kept]) -> int:
    """Put the episodes of small shards together, where there are many; how many shards were made.

    The small ones stay until the caller lets go of them: a kill loses nothing.

    Args:
        store: the shards.
        kept: episodes that are still wanted; what else small shards hold is not carried over.

    Raises:
        DataError: the disk refuses.
    """
    sizes = store.sizes()
    small = {name for name, size in sizes.items() if size < SMALL_BYTES}
    if len(small) < MANY:
        return 0
    parts: dict[object, list[ReadEpisode]] = {}
    made = 0
    for each in sorted(kept, key=lambda item: item.meta.episode_id):
        if each.shard not in small:
            continue
        part = parts.setdefault((each.robot.interface_hash(), tuple(sorted(each.cameras.items()))), [])
        part.append(_read(store, each))
        if sum(episode.bytes for episode in part) >= LARGE_BYTES:
            write_shard(store.folder, part)
            part.clear()
            made += 1
    for part in parts.values():
        if part:
            write_shard(store.folder, part)
            made += 1
    return made


def _read(store: Store, kept: Kept) -> ReadEpisode:
    arrays = [*ROW_ARRAYS, *(f"{CAMERA}{name}" for name in kept.cameras)]
    rows = {name: store.rows(kept, name) for name in arrays}
    return ReadEpisode(kept.meta, kept.held.origin, kept.robot, kept.task, rows, kept.facts)
