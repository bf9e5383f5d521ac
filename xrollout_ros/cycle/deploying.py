"""DEPLOY: the deployed policy is tried, or others have tried it; and it is watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_task
from xrollout_ros.cycle.after import After
from xrollout_ros.cycle.attempts import CYCLE, deployed_of, lived, tallies
from xrollout_ros.cycle.attempts import made as made_so_far
from xrollout_ros.cycle.comparing.trials import in_turn
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Workshop
from xrollout_ros.cycle.record import CycleRecord, Deployed, Ending, FlywheelState, Stage, State, StopName, Tally
from xrollout_ros.cycle.seeds import Purpose, first_seed
from xrollout_ros.cycle.stages import ladder, shares, stage_of
from xrollout_ros.cycle.triggers import fired
from xrollout_ros.cycle.watching import added, worse
from xrollout_ros.runtime.start_list import ListedStart, StartList


class Deploying:
    """The step DEPLOY.

    Args:
        place: the flywheel's folder.
        workshop: the world.
        clock: says what time it is.
        wait: attempts are made by others, and a cycle begins when a trigger says so.
    """

    def __init__(self, place: Place, workshop: Workshop, clock: Clock, *, wait: bool) -> None:
        self._place, self._workshop, self._clock, self._wait = place, workshop, clock, wait

    def do(self, record: CycleRecord) -> After:
        """Try the deployed policy, or wait until others have; take it back where it does worse than the one before.

        Raises:
            CycleStop: it does not go on by itself.
            XRolloutError: it came to nothing.
        """
        state = self._place.deployed()
        assert record.base is not None
        if state is None or state.policy.checkpoint_hash != record.base.checkpoint_hash:
            # Killed between taking the policy back and saying so.
            return self._rolled_back(record, record.deployed)
        self._workshop.swap(record.base)
        if self._wait:
            return self._deployed_by_others(record, state)
        starts, wanted = self.deployment(record), record.recipe.deploy.attempts
        made = made_so_far(record, starts)
        known = {meta.episode_id for meta in made.values()}
        before = tallies(meta for meta in lived(record) if meta.episode_id not in known)

        def fell() -> float:
            return _fell(state, added(before, tallies(made.values())))

        def after(meta: EpisodeMeta) -> bool:
            self._workshop.show(record, "attempts", len(made), wanted)
            return fell() >= record.recipe.rollback.bound

        self._workshop.show(record, "attempts", len(made), wanted)
        self._workshop.make(starts, "policy", EpisodeKind.ATTEMPT, made, after)
        return self._kept_or_back(record, deployed_of(record.base.policy_id, made.values(), fell()))

    def _kept_or_back(self, record: CycleRecord, deployed: Deployed) -> After:
        if deployed.worse_e_value >= record.recipe.rollback.bound:
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

    def _deployed_by_others(self, record: CycleRecord, state: FlywheelState) -> After:
        began = self._last_began(record)

        def look() -> tuple[list[EpisodeMeta], str, float]:
            """What is new, why a cycle is to begin now, and whether the policy does worse than the one before."""
            metas = lived(record)
            new = [meta for meta in metas if meta.started_at > began]
            why = fired(record.recipe.trigger, new, self._clock, began)
            return new, why, _fell(state, tallies(metas))

        def ready() -> bool:
            _, why, fell = look()
            return bool(why) or fell >= record.recipe.rollback.bound

        try:
            self._workshop.wait(ready)
        except CycleStop as stop:
            if stop.name is StopName.STOPPED:
                raise
            there, spec = len(look()[0]), record.recipe.trigger
            wanted = "no trigger fires" if spec.episodes is None else f"{spec.episodes} begin the cycle"
            assert record.base is not None
            raise CycleStop(
                StopName.WAITING_FOR_ATTEMPTS, f"{there} new attempts of the deployed policy are there, {wanted}",
                f"`xrollout up deploy model:={record.base.checkpoint} data:={record.data}` makes them; then "
                "`xrollout flywheel run` goes on.",
            ) from stop  # fmt: skip
        new, why, fell = look()
        assert record.base is not None
        after = self._kept_or_back(record, deployed_of(record.base.policy_id, new, fell))
        return replace(after, why="; ".join(filter(None, (why, after.why))))

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
            f"The next cycle goes on from {policy.checkpoint}, which is deployed again.",
            (f"{record.base.policy_id} won its comparison and did worse live: look at how the two differ",),
        )

    def _last_began(self, record: CycleRecord) -> str:
        before = [each for each in self._place.records() if each.number < record.number and each.deployed is not None]
        return before[-1].transitions[1].at if before else ""

    def _stage_before(self, record: CycleRecord) -> Stage | None:
        before = [each.stage for each in self._place.records() if each.number < record.number and each.stage]
        return before[-1] if before else None


def _fell(state: FlywheelState, now: Mapping[str, Tally]) -> float:
    """E-value against "live it does no worse than the one before did"; 1 where there is none to hold it against."""
    return worse(state.reference, now) if state.before is not None else 1.0
