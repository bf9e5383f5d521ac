"""Lineage of one data folder: find what is meant, and walk from there."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.live import Reading
from xrollout_ros.episodes.lineage import records as kept
from xrollout_ros.episodes.lineage.from_catalog import FromCatalog
from xrollout_ros.episodes.lineage.from_records import FromRecords, used_in
from xrollout_ros.episodes.lineage.graph import Branch, Direction, Kind, Ref, Sources, walk
from xrollout_ros.episodes.lineage.records import PolicyRecord

_ULID_PART = re.compile(r"[0-9A-HJKMNP-TV-Z]{1,26}")
_HASH_PART = re.compile(r"[0-9a-f]{6,64}")
_SHOWN = 8
_LEAST = 6
"""Characters that two ids have in common at least to be near."""


@dataclass(frozen=True)
class Walk:
    """Where something came from, and what it led to."""

    came_from: Branch
    led_to: Branch

    @property
    def root(self) -> Ref:
        """Where the walk began."""
        return self.came_from.node.ref


class Lineage:
    """What came from what, as catalog and training know it."""

    def __init__(self, reading: Reading, records: dict[str, PolicyRecord]) -> None:
        self._reading, self._records = reading, records
        self._used = used_in(records.values())
        self._catalog = FromCatalog(reading, self._used)
        self._sources = Sources([FromRecords(records, self._catalog.driven_first), self._catalog])

    def walk(self, root: Ref, most: int | None = None) -> Walk:
        """Both ways from a node; of each sort of link not more than ``most``."""
        ways = [walk(self._sources, root, direction, most) for direction in (Direction.BACK, Direction.ON)]
        return Walk(*ways)

    def missing(self) -> list[str]:
        """Ids of the policies that drove episodes and of whose making nothing is known."""
        return [name for name in self._catalog.policies() if name not in self._records]

    def find(self, name: str) -> Ref:
        """The one thing that is meant by an id, a hash, or a part of one.

        Raises:
            DataError: nothing is, or several are.
        """
        found = list(dict.fromkeys([*self._episodes(name), *self._policies(name), *self._datasets(name)]))
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(f"{ref.kind.value} {ref.id}" for ref in found[:_SHOWN])
            more = ", …" if len(found) > _SHOWN else ""
            raise DataError(f"{name!r} fits several: {shown}{more}", "Give more of it.")
        near = self._near(name)
        raise DataError(
            f"nothing in the lineage is called {name!r}" + (f"; near is {', '.join(near)}" if near else ""),
            "Give the id of an episode, policy or clip, a checkpoint file or its hash, or a dataset's version.",
        )

    def _episodes(self, name: str) -> list[Ref]:
        wanted = name.upper()
        if not _ULID_PART.fullmatch(wanted):
            return []
        sql = "SELECT episode_id FROM episodes WHERE episode_id BETWEEN ? AND ? LIMIT ?"
        rows = self._reading.rows(sql, (wanted, f"{wanted}~", _SHOWN + 1))
        if not rows:
            sql = "SELECT episode_id FROM episodes WHERE episode_id GLOB ? LIMIT ?"
            rows = self._reading.rows(sql, (f"*{wanted}", _SHOWN + 1))
        gone = [each for each in self._used if each.startswith(wanted) or each.endswith(wanted)]
        return [self._catalog.ref(each) for each in dict.fromkeys([*(row[0] for row in rows), *gone])]

    def _policies(self, name: str) -> list[Ref]:
        whole, digest = name.upper(), name.lower()
        known = {policy: checkpoint for policy, (checkpoint, _) in self._catalog.policies().items()}
        for each in self._records.values():
            known[each.policy_id] = each.checkpoint_hash
            if each.parent_policy_id:
                known.setdefault(each.parent_policy_id, each.parent_checkpoint_hash)
        if not whole:
            return []
        by_hash = bool(_HASH_PART.fullmatch(digest))
        return [
            Ref(Kind.POLICY, policy)
            for policy, checkpoint in known.items()
            if policy.startswith(whole) or policy.endswith(whole) or (by_hash and checkpoint.startswith(digest))
        ]

    def _datasets(self, name: str) -> list[Ref]:
        if not _HASH_PART.fullmatch(name.lower()):
            return []
        return [Ref(Kind.DATASET, version) for version in self._versions() if version.startswith(name.lower())]

    def _versions(self) -> list[str]:
        of_episodes = [version for _, version in self._catalog.policies().values()]
        versions = [*(each.dataset_version for each in self._records.values()), *of_episodes]
        return [each for each in dict.fromkeys(versions) if each]

    def _near(self, name: str) -> list[str]:
        policies = {ref.id for ref in self._policies("0")}  # all of this age begin with it
        names = [*policies, *self._versions(), *self._used]
        near = difflib.get_close_matches(name.upper(), names, n=3) + difflib.get_close_matches(name.lower(), names, n=3)
        wanted = name.upper()
        for length in range(min(len(wanted), 25), _LEAST - 1, -1):
            if _ULID_PART.fullmatch(wanted[:length]) and (found := self._episodes(wanted[:length])):
                near += [ref.id for ref in found[:3]]
                break
        return list(dict.fromkeys(near))[:_SHOWN]


@contextmanager
def lineage_of(catalog: Catalog, more: Sequence[PolicyRecord] = ()) -> Iterator[Lineage]:
    """The lineage of a data folder as it is now.

    Args:
        catalog: of the data folder, caught up.
        more: records of checkpoints that the folder does not know.

    Raises:
        DataError: the catalog, or what training keeps, cannot be read.
    """
    own, _ = kept.read(catalog.data)
    with catalog.reading() as reading:
        yield Lineage(reading, kept.merged([own, more]))
