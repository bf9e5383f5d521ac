"""One level as a dataset: its manifest, what was left out of it and why, and what is missing in an empty one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xrollout_ros.core.episode import Outcome
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.pyramid.balance import Cost, Item, select, weights
from xrollout_ros.learning.pyramid.promotion import Judged, reason_of
from xrollout_ros.learning.pyramid.recipe import Balance, Recipe
from xrollout_ros.learning.shards.manifest import DatasetEpisode, Manifest, content_hash

TAKE_OVER = (
    "let an operator take over while the policy drives (`xrollout up deploy model:=checkpoint.pt operator:=…`), or "
    "demonstrate from where it failed (`xrollout mine --output plan.json`, `xrollout collect --plan plan.json`)"
)


@dataclass(frozen=True)
class Level:
    """A level that is to be written."""

    number: int
    manifest: Manifest
    cut: Mapping[str, str]
    """Episodes that a cap left out, and why."""
    before: Mapping[str, float]
    """Share of the rows that train by group, before anything was weighed."""
    after: Mapping[str, float]
    """Share of the weight."""

    @property
    def folder(self) -> str:
        """Its name."""
        return f"level{self.number}"


def level_of(
    number: int,
    judged: Sequence[Judged],
    recipe: Recipe,
    costs: Mapping[str, Cost],
    never: Mapping[str, int],
    common: Callable[[], dict[str, Any]],
) -> Level:
    """The dataset of a level.

    Args:
        number: 1 to 4.
        judged: all episodes, in order of id.
        recipe: the pyramid's.
        costs: of failure modes.
        never: number of episodes that are in no level, by reason.
        common: the manifest's fields that all levels share.
    """
    stage = recipe.levels[number]
    members = [each for each in judged if each.member(number).taken]
    spans = {each.case.id: each.case.spans(stage.frames) for each in members}
    items = [_item(each, spans[each.case.id]) for each in members]
    balance = stage.balance or Balance(demonstrations=0, cluster_share=1, strata=1, failure_gain=0)
    cut = select(items, balance)
    items = [item for item in items if item.id not in cut]
    weighed = weights(items, balance, costs)
    episodes = tuple(_episode(each, spans[each.case.id], weighed[each.case.id], number) for each in members
                     if each.case.id not in cut)  # fmt: skip
    left_out = Counter(never)
    left_out.update(reason_of(each.member(number)) for each in judged if not each.member(number).taken)
    left_out.update(["cap"] * len(cut))
    fields = common()
    name, told = f"level{number}", {**recipe.model_dump(mode="json", by_alias=True), **fields.pop("task_says")}
    manifest = Manifest(
        name=name,
        level=number,
        recipe=told,
        episodes=episodes,
        left_out=dict(sorted((reason, count) for reason, count in left_out.items() if count)),
        missing=_missing(number, episodes, judged),
        dataset_version=content_hash(name, fields["task"], fields["robot"], fields["cameras"], told, episodes),
        **fields,
    )
    even = dict.fromkeys(weighed, 1.0)
    return Level(number, manifest, cut, shares(items, even), shares(items, weighed))


def _item(judged: Judged, spans: Sequence[Any]) -> Item:
    case = judged.case
    trained = [span for span in spans if span.trains]
    return Item(
        id=case.id,
        stratum=case.stratum,
        cluster=case.cluster,
        rows=sum(span.end - span.begin for span in trained),
        demonstrated=sum(span.end - span.begin for span in trained if span.kind is Frame.DEMONSTRATION),
        point=judged.place.point,
    )


def _episode(judged: Judged, spans: Any, weight: float, number: int) -> DatasetEpisode:
    case, member = judged.case, judged.member(number)
    gates = [gate for gate in member.gates if gate.passed]
    passed = f"; passed {len(gates)} gates" if gates else ""
    difficulty = judged.place.difficulty
    return DatasetEpisode(
        episode_id=case.id,
        kind=case.meta.kind,
        start=case.meta.start,
        seed=case.meta.seed,
        outcome=case.outcome,
        outcome_basis=case.basis.kind.value,
        policy_id=case.meta.policy_id,
        operator=case.meta.operator,
        shard=case.kept.shard,
        first=case.kept.held.first,
        rows=case.kept.held.rows,
        digest=case.digest,
        spans=spans,
        weight=weight,
        level=judged.level,
        stratum=case.stratum,
        cluster=case.cluster,
        difficulty=None if difficulty is None else float(f"{difficulty:.9g}"),
        why=member.why + passed,
    )


def shares(items: Sequence[Item], weighed: Mapping[str, float]) -> dict[str, float]:
    """Share of the weight by group: demonstrated rows, each stratum, each failure mode."""
    total = sum(item.rows * weighed[item.id] for item in items)
    if not total:
        return {}
    found: Counter[str] = Counter()
    for item in (item for item in items if item.rows):
        found["demonstrated rows"] += item.demonstrated * weighed[item.id] / total  # type: ignore[assignment]
        found[f"start {item.stratum}"] += item.rows * weighed[item.id] / total  # type: ignore[assignment]
        if item.cluster:
            found[f"failure mode {item.cluster}"] += item.rows * weighed[item.id] / total  # type: ignore[assignment]
    return {name: float(share) for name, share in sorted(found.items())}


# --- what is missing --------------------------------------------------------------------------------------------------


def _missing(number: int, episodes: Sequence[DatasetEpisode], judged: Sequence[Judged]) -> str:
    """Why nothing in a level trains, and how to get what is missing; empty: something does."""
    if any(episode.trained_rows for episode in episodes):
        return ""
    refused = [each for each in judged if each.member(number).wanted and not each.member(number).taken]
    if not episodes and refused:
        counts = Counter(reason_of(each.member(number)) for each in refused)
        told = "; ".join(f"{count}: {reason}" for reason, count in counts.most_common())
        return f"all {len(refused)} episodes that its rules want were left out ({told}): `xrollout pyramid why ID`"
    if number == 1:
        return f"none of its {len(episodes)} episodes holds a row to imitate: {_GET[1]}"
    if not episodes:
        return _EMPTY[number] + ": " + _GET[number]
    failures = sum(episode.outcome in (Outcome.FAILURE, Outcome.ABORT) for episode in episodes)
    return (
        f"{failures} of its {len(episodes)} episodes are failures, and no row in it is to be imitated: {_GET[number]}"
    )


_RECORD = "record demonstrations (`xrollout record --task TASK --operator scripted --episodes 10`)"
_EMPTY = {
    2: "no failure, no intervention, no near-miss and no success from an unfamiliar or hard start",
    3: "no successful recovery that the robot's signal, a mark or a reviewer vouches for",
    4: "no verified demonstration and no validated recovery",
}
_GET = {
    1: _RECORD,
    2: "deploy the policy from wider starts (`xrollout up deploy model:=checkpoint.pt start:=wide`); " + TAKE_OVER,
    3: TAKE_OVER + "; then verify what succeeded (`xrollout review`)",
    4: _RECORD + ", or verify what there is (`xrollout review`)",
}
