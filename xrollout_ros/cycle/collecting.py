"""COLLECT: demonstrations for what the policy failed at, by a script or by people; and the policy's own rollouts."""

from __future__ import annotations

from collections.abc import Iterable

from xrollout_ros.core.clock import Clock
from xrollout_ros.core.episode import GENERATION, EpisodeKind, EpisodeMeta, Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.cycle import jobs
from xrollout_ros.cycle.after import After
from xrollout_ros.cycle.attempts import CYCLE, metas_of
from xrollout_ros.cycle.attempts import made as made_so_far
from xrollout_ros.cycle.comparing.trials import in_turn
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, Driver, Workshop
from xrollout_ros.cycle.record import Collected, CycleRecord, Stage, State, StopName
from xrollout_ros.cycle.seeds import Purpose, first_seed
from xrollout_ros.cycle.stages import MEANING, ladder
from xrollout_ros.mining.collection import TARGETED, listed
from xrollout_ros.mining.plan import read_plan
from xrollout_ros.runtime.start_list import ListedStart, Scalar, StartList
from xrollout_ros.sim.generation import APART, GENERATED, TRIES, TRY


class Collecting:
    """The step COLLECT.

    Args:
        place: the flywheel's folder.
        workshop: the world.
        clock: tells how long it took.
    """

    def __init__(self, place: Place, workshop: Workshop, clock: Clock) -> None:
        self._place, self._workshop, self._clock = place, workshop, clock

    def do(self, record: CycleRecord) -> After:
        """Have demonstrations made for what the policy failed at; wait for people where they make them.

        Raises:
            CycleStop: demonstrations are missing.
            XRolloutError: they came to nothing.
        """
        begun = self._clock.steady_ns()
        lists = self.demonstrations(record, load_task(record.task))
        rollouts: dict[int, EpisodeMeta] = {}
        if self._workshop.automatic:
            own = self.rollouts(record)
            if own is not None:
                rollouts = self._make(record, own, "policy", EpisodeKind.ATTEMPT, "rollouts")
            found = self._demonstrated(record, lists)
        else:
            found = self._by_people(record, lists)
        good = [meta for meta in found if meta.outcome is Outcome.SUCCESS]
        robot = load_robot(record.robot)
        collected = Collected(
            way="demonstrations of the first policy" if record.stage is None else MEANING[record.stage],
            demonstrations=len(good),
            failed=len(found) - len(good),
            rollouts=len(rollouts),
            steps=sum(round(meta.duration_s * robot.policy_rate_hz) for meta in found),
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
        about = {CYCLE: record.cycle_id}
        planned = [listed(read_plan(folder / file)) for file in self._plans(record)]
        if planned:
            return [each.model_copy(update={"parameters": {**each.parameters, **about}}) for each in planned]
        count = wanted_of(record) * (jobs.SPARE if self._workshop.automatic else 1)
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
                start=each.start, seed=each.seed, policy_seed=each.seed + (number + 1) * APART,
                parameters={TRY: number},
            )
            for each in plan.starts[: wanted_of(record)]
            if each.seed is not None
            for number in range(tries)
        )  # fmt: skip
        about: dict[str, Scalar] = {CYCLE: record.cycle_id, GENERATION: "flywheel", TRIES: tries}
        if not starts:
            return None
        return StartList(
            list_id=f"{record.cycle_id}.rollouts", tags=(GENERATED, TARGETED), parameters=about, starts=starts
        )

    def _demonstrated(self, record: CycleRecord, lists: list[StartList]) -> list[EpisodeMeta]:
        """What the operator has demonstrated: as many successes as are wanted, or all that there are starts for."""
        wanted, found = wanted_of(record), list[EpisodeMeta]()
        for starts in lists:
            left = wanted - successes(found)
            if left <= 0:
                break
            found += self._make(record, starts, "operator", EpisodeKind.DEMONSTRATION, "demonstrations", left).values()
        return found

    def _make(
        self, record: CycleRecord, starts: StartList, driver: Driver, kind: EpisodeKind, what: str, enough: int = 0
    ) -> dict[int, EpisodeMeta]:
        """Make what of a list is not there yet, until so many have succeeded (0: all of it); gives what is there."""
        made = made_so_far(record, starts)

        def through() -> bool:
            good = successes(made.values())
            self._workshop.show(record, what, good if enough else len(made), enough or len(starts))
            return bool(enough) and good >= enough

        if not through():
            self._workshop.make(starts, driver, kind, made, lambda meta: through())
        return made

    # --- people ---------------------------------------------------------------------------------------------------

    def _by_people(self, record: CycleRecord, lists: list[StartList]) -> list[EpisodeMeta]:
        """What people have demonstrated.

        Raises:
            CycleStop: some of it is missing.
        """
        wanted = min(wanted_of(record), sum(len(starts) for starts in lists))

        def shown() -> list[EpisodeMeta]:
            if self._planned(record):
                found = [meta for starts in lists for meta in made_so_far(record, starts).values()]
            else:
                # Nobody says where such demonstrations are to begin: what was recorded since is meant.
                began = record.began_at
                found = [meta for meta in metas_of(record) if _demonstrates(meta, record) and meta.started_at > began]
            return [meta for meta in found if meta.outcome is Outcome.SUCCESS]

        def enough() -> bool:
            return len(shown()) >= wanted

        if not enough():
            try:
                self._workshop.wait(enough)
            except CycleStop as stop:
                if stop.name is StopName.STOPPED:
                    raise
                raise CycleStop(
                    StopName.WAITING_FOR_DEMONSTRATIONS,
                    f"{wanted - len(shown())} demonstrations for {record.target or 'a start'} are missing",
                    f"{self._command(record, wanted - len(shown()))}; then `xrollout flywheel run` goes on.",
                ) from stop
        return shown()

    @staticmethod
    def _plans(record: CycleRecord) -> list[str]:
        """Files of the plans that say where demonstrations begin."""
        mined = record.mined
        if mined is None or record.stage is None:
            return []
        # A policy that fails nearly everywhere is told little by where it failed.
        found = [mined.active_plan] if record.stage is Stage.BOOTSTRAP else [mined.plan, mined.active_plan]
        return [each for each in found if each]

    def _planned(self, record: CycleRecord) -> bool:
        """Whether a plan says where demonstrations begin."""
        return bool(self._plans(record))

    def _command(self, record: CycleRecord, missing: int) -> str:
        if self._planned(record):
            folder, by = self._place.folder(record), f"--operator {record.operator} --resume"
            return " and ".join(f"`xrollout collect --plan {folder / each} {by}`" for each in self._plans(record))
        return (
            f"`xrollout record --task {record.task} --operator {record.operator} --episodes {missing} "
            f"--data {record.data}`, from starts like those that it is deployed at"
        )


def wanted_of(record: CycleRecord) -> int:
    """Successful demonstrations that the cycle is to have."""
    spec = record.recipe.collect
    return spec.first if record.base is None else spec.demonstrations


def successes(metas: Iterable[EpisodeMeta]) -> int:
    """How many succeeded."""
    return sum(meta.outcome is Outcome.SUCCESS for meta in metas)


def _demonstrates(meta: EpisodeMeta, record: CycleRecord) -> bool:
    return meta.kind is EpisodeKind.DEMONSTRATION and meta.task == load_task(record.task).id
