"""Rounds of collecting, training and trying, in one process: what the benchmarks of learning from failures share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from common import STEPS
from tagging_attempts import episode_of

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import EpisodeKind, InterventionSpan, Outcome
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.core.ports import Asked, Expert, Moment, Operator, OperatorAnswer, PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.learning.dataset import (
    Include,
    TrainingEpisode,
    TrainingSet,
    policy_steps,
    usable_rows,
    why_not,
)
from xrollout_ros.learning.frames import Frame, frames_of
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.runs import runs
from xrollout_ros.learning.scores import FITTED, detectors_of
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.plan import make_model, reconcile
from xrollout_ros.learning.training.replay import make_replay
from xrollout_ros.learning.training.weights import Scheme
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.novelty import Novelty, Steps
from xrollout_ros.runtime.novelty_fit import fit as fit_novelty
from xrollout_ros.runtime.operators.scripted import ScriptedOperator, TakeoverRule
from xrollout_ros.sim.faults import Fault
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.robot import make_sim_robot

EVALUATION = 90_000_000
"""Seeds from here on are tried and never collected from."""
_TRAINING_SEED, _PURPOSE = 1_000_000, 50_000
PATIENCE = 1.5
"""Where a policy may be helped, the attempt has so many times as long: a person would not stop half-way."""


@dataclass(frozen=True)
class Start:
    """Where an attempt begins."""

    name: str
    """Named start distribution of the task."""
    seed: int


def starts(name: str, training_seed: int, purpose: int, count: int) -> list[Start]:
    """Starts to collect from, no two the same whatever the training seed and the purpose, and none ever tried."""
    first = _TRAINING_SEED * (training_seed + 1) + _PURPOSE * purpose
    assert count <= _PURPOSE
    assert (purpose + 1) * _PURPOSE <= _TRAINING_SEED
    assert first + count <= EVALUATION
    return [Start(name, first + number) for number in range(count)]


def unseen(name: str, count: int) -> list[Start]:
    """Starts that every policy of a benchmark is tried from."""
    return [Start(name, EVALUATION + number) for number in range(count)]


@dataclass(frozen=True, eq=False)
class Take:
    """One attempt, whoever drove, and when something was done to it."""

    start: Start
    episode: EpisodeData
    intended: Array
    """(T, A) as sent, but what the expert commanded where a handover's ramp damped it (``episodes.intended``)."""
    faults: tuple[tuple[str, int], ...] = ()
    """``fault_begun`` or ``fault_ended``, and the step."""

    @property
    def success(self) -> bool:
        return self.episode.meta.outcome is Outcome.SUCCESS

    @property
    def expert_rows(self) -> Array:
        """(N,) rows that the expert commanded."""
        rows: Array = np.flatnonzero(self.episode.source == Source.OPERATOR)
        return rows

    @property
    def helped(self) -> bool:
        return bool(self.episode.meta.interventions)


class Opening:
    """``core.ports.Expert``: another one, who opens the fingers whenever they need not grip.

    Meta-World's own for these tasks lets them be, half closed, once they have missed: of 12 attempts in which the puck
    was pushed away by 5 cm it saves 1 (pick_and_place) and 4 (push), this one 11 and 10. Without faults both succeed.
    """

    def __init__(self, inner: Expert, robot: RobotSpec) -> None:
        self._inner = inner
        self.name = inner.name
        grippers = [dim.kind is ActionKind.GRIPPER for dim in robot.actions]
        self._lower = np.where(grippers, robot.lower, -np.inf)
        self._grippers = np.array(grippers)

    def reset(self, seed: int) -> None:
        self._inner.reset(seed)

    def act(self, state: Array) -> Array:
        action = self._inner.act(state)
        return np.where(self._grippers & (action <= 0), self._lower, action)


class Heard:
    """``core.ports.Operator``: another one, of whom it is known what was commanded, as a bag would hold it."""

    def __init__(self, inner: Operator) -> None:
        self._inner = inner
        self.name = inner.name

    def reset(self, seed: int) -> None:
        self._inner.reset(seed)
        self.commanded: dict[int, Array] = {}
        """By step."""

    def answer(self, moment: Moment) -> OperatorAnswer:
        found = self._inner.answer(moment)
        self.commanded[moment.step] = found.action
        return found

    def requests(self, driving: bool) -> tuple[Asked, ...]:
        return self._inner.requests(driving)

    def problem(self) -> str:
        return self._inner.problem()


class Ground:
    """A task on its simulated robot, with its scripted expert."""

    def __init__(self, task_id: str) -> None:
        self.task = load_task(task_id)
        self.robot = load_robot(self.task.robot)
        patient = self.task.model_copy(update={"time_limit_s": PATIENCE * self.task.time_limit_s})
        self._sims = {
            waits: FaultyRobot(make_sim_robot(self.robot, task, shapes=False), self.robot)
            for waits, task in ((False, self.task), (True, patient))
        }

    def close(self) -> None:
        for sim in self._sims.values():
            sim.close()

    def first(self, start: Start) -> Array:
        """(D,) what is seen first from there; nobody acts."""
        sim = self._sims[False]
        sim.inject(())
        return self.robot.state_vector(sim.reset(start.seed, start.name).values)

    def take(
        self,
        start: Start,
        policy: ChunkPolicy | None = None,
        *,
        helper: TakeoverRule | None = None,
        faults: tuple[Fault, ...] = (),
        robot: RobotSpec | None = None,
    ) -> Take:
        """One attempt.

        Args:
            start: from where.
            policy: who drives; none: the expert demonstrates.
            helper: when the expert takes over from the policy; none: never.
            faults: happen in it.
            robot: with other detectors than the task's own.
        """
        robot = robot or self.robot
        sim = self._sims[policy is not None and helper is not None]
        sim.inject(faults)
        operator = None
        if policy is None or helper is not None:
            expert = Opening(make_expert("scripted", robot, self.task), robot)
            operator = Heard(ScriptedOperator(expert, robot, helper or TakeoverRule()))
        attempt = run_attempt(sim, robot, start.seed, start.name, policy=policy, operator=operator)
        episode = episode_of(attempt, robot, self.task, start.seed, start.name)
        said: dict[str, object] = {"operator": operator.name if operator else ""}
        if policy is None:
            said["kind"] = EpisodeKind.DEMONSTRATION
        else:
            said["policy_id"] = policy.info.policy_id
            said["interventions"] = [
                InterventionSpan(operator="scripted", begin_s=episode.stamp_s[begin], end_s=episode.stamp_s[end - 1])
                for begin, end in runs(episode.source == Source.OPERATOR)
            ]
        happened = () if sim.log is None else tuple((each.what, each.step) for each in sim.log.events)
        wanted = ("fault_begun", "fault_ended")
        return Take(
            start,
            replace(episode, meta=episode.meta.model_copy(update=said)),
            _intended(episode, {} if operator is None else operator.commanded),
            tuple(each for each in happened if each[0] in wanted),
        )

    def tried(self, policy: ChunkPolicy, from_starts: Iterable[Start], faults: tuple[Fault, ...] = ()) -> str:
        """``1`` for each success and ``0`` for what is none, in the order of the starts."""
        sim, found = self._sims[False], []
        sim.inject(faults)
        for start in from_starts:
            attempt = run_attempt(sim, self.robot, start.seed, start.name, policy=policy)
            found.append("1" if attempt.outcome is Outcome.SUCCESS else "0")
        return "".join(found)


def _intended(episode: EpisodeData, commanded: Mapping[int, Array]) -> Array:
    found = episode.action.copy()
    damped = np.array([not dim.kind.places for dim in episode.robot.actions])
    for row in np.flatnonzero((episode.mode == Mode.HANDOVER) & (episode.source == Source.OPERATOR)):
        found[row] = np.where(damped, commanded[int(episode.step[row])], found[row])
    return found


# --- what trains ----------------------------------------------------------------------------------------------------


def training_rows(take: Take, include: Include = Include.DEMONSTRATIONS) -> TrainingEpisode | None:
    """What trains of an attempt by the rules of ``learning.dataset``; none: nothing does."""
    data = take.episode
    if why_not(data.meta, include) is not None:
        return None
    frame = frames_of(data.meta, data.source, data.stamp_s)
    usable = usable_rows(data.meta, data.source, include) & (frame != Frame.PRE_INTERVENTION)
    if not usable.any():
        return None
    steps = policy_steps(data.robot, data.stamp_s)
    return TrainingEpisode(
        data.meta.episode_id, data.meta.task, data.state, take.intended, usable, steps, frame=frame
    )  # fmt: skip


def within(
    takes: Iterable[Take], budget: int, include: Include = Include.DEMONSTRATIONS
) -> tuple[list[TrainingEpisode], int, int]:
    """What trains of the first takes in which the expert has commanded ``budget`` rows; the last one is cut there.

    Rows of the expert in a take that does not train (a demonstration that failed) are spent all the same.

    Returns:
        Episodes, rows that were spent, takes in which the expert drove.
    """
    found, spent, count = [], 0, 0
    for take in takes:
        if spent >= budget:
            break
        own = take.expert_rows
        paid = own[: budget - spent]
        spent += len(paid)
        count += len(own) > 0
        episode = training_rows(take, include)
        if episode is None:
            continue
        if len(paid) < len(own):
            usable = episode.usable.copy()
            usable[paid[-1] + 1 :] = False
            episode = replace(episode, usable=usable)
        if episode.usable.any():
            found.append(episode)
    return found, spent, count


# --- training -------------------------------------------------------------------------------------------------------


def train(
    ground: Ground,
    episodes: Sequence[TrainingEpisode],
    seed: int,
    *,
    steps: int = STEPS,
    weights: Scheme = "sirius",
    watched: bool = False,
) -> ChunkPolicy:
    """What ``xrollout train`` makes of these episodes, none held out: the same network, recipe and loop.

    Args:
        ground: the task.
        episodes: all train.
        seed: of first weights, order and noise.
        steps: of the gradient, rounded up to whole epochs.
        weights: how corrections weigh beside the rest.
        watched: its novelty is fitted too, as training does.
    """
    options = TrainOptions.of(
        data=Path("in-process"), output=Path("in-process"), seed=seed, held_out=0.0, weights=weights, device="cpu"
    )  # fmt: skip
    plan = reconcile(options, None)
    data = TrainingSet(ground.robot, ground.task.id, tuple(episodes))
    model, samples = make_model(plan, data, episodes, seed), windows(episodes, plan.horizon)
    recipe = Recipe(
        epochs=math.ceil(steps / math.ceil(len(samples) / options.batch_size)),
        lr=options.lr,
        batch_size=options.batch_size,
        seed=seed,
        weight_decay=options.weight_decay,
        warmup_steps=options.warmup_steps,
        ema=options.ema,
        state_noise=options.state_noise,
    )
    replay = make_replay(options.replay, samples, episodes, options.weights, options.curriculum)
    fitted = fit(model, samples, None, recipe, lambda _: None, replay=replay).model
    novelties: list[Novelty] = []
    if watched:
        known = [Steps.of(episode.state[episode.sampled]) for episode in episodes]
        novelties = [fit_novelty(kind, known, seed) for kind in FITTED]
    digest = hashlib.sha256(b"".join(each.numpy().tobytes() for each in fitted.state_dict().values())).hexdigest()
    info = PolicyInfo(
        new_id(), digest, ground.robot.id, ground.task.id, plan.horizon, plan.execute, ground.robot.state_dim,
        ground.robot.action_dim, conditioning=fitted.conditioning, max_prefix=fitted.max_prefix,
        action_scale=tuple(((fitted.normalizer.action_high - fitted.normalizer.action_low) / 2).tolist()),
        detectors=detectors_of(fitted, novelties),
    )  # fmt: skip
    return ChunkPolicy(fitted, info, novelties=novelties)
