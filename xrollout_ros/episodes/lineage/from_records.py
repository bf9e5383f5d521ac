"""The lineage of policies and datasets, as training keeps it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from xrollout_ros.episodes.lineage.graph import NOT_HERE, Direction, Kind, Links, Node, Ref
from xrollout_ros.episodes.lineage.records import PolicyRecord


class FromRecords:
    """A source of lineage: policies, their parents, and the episodes that they were trained from."""

    def __init__(self, records: Mapping[str, PolicyRecord], order: Callable[[Sequence[Ref]], list[Ref]]) -> None:
        """
        Args:
            records: of each policy, by id.
            order: puts episodes first that lead further back.
        """
        self._records, self._order = dict(records), order
        self._trained: dict[str, list[str]] = defaultdict(list)
        self._children: dict[str, list[str]] = defaultdict(list)
        self._datasets: dict[str, tuple[str, ...]] = {}
        self._within: dict[str, list[str]] = defaultdict(list)
        self._validated: dict[str, list[str]] = defaultdict(list)
        for each in sorted(records.values(), key=lambda record: (record.created_at, record.policy_id)):
            if each.parent_policy_id:
                self._children[each.parent_policy_id].append(each.policy_id)
            if each.dataset_version:
                self._trained[each.dataset_version].append(each.policy_id)
                if each.dataset_version not in self._datasets:
                    self._datasets[each.dataset_version] = each.episodes
                    for episode in each.episodes:
                        self._within[episode].append(each.dataset_version)
            for episode in each.held_out:
                self._validated[episode].append(each.policy_id)

    def node(self, ref: Ref) -> Node | None:
        """See ``Source``."""
        if ref.kind is Kind.DATASET and ref.id in self._datasets:
            return Node(ref, {"episodes": len(self._datasets[ref.id])})
        record = self._records.get(ref.id)
        if ref.kind is not Kind.POLICY:
            return None
        if record is None:
            named = [each for each in self._records.values() if each.parent_policy_id == ref.id]
            known = {"checkpoint": named[0].parent_checkpoint_hash} if named else {}
            return Node(ref, known, NOT_HERE)
        return Node(
            ref,
            {
                "architecture": record.architecture,
                "checkpoint": record.checkpoint_hash,
                "task": record.task,
                "trained": record.created_at[:19].replace("T", " "),
                "file": record.checkpoint,
            },
        )

    def links(self, ref: Ref, direction: Direction, most: int | None) -> Iterable[Links]:
        """See ``Source``."""
        back = direction is Direction.BACK
        record = self._records.get(ref.id)
        if ref.kind is Kind.POLICY and back and record is not None:
            yield _links("fine-tuned from", Kind.POLICY, [record.parent_policy_id] if record.parent_policy_id else [])
            yield _links("trained from", Kind.DATASET, [record.dataset_version] if record.dataset_version else [])
            yield _links("validated on", Kind.EPISODE, record.held_out)
        elif ref.kind is Kind.POLICY and not back:
            yield _links("fine-tuned into", Kind.POLICY, self._children.get(ref.id, ()))
        elif ref.kind is Kind.DATASET and back:
            episodes = _links("made of", Kind.EPISODE, self._datasets.get(ref.id, ()))
            yield Links(episodes.how, self._order(episodes.refs), episodes.total)
        elif ref.kind is Kind.DATASET:
            yield _links("trained", Kind.POLICY, self._trained.get(ref.id, ()))
        elif ref.kind is Kind.EPISODE and not back:
            yield _links("is part of", Kind.DATASET, self._within.get(ref.id, ()))
            yield _links("validated", Kind.POLICY, self._validated.get(ref.id, ()))


def used_in(records: Iterable[PolicyRecord]) -> list[str]:
    """Ids of the episodes that some policy was trained from or validated on."""
    return list(dict.fromkeys(name for each in records for name in (*each.episodes, *each.held_out)))


def _links(how: str, kind: Kind, ids: Iterable[str]) -> Links:
    refs = [Ref(kind, name) for name in ids]
    return Links(how, refs, len(refs))
