"""The lineage of episodes and clips, as the catalog has it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from xrollout_ros.core.episode import FAILED_ATTEMPT
from xrollout_ros.episodes.catalog.live import Reading
from xrollout_ros.episodes.lineage.graph import NOT_HERE, Direction, Kind, Links, Node, Ref

_COLUMNS = (
    "episode_id", "kind", "task", "outcome", "failure_mode", "started_at", "policy_id", "checkpoint_hash",
    "dataset_version", "path", "duration_s",
)  # fmt: skip
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM episodes"
_BATCH = 500
"""Values in one statement; SQLite takes a thousand at least."""
_SAVED_WITHIN_S = 3600.0
"""A clip shows what the ring holds, which is minutes at most."""
_GONE = "its bag is not in this data folder: deleted, or recorded elsewhere"


class FromCatalog:
    """A source of lineage: which policy drove which episode, and which clip shows which."""

    def __init__(self, reading: Reading, used: Sequence[str]) -> None:
        """
        Args:
            reading: of the catalog.
            used: ids of the episodes that lead to a dataset or policy.
        """
        self._reading, self._used = reading, used
        self._known: dict[str, dict[str, Any]] = {}
        self._asked: set[str] = set()
        self._clipped: dict[str, bool] = {}

    def node(self, ref: Ref) -> Node | None:
        """See ``Source``."""
        if ref.kind in (Kind.EPISODE, Kind.CLIP):
            row = self._row(ref.id)
            if row is None:
                return Node(ref, {}, _GONE)
            failure = row["failure_mode"] if row["outcome"] != "success" else ""
            when = row["started_at"][:19].replace("T", " ")
            kind = "" if ref.kind is Kind.CLIP else row["kind"]
            return Node(
                ref,
                {"kind": kind, "outcome": "" if ref.kind is Kind.CLIP else row["outcome"], "mode": failure,
                 "task": row["task"], "recorded": when, "bag": row["path"]},
            )  # fmt: skip
        if ref.kind is Kind.DATASET:
            return Node(ref, {}, "its episodes are not known here: --models with its policy's checkpoint tells them")
        driven, successes, attempts = self._counts(ref.id)
        facts: dict[str, Any] = {}
        if driven:
            row = self._of_policy(ref.id, 1)[0]
            facts = {"checkpoint": row["checkpoint_hash"], "task": row["task"]}
            facts["drove"] = f"{driven} episodes" + (
                f", {successes} of {attempts} attempts succeeded" if attempts else ""
            )
        return Node(ref, facts, NOT_HERE)

    def links(self, ref: Ref, direction: Direction, most: int | None) -> Iterable[Links]:
        """See ``Source``."""
        if direction is Direction.BACK:
            yield from self._back(ref)
        elif ref.kind is Kind.POLICY:
            yield self._driven(ref.id, most)
        elif ref.kind is Kind.EPISODE and (row := self._row(ref.id)) is not None:
            clips = self._clips(row)
            yield Links("shown in", [Ref(Kind.CLIP, name) for name in clips], len(clips))

    def _clips(self, row: dict[str, Any]) -> list[str]:
        """Ids of the clips that show an episode; they were saved while it ran, or soon after."""
        task = row["task"]
        if task not in self._clipped:
            sql = "SELECT 1 FROM rollup WHERE task = ? AND kind = 'clip' AND episodes > 0 LIMIT 1"
            self._clipped[task] = bool(self._reading.rows(sql, (task,)))
        if not self._clipped[task]:
            return []
        found = self._reading.rows(
            "SELECT episode_id FROM episodes WHERE started_at BETWEEN ? AND ? AND kind = 'clip' "
            "AND json_extract(properties, '$.episode_id') = ? ORDER BY started_at",
            (row["started_at"], _later(row["started_at"], row["duration_s"] + _SAVED_WITHIN_S), row["episode_id"]),
        )
        return [name for (name,) in found]

    def _back(self, ref: Ref) -> Iterator[Links]:
        if ref.kind in (Kind.EPISODE, Kind.CLIP) and (row := self._row(ref.id)) is not None:
            if row["policy_id"]:
                yield Links("driven by", [Ref(Kind.POLICY, row["policy_id"])], 1)
            # A clip says which episode it shows, a demonstration which failure it was collected for.
            how, name = ("shows", "episode_id") if ref.kind is Kind.CLIP else ("collected for", FAILED_ATTEMPT)
            (of,) = self._reading.rows(
                f"SELECT json_extract(properties, '$.{name}') FROM episodes WHERE episode_id = ?", (ref.id,)
            )[0]
            yield Links(how, [Ref(Kind.EPISODE, str(of))] if of else [], int(bool(of)))
        elif ref.kind is Kind.POLICY and self._counts(ref.id)[0]:
            # Episodes name the dataset of their policy, too: known even where nothing of the training is.
            version = self._of_policy(ref.id, 1)[0]["dataset_version"]
            yield Links("trained from", [Ref(Kind.DATASET, version)] if version else [], int(bool(version)))

    def _driven(self, policy_id: str, most: int | None) -> Links:
        total = self._counts(policy_id)[0]
        self.load(self._used)
        onward = [name for name in self._used if (row := self._row(name)) and row["policy_id"] == policy_id]
        newest = [row["episode_id"] for row in self._of_policy(policy_id, most)]
        names = list(dict.fromkeys([*onward, *newest]))
        return Links("drove", [self.ref(name) for name in names[:most]], total)

    def ref(self, episode_id: str) -> Ref:
        """An episode, or a clip."""
        row = self._row(episode_id)
        return Ref(Kind.CLIP if row is not None and row["kind"] == "clip" else Kind.EPISODE, episode_id)

    def driven_first(self, refs: Sequence[Ref]) -> list[Ref]:
        """Episodes in an order in which those that a policy drove come first: they lead further back."""
        self.load([ref.id for ref in refs])
        rows = [self._row(ref.id) for ref in refs]
        order = sorted(range(len(refs)), key=lambda n: not (rows[n] or {}).get("policy_id"))
        return [refs[number] for number in order]

    def policies(self) -> dict[str, tuple[str, str]]:
        """Of each policy that drove an episode: checkpoint hash and dataset version."""
        names = self._reading.rows("SELECT DISTINCT policy_id FROM rollup WHERE policy_id != '' AND episodes > 0")
        found = {}
        for (name,) in names:
            if rows := self._of_policy(name, 1):
                found[name] = (rows[0]["checkpoint_hash"], rows[0]["dataset_version"])
        return found

    def load(self, ids: Collection[str]) -> None:
        """Read many rows in one go."""
        wanted = [name for name in ids if name not in self._asked]
        for begin in range(0, len(wanted), _BATCH):
            some = wanted[begin : begin + _BATCH]
            marks = ", ".join("?" * len(some))
            self._keep(self._reading.rows(f"{_SELECT} WHERE episode_id IN ({marks})", some))
            self._asked.update(some)

    def _keep(self, rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
        made = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        self._known.update({row["episode_id"]: row for row in made})
        return made

    def _row(self, episode_id: str) -> dict[str, Any] | None:
        if episode_id not in self._known:
            self.load([episode_id])
        return self._known.get(episode_id)

    def _counts(self, policy_id: str) -> tuple[int, int, int]:
        """Episodes of a policy; successes and attempts among them."""
        sql = "SELECT sum(episodes), sum(successes), sum(attempts) FROM rollup WHERE policy_id = ?"
        ((episodes, successes, attempts),) = self._reading.rows(sql, (policy_id,))
        return int(episodes or 0), int(successes or 0), int(attempts or 0)

    def _of_policy(self, policy_id: str, most: int | None) -> list[dict[str, Any]]:
        """Its newest episodes. By task, since that is how the index of groups begins."""
        found: list[dict[str, Any]] = []
        tasks = self._reading.rows("SELECT DISTINCT task FROM rollup WHERE policy_id = ?", (policy_id,))
        for (task,) in tasks:
            limit = "" if most is None else " LIMIT ?"
            order = "" if most == 1 else " ORDER BY started_at DESC"
            values = (task, policy_id) if most is None else (task, policy_id, most)
            found += self._keep(self._reading.rows(f"{_SELECT} WHERE task = ? AND policy_id = ?{order}{limit}", values))
        return sorted(found, key=lambda row: str(row["started_at"]), reverse=True)[:most]


def _later(started_at: str, by_s: float) -> str:
    """A time so much later, as the catalog writes it."""
    try:
        return (datetime.fromisoformat(started_at) + timedelta(seconds=by_s)).isoformat(timespec="milliseconds")
    except ValueError:  # a bag may say anything
        return "~"
