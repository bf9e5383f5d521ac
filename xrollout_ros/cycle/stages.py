"""Stages and start difficulty: what a cycle does next, by how the deployed policy does. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from xrollout_ros.core.task import TaskSpec
from xrollout_ros.cycle.recipe import StageSpec
from xrollout_ros.cycle.record import Stage, Tally

HARDEST_SHARE = 2 / 3
"""Of the attempts from the hardest start that is open; the easier ones share what is left, so that a fall is seen."""

MEANING = {
    Stage.BOOTSTRAP: "demonstrations from fresh starts, where the policy is least sure",
    Stage.MINING: "demonstrations from starts that the policy failed from",
    Stage.ACTIVE: "demonstrations from failed starts, then from where the policy is least sure",
    Stage.AUTO_LABELS: "the policy's own verified successes, and demonstrations from where it failed",
}


def stage_of(rate: float, spec: StageSpec, before: Stage | None = None) -> Stage:
    """The stage of a policy that succeeds so often.

    Args:
        rate: 0 to 1.
        spec: where each stage begins.
        before: the stage until now; it is gone back from only when it is missed by more than the slack.
    """
    order = list(Stage)
    bounds = [0.0, spec.mining, spec.active, spec.auto_labels]
    reached = max(place for place, bound in enumerate(bounds) if rate >= bound)
    if before is not None and reached < order.index(before):
        reached = max(place for place, bound in enumerate(bounds) if rate >= bound - spec.slack)
        reached = min(reached, order.index(before))
    return order[reached]


def ladder(task: TaskSpec, named: Sequence[str]) -> tuple[str, ...]:
    """Named start distributions, easy ones first: those named, or the task's by how wide they are."""
    if named:
        return tuple(named)
    return tuple(sorted(task.starts, key=lambda name: task.starts[name].widen))


def shares(rungs: Sequence[str], known: Mapping[str, Tally], raise_at: float) -> dict[str, float]:
    """Which share of the attempts begins at which start.

    Nothing known: all alike. Then a start is open if the policy succeeds often enough at the one before it, and the
    hardest that is open gets most.

    Args:
        rungs: easy ones first.
        known: what the policy did from each lately.
        raise_at: success that opens the next one.
    """
    if not any(known[name].attempts for name in rungs if name in known):
        return dict.fromkeys(rungs, 1 / len(rungs))
    opened = [rungs[0]]
    for easier, harder in pairwise(rungs):
        seen = known.get(easier, Tally())
        if not seen.attempts or seen.successes / seen.attempts < raise_at:
            break
        opened.append(harder)
    if len(opened) == 1:
        return {opened[0]: 1.0}
    easier_share = (1 - HARDEST_SHARE) / (len(opened) - 1)
    return {**dict.fromkeys(opened[:-1], easier_share), opened[-1]: HARDEST_SHARE}
