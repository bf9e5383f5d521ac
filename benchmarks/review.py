"""Review and lineage at scale: the queue, a decision, the walk from a policy, over generated episodes."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import percentiles, table

from xrollout_ros.core.episode import EpisodeMeta, FailureJudgement
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.catalog.live import FILE, SqliteStore
from xrollout_ros.episodes.catalog.rows import annotation_of, row_of
from xrollout_ros.episodes.journal import Judged
from xrollout_ros.episodes.journal_entry import JournalEntry
from xrollout_ros.episodes.lineage.api import lineage_of
from xrollout_ros.episodes.lineage.records import PolicyRecord, register
from xrollout_ros.mining.review.api import Reviews

BATCH = 5_000
POLICIES = 20


def judged(episode_id: str, random_: random.Random) -> list[JournalEntry]:
    """What the rules say of a failure: a mode, and the time limit."""
    said = []
    for mode, confidence in (("dropped", random_.uniform(0.5, 1.0)), ("timeout", 0.8)):
        why = FailureJudgement(
            episode_id=episode_id, mode=mode, moment_s=1.0, severity=0.5, confidence=confidence, evidence="generated",
            author=f"rule:{mode}",
        )  # fmt: skip
        said.append(
            JournalEntry(id=new_id(), time="", author=why.author, episode_id=episode_id, what=Judged(judgement=why))
        )
    return said


def load(data: Path, rows: int) -> None:
    """Half of the attempts fail, by one of 20 policies; the second policy was trained from failures of the first."""
    random_ = random.Random(0)
    policies = [new_id() for _ in range(POLICIES)]
    store = SqliteStore(data / FOLDER / FILE)
    of_first: list[str] = []
    place = 0
    for begin in range(0, rows, BATCH):
        with store.write() as writing:
            for number in range(begin, min(begin + BATCH, rows)):
                failed = random_.random() < 0.5
                meta = EpisodeMeta(
                    episode_id=new_id(), kind="attempt", task=f"task_{number % 3}", robot="arm", start="wide",
                    strategy="sentry", policy_id=policies[number % POLICIES], checkpoint_hash="ab" * 32,
                    software_version="0.1.0", outcome="failure" if failed else "success", duration_s=4.0,
                    started_at=f"2027-01-{1 + number * 27 // rows:02d}T00:00:00+00:00",
                )  # fmt: skip
                entries = judged(meta.episode_id, random_) if failed else []
                for entry in entries:
                    writing.put("annotations", annotation_of(entry, place := place + 1))
                writing.put("episodes", row_of(meta, f"2027/{meta.episode_id}", 1, 1, entries))
                if number % POLICIES == 0:
                    of_first.append(meta.episode_id)
    store.close()
    register(data, [
        PolicyRecord(policy_id=policies[0]),
        PolicyRecord(policy_id=policies[1], parent_policy_id=policies[0], dataset_version="cd" * 32,
                     episodes=tuple(of_first[: rows // 100])),
    ])  # fmt: skip


def taken(what: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        what()
        found.append(time.perf_counter() - begin)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="generated episodes")
    parser.add_argument("--decisions", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xrollout-review-") as scratch:
        data = Path(scratch)
        load(data, given.rows)
        with Catalog(data) as catalog:
            reviews = Reviews(catalog, "ann")
            first = taken(reviews.queue, 1)
            again = taken(reviews.queue, 7)
            waiting = reviews.queue()
            status = taken(reviews.status, 5)
            ahead = iter(waiting)
            decisions = taken(lambda: reviews.decide(next(ahead).episode_id), given.decisions)
            looks = taken(lambda: reviews.case(next(ahead).episode_id), given.decisions)
            undone = taken(reviews.undo, 20)

            def walk(most: int | None) -> None:
                with lineage_of(catalog) as lineage:
                    (root,) = {lineage.find(name) for name in [waiting[0].policy_id]}
                    lineage.walk(root, most)

            walks, whole = taken(lambda: walk(8), 5), taken(lambda: walk(None), 1)
        rows = [
            [f"queue of {len(waiting):,}, the first time (makes the snapshot)", *percentiles(first), "–"],
            ["queue", *percentiles(again), "about 1 s"],
            ["status", *percentiles(status), "–"],
            ["what is shown of an episode", *percentiles(looks), "–"],
            ["decision, in the journal", *percentiles(decisions), "–"],
            ["undo", *percentiles(undone), "–"],
            [f"lineage of a policy that drove {given.rows // POLICIES:,}, cut", *percentiles(walks), "–"],
            ["the same with --all", *percentiles(whole), "–"],
        ]
        table(f"Review of {given.rows:,} episodes", ("what", "median ms", "p99 ms", "worst ms", "aim"), rows)


if __name__ == "__main__":
    main()
