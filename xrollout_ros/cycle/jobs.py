"""What a cycle has done in processes of their own: mining, curation, training, validation.

``python -m xrollout_ros.cycle.jobs NAME FOLDER PARENT`` does one for the record in FOLDER and writes what it found
beside that. On standard output it says how far it is, a JSON object in each line. It ends with the process PARENT,
which started it, and lowers its own priority. Done again after a kill, it finds what is there already.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.document import Strict
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.cycle.comparing.trials import EVALUATION, PolicyRef
from xrollout_ros.cycle.curating import curate
from xrollout_ros.cycle.ports import Told
from xrollout_ros.cycle.record import (
    FILE,
    CycleRecord,
    Mined,
    Ranked,
    Stage,
    Tally,
    Trained,
    Validated,
    read_record,
    write,
)
from xrollout_ros.cycle.seeds import Purpose, first_seed

SPARE = 2
"""Times the starts that are wanted, where a script demonstrates: where the policy fails it may fail, too."""
PLAN, ACTIVE, CHECKPOINT, COMPARISON = "plan.json", "active.json", "checkpoint.pt", "comparison"
NICE = 10


def result_file(name: str) -> str:
    """Where a job leaves what it found, in the cycle's folder."""
    return f"{name}.json"


def mine(record: CycleRecord, folder: Path, told: Told) -> Mined:
    """Rank the failures of the deployed policy, choose the cycle's target, plan what to collect."""
    from xrollout_ros.episodes.catalog.api import Catalog
    from xrollout_ros.episodes.catalog.filters import equal, parse
    from xrollout_ros.mining.mine import mine as mined_of
    from xrollout_ros.mining.plan import write_plan
    from xrollout_ros.mining.tagging import tag_missing
    from xrollout_ros.mining.trend import Course

    assert record.base is not None
    data, task = Path(record.data), load_task(record.task)
    spare = SPARE if load_robot(record.robot).sim is not None else 1
    wanted = spare * record.recipe.collect.demonstrations
    tag_missing(data, SystemClock())
    with Catalog(data) as catalog:
        catalog.update()
        # What is compared from is not collected from.
        where = [equal("policy_id", record.base.policy_id), parse("tag!=generated"), parse(f"tag!={EVALUATION}")]
        found = mined_of(
            catalog, where, demonstrations=wanted, task=task, novelty=None, pass_over_plateaued=True, fill_up=True,
            workers=1,
            progress=lambda done, total: told("reading attempts", done, total),
        )  # fmt: skip
    counts = Counter[str]()
    for group in found.groups:
        counts[group.mode] += len(group.members)
    ranked = tuple(
        Ranked(
            mode=mode, count=counts[mode], score=max(group.score for group in found.groups if group.mode == mode),
            course=found.trends[mode].course.value,
        )
        for mode in found.modes
    )  # fmt: skip
    plan, more = "", ""
    if found.plan is not None:
        write_plan(found.plan, folder / PLAN)
        plan = PLAN
    # Where the operator fails at what the policy failed at, fresh starts make up for it.
    reserve = wanted if record.stage is Stage.BOOTSTRAP else record.recipe.collect.demonstrations
    more = _active(record, folder, reserve, told)
    near, far = (found.coverage.near, found.coverage.far) if found.coverage is not None else (None, None)
    tried = near.attempts + far.attempts if near is not None and far is not None else 0
    return Mined(
        target=found.plan.target.mode if found.plan is not None else "",
        ranked=ranked,
        plateaued=tuple(each.mode for each in ranked if each.course == Course.PLATEAUED.value),
        plan=plan,
        active_plan=more,
        why_no_plan=found.why_no_plan,
        covered=near.attempts / tried if near is not None and tried else None,
        diversity=_entropy(counts),
    )


def _active(record: CycleRecord, folder: Path, count: int, told: Told) -> str:
    """Plan for the starts that the policy is least sure of; empty: there is nothing to choose from."""
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.mining.active import plan_of
    from xrollout_ros.mining.plan import write_plan
    from xrollout_ros.sim.candidates import fresh

    assert record.base is not None
    assert record.deployed is not None
    robot, task, candidates = load_robot(record.robot), load_task(record.task), record.recipe.collect.candidates
    if robot.sim is None or candidates < 2:
        return ""
    policy = load_policy(Path(record.base.checkpoint), robot, task, expected_hash=record.base.checkpoint_hash)
    hardest = list(record.deployed.by_start)[-1]
    seed = first_seed(record.recipe.seed, Purpose.CANDIDATES, record.number)
    found = fresh(
        policy, robot, task, hardest, range(seed, seed + candidates),
        lambda done, total: told("scoring starts", done, total),
    )  # fmt: skip
    plan = plan_of(
        found, robot, task, policy.info.policy_id, demonstrations=count, data=record.data, clock=SystemClock()
    )
    write_plan(plan, folder / ACTIVE)
    return ACTIVE


def _entropy(counts: Counter[str]) -> float:
    total = sum(counts.values())
    return -sum(each / total * math.log2(each / total) for each in counts.values()) if total else 0.0


def train(record: CycleRecord, folder: Path, told: Told) -> Trained:
    """Train a policy from the level; a training that was killed goes on."""
    from xrollout_ros.learning.metadata import read_meta
    from xrollout_ros.learning.training.options import TrainOptions
    from xrollout_ros.learning.training.train import train as trained_by

    assert record.curated is not None
    output, spec = folder / CHECKPOINT, record.recipe.train
    if output.exists() and read_meta(output).dataset_version == record.curated.dataset_version:
        # Whoever was killed had written it already.
        train_s = read_meta(output).train_s
        return Trained(policy=PolicyRef.of(output), rows=record.curated.rows, epochs=0, train_s=train_s, resumed=True)
    base = Path(record.base.checkpoint) if record.base is not None and spec.base == "deployed" else None
    options = TrainOptions.of(
        **{
            "held_out": 0.0, **spec.options, "data": Path(record.curated.dataset), "output": output,
            "base_model": base, "seed": record.recipe.seed + record.number,
        }
    )  # fmt: skip
    result = trained_by(options, lambda done: told(f"loss {done.train_loss:.4f}", done.epoch, done.epochs))
    return Trained(
        policy=PolicyRef.of(output), rows=result.rows, epochs=len(result.history), train_s=result.meta.train_s,
        resumed=bool(result.fitted.resumed_from),
    )  # fmt: skip


def validate(record: CycleRecord, folder: Path, told: Told) -> Validated:
    """Compare the new policy with the deployed one, in the in-process loop."""
    from xrollout_ros.cycle.comparing.in_process import InProcess
    from xrollout_ros.cycle.comparing.planning import plan_comparison
    from xrollout_ros.cycle.comparing.result import result_of, write_result
    from xrollout_ros.cycle.comparing.run import Comparison, compare

    assert record.base is not None
    assert record.trained is not None
    plan = plan_comparison(
        Path(record.base.checkpoint), Path(record.trained.policy.checkpoint), rules=record.recipe.compare.rules,
        clock=SystemClock(), task=record.task, robot=record.robot, starts=starts_tried(record),
        first_seed=first_seed(record.recipe.seed, Purpose.COMPARE, record.number), faults=record.faults,
    )  # fmt: skip

    def shown(made: Comparison) -> None:
        told(f"e-value {made.judge.e_value:.3g} of {made.judge.bound:g}", made.judge.pairs.count, plan.rules.pairs)

    with InProcess(plan, record.recipe.compare.workers) as trials:
        made = compare(plan, folder / COMPARISON, trials, shown)
    result = result_of(made, SystemClock())
    write_result(result, folder / COMPARISON)
    return validated(result)


def starts_tried(record: CycleRecord) -> dict[str, float]:
    """Starts that the deployed policy was tried from in this cycle, all alike."""
    assert record.deployed is not None
    return {start: 1.0 for start, tally in record.deployed.by_start.items() if tally.attempts} or dict.fromkeys(
        record.deployed.by_start, 1.0
    )


def validated(result: Any) -> Validated:
    """What the cycle keeps of a comparison."""

    def tally(rate: Any) -> Tally:
        return Tally(successes=rate.successes, attempts=rate.trials)

    return Validated(
        verdict=result.verdict.value,
        reason=result.reason,
        comparison=COMPARISON,
        pairs=result.pairs,
        a=tally(result.overall.a),
        b=tally(result.overall.b),
        by_start={each.start: (tally(each.a), tally(each.b)) for each in result.strata},
        low=result.overall.low,
        high=result.overall.high,
        e_value=result.largest_e_value,
    )


JOBS: dict[str, Callable[[CycleRecord, Path, Told], Strict]] = {
    "mine": mine, "curate": curate, "train": train, "validate": validate,
}  # fmt: skip


def _say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


class _Paced:
    """Not more often than somebody can look."""

    def __init__(self) -> None:
        self._last_s = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        if time.monotonic() - self._last_s > 0.2 or done == total:
            self._last_s = time.monotonic()
            _say(what=what, done=done, total=total)


def main() -> int:
    """``python -m xrollout_ros.cycle.jobs NAME FOLDER PARENT``."""
    from xrollout_ros.core.parents import end_with_parent

    name, folder = sys.argv[1], Path(sys.argv[2])
    end_with_parent(int(sys.argv[3]))
    os.nice(NICE)
    try:
        found = JOBS[name](read_record(folder / FILE), folder, _Paced())
        write(found, folder / result_file(name))
    except XRolloutError as error:
        _say(error=error.what, remedy=error.remedy, kind=type(error).__name__)
        return error.exit_code
    except OSError as error:
        _say(error=str(error), remedy="", kind=type(error).__name__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
