"""What a cycle does in each state. A step may be done again after a kill: it looks at what is there, and does the
rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.cycle import jobs
from xrollout_ros.cycle.after import After
from xrollout_ros.cycle.collecting import Collecting
from xrollout_ros.cycle.deploying import Deploying
from xrollout_ros.cycle.gates import asked_of, certify, judge
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Told, Workshop
from xrollout_ros.cycle.record import (
    Curated,
    CycleRecord,
    Ending,
    Mined,
    Stage,
    State,
    StopName,
    Tally,
    Trained,
    Validated,
)
from xrollout_ros.cycle.stages import MEANING
from xrollout_ros.cycle.watching import added


class Steps:
    """The steps of one flywheel.

    Args:
        place: its folder.
        workshop: the world.
        clock: stamps.
        wait: attempts are made by others, and a cycle begins when a trigger says so.
    """

    def __init__(self, place: Place, workshop: Workshop, clock: Clock, *, wait: bool = False) -> None:
        self._place, self._workshop, self._clock = place, workshop, clock
        self._deploying = Deploying(place, workshop, clock, wait=wait)
        self._collecting = Collecting(place, workshop, clock)

    def do(self, record: CycleRecord) -> After:
        """Do what the record's state says.

        Raises:
            CycleStop: it does not go on by itself.
            XRolloutError: it came to nothing.
        """
        return {
            State.DEPLOY: self._deploying.do, State.MINE: self._mine, State.COLLECT: self._collecting.do,
            State.CURATE: self._curate, State.TRAIN: self._train, State.VALIDATE: self._validate,
            State.PROMOTE: self._promote, State.REJECT: self._keep, State.INCONCLUSIVE: self._keep,
        }[record.state](record)  # fmt: skip

    # --- MINE ---------------------------------------------------------------------------------------------------

    def _mine(self, record: CycleRecord) -> After:
        found = self._work("mine", record, Mined)
        assert record.deployed is not None
        assert record.stage is not None
        lessons = tuple(f"{mode} has plateaued: more of the same was not collected" for mode in found.plateaued)
        changes = {"mined": found, "target": found.target}
        if not found.ranked:
            return After(
                State.DONE, f"none of {record.deployed.attempts} attempts failed", changes, Ending.NO_FAILURES,
                "Deploy it from harder starts (deploy.starts), with faults, or at the next environment level.", lessons,
            )  # fmt: skip
        if not found.target and found.plateaued:
            return After(
                State.DONE, f"{', '.join(found.plateaued)}: demonstrations were added in vain", changes,
                Ending.PLATEAUED,
                "Look at the failures (`xrollout review`): another input, another policy, or a longer training is "
                "what may be missing.",
                lessons,
            )  # fmt: skip
        if not found.target and record.stage is not Stage.BOOTSTRAP:
            return After(
                State.DONE, found.why_no_plan, changes, Ending.NO_FAILURES,
                "These failures are none of the policy's making: mend what makes them.", lessons,
            )  # fmt: skip
        aim = f"for {found.target}" if found.target else "for all of its failures"
        return After(State.COLLECT, f"{aim}: {MEANING[record.stage]}", changes, lessons=lessons)

    # --- CURATE, TRAIN, VALIDATE --------------------------------------------------------------------------------

    def _curate(self, record: CycleRecord) -> After:
        found = self._work("curate", record, Curated)
        why = f"{found.rows} rows of {found.episodes} episodes, dataset {found.dataset_version[:12]}"
        return After(State.TRAIN, why, {"curated": found})

    def _train(self, record: CycleRecord) -> After:
        found = self._work("train", record, Trained)
        return After(State.VALIDATE, f"policy {found.policy.policy_id}", {"trained": found})

    def _validate(self, record: CycleRecord) -> After:
        if record.base is None:
            reason = "it is the first policy: there is nothing to compare it with"
            return After(State.PROMOTE, reason, {"validated": Validated(verdict="promote", reason=reason)})
        if self._workshop.automatic:
            found = self._work("validate", record, Validated)
        else:
            found = self._compared_by_hand(record)
        state = {"promote": State.PROMOTE, "reject": State.REJECT, "inconclusive": State.INCONCLUSIVE}[found.verdict]
        return After(state, found.reason, {"validated": found})

    def _compared_by_hand(self, record: CycleRecord) -> Validated:
        """People try both policies.

        Raises:
            CycleStop: the comparison is not through.
        """
        from xrollout_ros.cycle.comparing.result import FILE, read_result

        folder = self._place.folder(record) / jobs.COMPARISON
        assert record.base is not None
        assert record.trained is not None
        starts = " ".join(f"--start {name}" for name in jobs.starts_tried(record))
        robot = f" --robot {record.robot}" if record.robot.endswith((".yaml", ".yml")) else ""
        command = (
            f"xrollout compare {record.base.checkpoint} {record.trained.policy.checkpoint} --task {record.task}{robot} "
            f"{starts} --operator {record.operator} --data {record.data} --output {folder}"
        )
        if not (folder / FILE).is_file():
            try:
                self._workshop.wait((folder / FILE).is_file)
            except CycleStop as stop:
                if stop.name is StopName.STOPPED:
                    raise
                raise CycleStop(
                    StopName.WAITING_FOR_TRIALS, "the new policy is not compared with the deployed one yet",
                    f"`{command}`; then `xrollout flywheel run` goes on.",
                ) from stop  # fmt: skip
        result = read_result(folder)
        compared = {result.plan.a.checkpoint_hash, result.plan.b.checkpoint_hash}
        if compared != {record.base.checkpoint_hash, record.trained.policy.checkpoint_hash}:
            raise DataError(f"the comparison in {folder} is of other policies", f"Make it again: `{command} --anew`.")
        return jobs.validated(result)

    # --- the end ------------------------------------------------------------------------------------------------

    def _promote(self, record: CycleRecord) -> After:
        assert record.trained is not None
        assert record.validated is not None
        reference: dict[str, Tally] = {}
        if record.base is not None and record.deployed is not None:
            compared = {start: pair[0] for start, pair in record.validated.by_start.items()}
            reference = added(record.deployed.by_start, compared)
        why = f"cycle {record.number}: {record.validated.reason}"
        # Loaded first: what the graph refuses is not deployed.
        self._workshop.swap(record.trained.policy)
        self._place.deploy(record.trained.policy, why, reference)
        self._certified(record)
        lessons = (f"{record.target}: {_gain(record.validated)}",) if record.target else ()
        return After(
            State.DONE, record.validated.reason, {}, Ending.PROMOTED,
            f"Policy {record.trained.policy.policy_id} is deployed.", lessons,
        )  # fmt: skip

    def _certified(self, record: CycleRecord) -> None:
        """In simulation the comparison is what the gate of L0 asks for, if the new policy did well enough in it."""
        assert record.trained is not None
        assert record.validated is not None
        if load_robot(record.robot).sim is None:
            return
        tried, asked = record.validated.b, asked_of("L0", record.recipe.gates)
        if not judge("L0", tried.successes, tried.attempts, asked):
            policy = record.trained.policy
            certify(
                Path(policy.checkpoint), policy.checkpoint_hash, "L0", tried.successes, tried.attempts, asked,
                f"cycle {record.number}", self._clock,
            )  # fmt: skip

    def _keep(self, record: CycleRecord) -> After:
        assert record.validated is not None
        rejected = record.state is State.REJECT
        ending = Ending.REJECTED if rejected else Ending.INCONCLUSIVE
        next_step = (
            "The deployed policy stays. Its demonstrations stay in the pyramid; look at what the new one failed at."
            if rejected
            else "The deployed policy stays. The next cycle collects more; the demonstrations made stay in the pyramid."
        )
        lessons = (f"{record.target or 'no mode'}: {_gain(record.validated)}",)
        return After(State.DONE, record.validated.reason, {}, ending, next_step, lessons)

    # --- parts --------------------------------------------------------------------------------------------------

    def _work(self, job: str, record: CycleRecord, kind: Any) -> Any:
        self._workshop.show(record, job, 0, 0)
        told: Told = lambda what, done, total: self._workshop.show(record, what, done, total)  # noqa: E731
        self._workshop.work(job, record, told)
        file = self._place.folder(record) / jobs.result_file(job)
        return kind.model_validate_json(file.read_text(encoding="utf-8"))


def _gain(found: Validated) -> str:
    a, b = found.a, found.b
    return (
        f"{a.successes}/{a.attempts} before, {b.successes}/{b.attempts} after "
        f"({100 * found.low:+.0f} to {100 * found.high:+.0f} points): {found.verdict}"
    )
