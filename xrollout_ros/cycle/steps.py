"""What a cycle does in each state. A step may be done again after a kill: it looks at what is there, and does the
rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import GENERATION, EpisodeKind, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.cycle import jobs
from xrollout_ros.cycle.comparing.trials import in_turn
from xrollout_ros.cycle.gates import asked_of, certify, judge
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Told, Workshop
from xrollout_ros.cycle.record import (
    Collected,
    Curated,
    CycleRecord,
    Deployed,
    Ending,
    Mined,
    Stage,
    State,
    StopName,
    Tally,
    Trained,
    Validated,
)
from xrollout_ros.cycle.seeds import Purpose, first_seed
from xrollout_ros.cycle.stages import MEANING, ladder, shares, stage_of
from xrollout_ros.cycle.triggers import alarmed, fired
from xrollout_ros.cycle.watching import added, worse
from xrollout_ros.episodes.records import read_records
from xrollout_ros.episodes.resume import made_of
from xrollout_ros.mining.collection import TARGETED, listed
from xrollout_ros.mining.plan import read_plan
from xrollout_ros.runtime.start_list import ListedStart, Scalar, StartList
from xrollout_ros.sim.generation import TRIES, TRY

CYCLE = "cycle_id"
"""Where an episode's parameters say which cycle it was made in."""
GENERATED = "generated"
_APART = 1_000_003


@dataclass(frozen=True)
class After:
    """What follows a step."""

    state: State
    why: str
    changes: dict[str, Any]
    """Of the record, kept with the transition in one write."""
    ending: Ending | None = None
    next_step: str = ""
    lessons: tuple[str, ...] = ()


class Steps:
    """The steps of one flywheel.

    Args:
        place: its folder.
        workshop: the world.
        clock: stamps.
        wait: attempts are made by others, and a cycle begins when a trigger says so.
    """

    def __init__(self, place: Place, workshop: Workshop, clock: Clock, *, wait: bool = False) -> None:
        self._place, self._workshop, self._clock, self._wait = place, workshop, clock, wait

    def do(self, record: CycleRecord) -> After:
        """Do what the record's state says.

        Raises:
            CycleStop: it does not go on by itself.
            XRolloutError: it came to nothing.
        """
        return {
            State.DEPLOY: self._deploy, State.MINE: self._mine, State.COLLECT: self._collect,
            State.CURATE: self._curate, State.TRAIN: self._train, State.VALIDATE: self._validate,
            State.PROMOTE: self._promote, State.REJECT: self._keep, State.INCONCLUSIVE: self._keep,
        }[record.state](record)  # fmt: skip

    # --- DEPLOY -------------------------------------------------------------------------------------------------

    def _deploy(self, record: CycleRecord) -> After:
        state = self._place.deployed()
        assert record.base is not None
        if state is None or state.policy.checkpoint_hash != record.base.checkpoint_hash:
            # Killed between taking the policy back and saying so.
            return self._rolled_back(record, record.deployed)
        self._workshop.swap(record.base)
        if self._wait:
            return self._deployed_by_others(record)
        starts, wanted = self.deployment(record), record.recipe.deploy.attempts
        made = self._made(record, starts)
        before = self._live(record, without=made)
        bound, back = 1 / record.recipe.rollback.alpha, False

        def after(meta: EpisodeMeta) -> bool:
            nonlocal back
            self._workshop.show(record, "attempts", len(made), wanted)
            live = added(before, tallies(made.values()))
            back = state.before is not None and worse(state.reference, live) >= bound
            return back

        self._workshop.show(record, "attempts", len(made), wanted)
        self._workshop.make(starts, "policy", EpisodeKind.ATTEMPT, made, after)
        live = added(before, tallies(made.values()))
        self._place.lived(live)
        value = worse(state.reference, live) if state.before is not None else 1.0
        deployed = _deployed(record.base.policy_id, made.values(), value)
        if back or (state.before is not None and value >= bound):
            return self._rolled_back(record, deployed)
        return self._judged(record, deployed)

    def _judged(self, record: CycleRecord, deployed: Deployed) -> After:
        if not deployed.attempts:
            raise DataError(
                f"none of the attempts of policy {deployed.policy_id} has a known outcome",
                "Say what came of them: `xrollout review`, or give the task a success signal.",
            )
        stage = stage_of(deployed.rate, record.recipe.stages, self._stage_before(record))
        rate = f"{deployed.successes} of {deployed.attempts} attempts succeeded ({deployed.rate:.0%})"
        return After(State.MINE, f"{rate}: stage {stage.value}", {"deployed": deployed, "stage": stage})

    def _deployed_by_others(self, record: CycleRecord) -> After:
        def ready() -> bool:
            return bool(fired(record.recipe.trigger, self._since(record), self._clock, self._last_began(record)))

        try:
            self._workshop.wait(ready)
        except CycleStop as stop:
            if stop.name is StopName.STOPPED:
                raise
            there, spec = len(self._since(record)), record.recipe.trigger
            wanted = "no trigger fires" if spec.episodes is None else f"{spec.episodes} begin the cycle"
            assert record.base is not None
            raise CycleStop(
                StopName.WAITING_FOR_ATTEMPTS, f"{there} new attempts of the deployed policy are there, {wanted}",
                f"`xrollout up deploy model:={record.base.checkpoint} data:={record.data}` makes them; then "
                "`xrollout flywheel run` goes on.",
            ) from stop  # fmt: skip
        metas = self._since(record)
        why = fired(record.recipe.trigger, metas, self._clock, self._last_began(record))
        assert record.base is not None
        after = self._judged(record, _deployed(record.base.policy_id, metas, 1.0))
        return After(after.state, f"{why}; {after.why}", after.changes)

    def deployment(self, record: CycleRecord) -> StartList:
        """The starts that the deployed policy is tried from in this cycle."""
        recipe, task = record.recipe, load_task(record.task)
        rungs = ladder(task, recipe.deploy.starts)
        share = shares(rungs, self._known(record), recipe.deploy.raise_at)
        seed = first_seed(recipe.seed, Purpose.DEPLOY, record.number)
        names = in_turn(share, recipe.deploy.attempts)
        return StartList(
            list_id=f"{record.cycle_id}.deploy",
            parameters={CYCLE: record.cycle_id},
            starts=tuple(ListedStart(start=name, seed=seed + place) for place, name in enumerate(names)),
        )

    def _known(self, record: CycleRecord) -> Mapping[str, Tally]:
        """What the policy did lately from each start: in the cycle before, or in the comparison that promoted it."""
        for before in reversed(self._place.records()):
            if before.number >= record.number:
                continue
            if before.ending is Ending.PROMOTED and before.validated is not None and before.validated.by_start:
                return {start: pair[1] for start, pair in before.validated.by_start.items()}
            if before.deployed is not None and before.base == record.base:
                return before.deployed.by_start
        return {}

    def _rolled_back(self, record: CycleRecord, deployed: Deployed | None) -> After:
        state = self._place.deployed()
        assert state is not None
        assert record.base is not None
        policy = state.policy
        if policy.checkpoint_hash == record.base.checkpoint_hash:
            assert state.before is not None
            policy = state.before
            self._place.deploy(policy, f"policy {record.base.policy_id} did worse live: taken back", back=True)
        self._workshop.swap(policy)
        seen = f" (e-value {deployed.worse_e_value:.3g})" if deployed is not None else ""
        return After(
            State.DONE,
            f"policy {record.base.policy_id} does worse live than {policy.policy_id} did{seen}: taken back",
            {"deployed": deployed},
            Ending.ROLLED_BACK,
            "The next cycle goes on from the policy that was taken back.",
            (f"{record.base.policy_id} won its comparison and did worse live: look at how the two differ",),
        )

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

    # --- COLLECT ------------------------------------------------------------------------------------------------

    def _collect(self, record: CycleRecord) -> After:
        begun = self._clock.steady_ns()
        task, robot = load_task(record.task), load_robot(record.robot)
        lists = self.demonstrations(record, task)
        if not self._workshop.automatic:
            self._ask_for(record, lists)
        rollouts: dict[int, EpisodeMeta] = {}
        own = self.rollouts(record)
        if own is not None and self._workshop.automatic:
            rollouts = self._made(record, own)
            self._make(record, own, "policy", EpisodeKind.ATTEMPT, rollouts, "rollouts")
        found: list[EpisodeMeta] = []
        for starts in lists:
            made = self._made(record, starts)
            if self._workshop.automatic:
                self._make(record, starts, "operator", EpisodeKind.DEMONSTRATION, made, "demonstrations")
            found += made.values()
        good = [meta for meta in found if meta.outcome is Outcome.SUCCESS]
        collected = Collected(
            way=_way(record),
            demonstrations=len(good),
            failed=len(found) - len(good),
            rollouts=len(rollouts),
            steps=sum(_steps(meta, robot) for meta in found),
            episodes=tuple(meta.episode_id for meta in [*found, *rollouts.values()]),
            spent_s=(self._clock.steady_ns() - begun) / 1e9,
        )
        if not good and not rollouts:
            raise DataError(
                f"none of {len(found)} demonstrations succeeded", "Look at them: `xrollout episodes list`; then go on."
            )
        return After(State.CURATE, f"{len(good)} demonstrations, {len(rollouts)} rollouts", {"collected": collected})

    def demonstrations(self, record: CycleRecord, task: TaskSpec) -> list[StartList]:
        """Lists of starts to demonstrate from."""
        recipe, folder = record.recipe, self._place.folder(record)
        mined, about = record.mined, {CYCLE: record.cycle_id}
        planned = []
        if record.stage not in (None, Stage.BOOTSTRAP) and mined is not None:
            for file in (mined.plan, mined.active_plan):
                if file:
                    found = listed(read_plan(folder / file))
                    planned.append(found.model_copy(update={"parameters": {**found.parameters, **about}}))
        if planned:
            return planned
        count = recipe.collect.first if record.base is None else recipe.collect.demonstrations
        seed = first_seed(recipe.seed, Purpose.COLLECT, record.number)
        rungs = ladder(task, recipe.deploy.starts)
        # The first policy is shown the easy starts; later ones what it is deployed at.
        share = {rungs[0]: 1.0} if record.base is None else jobs.starts_tried(record)
        if record.base is None and not recipe.deploy.starts:
            share = {task.default_start: 1.0}
        starts = tuple(
            ListedStart(start=name, seed=seed + place, tags=("bootstrap",))
            for place, name in enumerate(in_turn(share, count))
        )
        return [StartList(list_id=f"{record.cycle_id}.collect", parameters=dict(about), starts=starts)]

    def rollouts(self, record: CycleRecord) -> StartList | None:
        """Where the policy teaches itself: several tries from each planned start."""
        mined = record.mined
        if record.stage is not Stage.AUTO_LABELS or mined is None or not mined.plan:
            return None
        plan, tries = read_plan(self._place.folder(record) / mined.plan), record.recipe.collect.tries
        starts = tuple(
            ListedStart(
                start=each.start, seed=each.seed, policy_seed=each.seed + (number + 1) * _APART,
                parameters={TRY: number},
            )
            for each in plan.starts
            if each.seed is not None
            for number in range(tries)
        )  # fmt: skip
        about: dict[str, Scalar] = {CYCLE: record.cycle_id, GENERATION: "flywheel", TRIES: tries}
        if not starts:
            return None
        return StartList(
            list_id=f"{record.cycle_id}.rollouts", tags=(GENERATED, TARGETED), parameters=about, starts=starts
        )

    def _make(
        self, record: CycleRecord, starts: StartList, driver: Any, kind: EpisodeKind, made: dict[int, EpisodeMeta],
        what: str,
    ) -> None:  # fmt: skip
        def after(meta: EpisodeMeta) -> bool:
            self._workshop.show(record, what, len(made), len(starts))
            return False

        self._workshop.show(record, what, len(made), len(starts))
        self._workshop.make(starts, driver, kind, made, after)

    def _ask_for(self, record: CycleRecord, lists: list[StartList]) -> None:
        """People demonstrate: wait until they have.

        Raises:
            CycleStop: demonstrations are missing.
        """

        def missing() -> int:
            return sum(len(starts) - len(self._made(record, starts, shown=True)) for starts in lists)

        if not missing():
            return
        command = self._collecting(record)
        try:
            self._workshop.wait(lambda: not missing())
        except CycleStop as stop:
            if stop.name is StopName.STOPPED:
                raise
            raise CycleStop(
                StopName.WAITING_FOR_DEMONSTRATIONS,
                f"{missing()} demonstrations for {record.target or 'a start'} are missing",
                f"{command}; then `xrollout flywheel run` goes on.",
            ) from stop  # fmt: skip

    def _collecting(self, record: CycleRecord) -> str:
        folder = self._place.folder(record)
        if record.mined is not None and record.mined.plan:
            return f"`xrollout collect --plan {folder / record.mined.plan} --operator {record.operator} --resume`"
        count = record.recipe.collect.first if record.base is None else record.recipe.collect.demonstrations
        return (
            f"`xrollout record --task {record.task} --operator {record.operator} --episodes {count} "
            f"--data {record.data}`"
        )

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
        command = (
            f"xrollout compare {record.base.checkpoint} {record.trained.policy.checkpoint} --task {record.task} "
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

    def _metas(self, record: CycleRecord) -> list[EpisodeMeta]:
        """All episodes of the data folder, with the outcomes that hold."""
        data = Path(record.data)
        if not data.is_dir():
            return []
        return [
            each.meta.model_copy(update={"outcome": each.effective.outcome, "outcome_source": each.effective.source})
            for each in read_records(data).records
        ]

    def _made(self, record: CycleRecord, starts: StartList, *, shown: bool = False) -> dict[int, EpisodeMeta]:
        found = made_of(starts, self._metas(record))
        return {number: meta for number, meta in found.items() if not shown or meta.outcome is Outcome.SUCCESS}

    def _live(self, record: CycleRecord, without: Mapping[int, EpisodeMeta]) -> dict[str, Tally]:
        """What the deployed policy has done in its life, but for these attempts."""
        assert record.base is not None
        out = {meta.episode_id for meta in without.values()}
        return tallies(
            meta for meta in self._metas(record) if _lives(meta, record.base.policy_id) and meta.episode_id not in out
        )

    def _since(self, record: CycleRecord) -> list[EpisodeMeta]:
        """Attempts of the deployed policy since the last cycle ended."""
        assert record.base is not None
        return [
            meta
            for meta in self._metas(record)
            if _lives(meta, record.base.policy_id) and meta.started_at > self._last_began(record)
        ]

    def _last_began(self, record: CycleRecord) -> str:
        before = [each for each in self._place.records() if each.number < record.number and each.deployed is not None]
        return before[-1].transitions[1].at if before else ""

    def _stage_before(self, record: CycleRecord) -> Stage | None:
        before = [each.stage for each in self._place.records() if each.number < record.number and each.stage]
        return before[-1] if before else None


def _lives(meta: EpisodeMeta, policy_id: str) -> bool:
    """Whether it is an attempt that the policy was deployed for."""
    return meta.policy_id == policy_id and meta.kind is EpisodeKind.ATTEMPT and GENERATED not in meta.tags


def tallies(metas: Iterable[EpisodeMeta]) -> dict[str, Tally]:
    """Successes among attempts with a known outcome, by start; what somebody helped with is no success."""
    found: dict[str, Tally] = {}
    for meta in metas:
        if meta.outcome is Outcome.UNKNOWN or meta.outcome_source is OutcomeSource.SYSTEM:
            continue
        before = found.get(meta.start, Tally())
        success = meta.result().success
        found[meta.start] = Tally(successes=before.successes + success, attempts=before.attempts + 1)
    return dict(sorted(found.items()))


def _deployed(policy_id: str, metas: Iterable[EpisodeMeta], value: float) -> Deployed:
    made = list(metas)
    return Deployed(
        policy_id=policy_id,
        by_start=tallies(made),
        alarms=sum(alarmed(meta) for meta in made),
        aborted=sum(meta.outcome is Outcome.ABORT for meta in made),
        helped=sum(meta.result().helped for meta in made),
        episodes=tuple(meta.episode_id for meta in made),
        first_failure_at=min((meta.started_at for meta in made if _failed(meta)), default=""),
        worse_e_value=value,
    )


def _failed(meta: EpisodeMeta) -> bool:
    return meta.outcome is not Outcome.UNKNOWN and not meta.result().success


def _steps(meta: EpisodeMeta, robot: RobotSpec) -> int:
    return round(meta.duration_s * robot.policy_rate_hz)


def _way(record: CycleRecord) -> str:
    return "demonstrations of the first policy" if record.stage is None else MEANING[record.stage]


def _gain(found: Validated) -> str:
    a, b = found.a, found.b
    return (
        f"{a.successes}/{a.attempts} before, {b.successes}/{b.attempts} after "
        f"({100 * found.low:+.0f} to {100 * found.high:+.0f} points): {found.verdict}"
    )
