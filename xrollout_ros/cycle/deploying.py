"""DEPLOY: the deployed policy is tried, or others have tried it; and it is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_task
from xrollout_ros.cycle.after import After
from xrollout_ros.cycle.attempts import CYCLE, deployed_of, live, since, tallies
from xrollout_ros.cycle.attempts import made as made_so_far
from xrollout_ros.cycle.comparing.trials import in_turn
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Workshop
from xrollout_ros.cycle.record import CycleRecord, Deployed, Ending, Stage, State, StopName, Tally
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
            return self._deployed_by_others(record)
        starts, wanted = self.deployment(record), record.recipe.deploy.attempts
        made = made_so_far(record, starts)
        before = live(record, made)
        bound, back = 1 / record.recipe.rollback.alpha, False

        def after(meta: EpisodeMeta) -> bool:
            nonlocal back
            self._workshop.show(record, "attempts", len(made), wanted)
            now = added(before, tallies(made.values()))
            back = state.before is not None and worse(state.reference, now) >= bound
            return back

        self._workshop.show(record, "attempts", len(made), wanted)
        self._workshop.make(starts, "policy", EpisodeKind.ATTEMPT, made, after)
        now = added(before, tallies(made.values()))
        value = worse(state.reference, now) if state.before is not None else 1.0
        deployed = deployed_of(record.base.policy_id, made.values(), value)
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
        began = self._last_began(record)

        def due(metas: Sequence[EpisodeMeta]) -> str:
            return fired(record.recipe.trigger, metas, self._clock, began)

        try:
            self._workshop.wait(lambda: bool(due(since(record, began))))
        except CycleStop as stop:
            if stop.name is StopName.STOPPED:
                raise
            there, spec = len(since(record, began)), record.recipe.trigger
            wanted = "no trigger fires" if spec.episodes is None else f"{spec.episodes} begin the cycle"
            assert record.base is not None
            raise CycleStop(
                StopName.WAITING_FOR_ATTEMPTS, f"{there} new attempts of the deployed policy are there, {wanted}",
                f"`xrollout up deploy model:={record.base.checkpoint} data:={record.data}` makes them; then "
                "`xrollout flywheel run` goes on.",
            ) from stop  # fmt: skip
        metas = since(record, began)
        assert record.base is not None
        after = self._judged(record, deployed_of(record.base.policy_id, metas, 1.0))
        return After(after.state, f"{due(metas)}; {after.why}", after.changes)

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

    def _last_began(self, record: CycleRecord) -> str:
        before = [each for each in self._place.records() if each.number < record.number and each.deployed is not None]
        return before[-1].transitions[1].at if before else ""

    def _stage_before(self, record: CycleRecord) -> Stage | None:
        before = [each.stage for each in self._place.records() if each.number < record.number and each.stage]
        return before[-1] if before else None
