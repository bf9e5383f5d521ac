"""The cycle as a state machine: each transition is on the disk before its effect begins, so a kill at any point is no
loss.
"""

from __future__ import annotations

import xrollout_ros
from xrollout_ros.core.clock import Clock, utc_now
from xrollout_ros.core.errors import (
    CheckpointError,
    DataError,
    GraphError,
    SpecError,
    TrainingDivergedError,
    XRolloutError,
)
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot
from xrollout_ros.cycle.gates import default_level
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.ports import CycleStop, WorkFailedError, Workshop
from xrollout_ros.cycle.recipe import FlywheelRecipe
from xrollout_ros.cycle.record import CycleRecord, Ending, State, StopName, Transition
from xrollout_ros.cycle.seeds import CYCLES
from xrollout_ros.cycle.steps import Steps


class Flywheel:
    """Runs cycles in one folder, which the caller holds.

    Args:
        place: the folder.
        workshop: the world.
        clock: stamps.
        wait: a cycle begins when a trigger says so; else it makes its attempts itself.
    """

    def __init__(self, place: Place, workshop: Workshop, clock: Clock, *, wait: bool = False) -> None:
        self._place, self._workshop, self._clock = place, workshop, clock
        self._steps = Steps(place, workshop, clock, wait=wait)

    def begin(
        self, recipe: FlywheelRecipe, *, task: str, robot: str, data: str, operator: str, faults: str = "",
    ) -> CycleRecord:  # fmt: skip
        """The cycle to run: one that was interrupted, or a new one.

        Raises:
            SpecError: the interrupted one is for another task, robot or data folder, or the robot is unknown.
            DataError: a record is damaged, or the disk refuses.
        """
        given = {"task": task, "robot": robot, "data": data, "faults": faults}
        unfinished = self._place.unfinished()
        if unfinished is not None:
            for name, value in given.items():
                was = getattr(unfinished, name)
                if was != value:
                    raise SpecError(
                        f"cycle {unfinished.number} in {self._place.root} was begun with {name} {was!r}, now it is "
                        f"{value!r}",
                        "Go on with the same, give another --folder, or drop it: `xrollout flywheel abandon`.",
                    )
            again = {"stop": None, "restarts": unfinished.restarts + 1, "operator": operator}
            return self._place.save(unfinished.model_copy(update=again))
        newest, deployed = self._place.newest(), self._place.deployed()
        first = 0 if deployed is None else 1
        number = first if newest is None else newest.number + 1
        if number >= CYCLES:
            raise DataError(f"{self._place.root} has had {number} cycles", "Begin anew with another --folder.")
        state = State.COLLECT if deployed is None else State.DEPLOY
        why = "there is no policy yet" if deployed is None else f"policy {deployed.policy.policy_id} is deployed"
        return self._place.save(
            CycleRecord(
                cycle_id=new_id(),
                number=number,
                task=task,
                robot=robot,
                data=data,
                faults=faults,
                operator=operator,
                level=default_level(load_robot(robot)),
                recipe=recipe,
                base=None if deployed is None else deployed.policy,
                state=state,
                transitions=(Transition(state=state, at=utc_now(self._clock), why=why),),
                software_version=xrollout_ros.__version__,
            )
        )

    def run(self, record: CycleRecord) -> CycleRecord:
        """Take a cycle to its end, or to where it does not go on by itself; either is on the disk then.

        Raises:
            DataError: the disk refuses even that.
        """
        while record.state is not State.DONE:
            try:
                record = self._step(record)
            except CycleStop as stop:
                return self._place.stopped(record, stop.name, stop.reason, stop.next_step)
            except XRolloutError as error:
                name, next_step = named(error), error.remedy or "Mend that; then `xrollout flywheel run` goes on."
                # Who could not write does not know that a cycle goes on with what there is.
                return self._place.stopped(record, name, error.what, _FREE if name is StopName.DISK_FULL else next_step)
            except OSError as error:
                name = StopName.DISK_FULL if error.errno in (28, 122) else StopName.FAILED
                return self._place.stopped(record, name, str(error), _FREE)
        return record

    def _step(self, record: CycleRecord) -> CycleRecord:
        after = self._steps.do(record)
        lessons = (*record.lessons, *after.lessons)
        if after.state is State.DONE:
            assert after.ending is not None
            done = record.model_copy(update={**after.changes, "lessons": lessons})
            transition = Transition(state=State.DONE, at=utc_now(self._clock), why=after.why)
            done = done.model_copy(update={"transitions": (*record.transitions, transition)})
            return self._place.ended(done, after.ending, after.why, after.next_step)
        transition = Transition(state=after.state, at=utc_now(self._clock), why=after.why)
        changes = {
            **after.changes, "state": after.state, "lessons": lessons, "stop": None,
            "transitions": (*record.transitions, transition),
        }  # fmt: skip
        return self._place.save(record.model_copy(update=changes))


def abandon(place: Place, why: str) -> CycleRecord:
    """Drop the cycle that is under way; what was collected stays in the data folder.

    Raises:
        DataError: there is none, or the disk refuses.
    """
    unfinished = place.unfinished()
    if unfinished is None:
        raise DataError(f"no cycle is under way in {place.root}", "`xrollout flywheel status` shows those that were.")
    return place.ended(unfinished, Ending.ABANDONED, why, "`xrollout flywheel run` begins another one.")


_FREE = "Free the disk; then `xrollout flywheel run` goes on where it is."


def named(error: XRolloutError) -> StopName:
    """The state that an error leaves a cycle in."""
    kind = error.kind if isinstance(error, WorkFailedError) else type(error).__name__
    text = str(error)
    if "No space left" in text or "Disk quota" in text:
        return StopName.DISK_FULL
    if isinstance(error, WorkFailedError) and not kind:
        return StopName.WORKER_KILLED
    if "nothing to train from" in text:
        return StopName.NOTHING_TO_TRAIN_FROM
    return {
        TrainingDivergedError.__name__: StopName.DIVERGED,
        CheckpointError.__name__: StopName.WRONG_CHECKPOINT,
        GraphError.__name__: StopName.GRAPH_FAILED,
    }.get(kind, StopName.FAILED)
