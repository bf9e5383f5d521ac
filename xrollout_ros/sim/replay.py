"""Recorded attempts on the simulated robot once more: the same commands, or the same start with the policy driving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xrollout_ros import __version__
from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import DELAY_STEPS, ENGINE, EpisodeMeta, Outcome, OutcomeSource, Result
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ports import Policy, SimRobot
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.statistics import SuccessRate, success_rate_of
from xrollout_ros.runtime.action_control import recorded_control
from xrollout_ros.runtime.engines import DEFAULT_ENGINE
from xrollout_ros.runtime.start_list import POLICY_SEED
from xrollout_ros.sim.loop import Attempt, run_attempt
from xrollout_ros.sim.robot import make_sim_robot

_BY_THE_SIMULATOR = (OutcomeSource.ROBOT, OutcomeSource.TIME_LIMIT)
"""Who says what the simulator says again; anybody else's word is not to be had from it."""


@dataclass(frozen=True)
class Deviation:
    """How far one observation came from what was recorded."""

    name: str
    unit: str
    largest: float
    """Largest difference of any of its values, in its unit."""
    at_step: int
    """Where that was."""


@dataclass(frozen=True, eq=False)
class ActionReplay:
    """An attempt's commands, sent again without a look at what comes of them."""

    difference: Array
    """(T, D) replayed minus recorded state, one row for each policy step."""
    time_s: Array
    """(T,) s since the start of the attempt."""
    deviations: tuple[Deviation, ...]
    """One for each observation."""
    diverges_at: int | None
    """First step whose state is not the recorded one, bit for bit; None: there is none."""
    recorded: Outcome
    outcome: Outcome
    """The simulator's word now; unknown where the commands end before the attempt does."""
    comparable: bool
    """Whether the recorded outcome, too, was the simulator's word."""
    remarks: tuple[str, ...]
    """Why the two may differ although nothing is wrong."""

    @property
    def same(self) -> bool:
        """Whether every state is the recorded one, bit for bit."""
        return self.diverges_at is None

    @property
    def same_outcome(self) -> bool | None:
        """Whether the outcome is the recorded one; None: they cannot be compared."""
        return self.outcome is self.recorded if self.comparable else None


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Attempts of a policy from one recorded start."""

    outcomes: tuple[Outcome, ...]
    steps: tuple[int, ...]
    """Policy steps of each."""
    rate: SuccessRate
    identical: bool
    """All of them were one and the same, command for command: the interval says nothing then."""
    remarks: tuple[str, ...]


def replay_actions(episode: EpisodeData) -> ActionReplay:
    """Send an attempt's commands to the simulated robot again, from the same start.

    The stepped drive gives the same states bit for bit, in the same versions of this package and of the simulator. An
    attempt that ran against the clock is replayed at the policy's rate, so its states come near at best.

    Raises:
        DataError: the robot is a real one, the seed or task is not known, or commands are missing.
        SpecError: the simulator cannot be made, or the task has no such start.
    """
    task, seed = check_start(episode)
    rows, remarks = _rows(episode)
    sim = make_sim_robot(episode.robot, task, shapes=False)
    try:
        states, outcome = _drive(sim, episode, rows, seed)
    finally:
        sim.close()
    recorded = episode.state[rows[: len(states)]]
    difference = states - recorded
    unlike = np.flatnonzero((states != recorded).any(axis=1))
    if len(states) < len(rows):
        remarks.append(f"the simulated attempt was over after {len(states)} steps, {len(rows)} were recorded")
    return ActionReplay(
        difference=difference,
        time_s=episode.stamp_s[rows[: len(states)]],
        deviations=_deviations(episode, difference),
        diverges_at=int(unlike[0]) if len(unlike) else None,
        recorded=episode.meta.outcome,
        outcome=outcome,
        comparable=episode.meta.outcome_source in _BY_THE_SIMULATOR,
        remarks=(*remarks, *_versions(episode.meta)),
    )


def reproduce(
    episode: EpisodeData, policy: Policy, attempts: int, on_attempt: Callable[[Outcome], None] | None = None
) -> Reproduction:
    """Let a policy try again from the very start of a recorded attempt.

    The first attempt takes the recorded seed for the policy's randomness too, as the graph did; each further one
    takes the next. All of them have the recorded inference engine, simulated delay and control.

    Args:
        episode: gives robot, task, start and seed.
        policy: fits robot and task.
        attempts: how many.
        on_attempt: told each outcome.

    Raises:
        DataError: as for :func:`replay_actions`, or ``attempts`` is less than 1.
        SpecError: the simulator cannot be made, the task has no such start, or there is no such engine or control any
            more.
    """
    if attempts < 1:
        raise DataError(f"{attempts} attempts to reproduce", "Ask for 1 or more.")
    task, seed = check_start(episode)
    remarks, known = _versions(episode.meta), episode.meta.parameters
    if known.get("drive") == "real_time":
        remarks.append("it ran against the clock: here the simulator waits for the policy, as if it took no time")
    if episode.meta.checkpoint_hash != policy.info.checkpoint_hash:
        remarks.append(f"the attempt was not driven by this policy, but by {episode.meta.policy_id or 'an operator'}")
    robot = recorded_control(known).constrain(episode.robot, task)
    noise = int(known.get(POLICY_SEED, seed))
    sim = make_sim_robot(episode.robot, task, shapes=False)
    made: list[Attempt] = []
    try:
        for number in range(attempts):
            made.append(
                run_attempt(
                    sim, robot, seed, episode.meta.start, policy=policy, policy_seed=noise + number,
                    engine=known.get(ENGINE) or DEFAULT_ENGINE, delay_steps=known.get(DELAY_STEPS, 0),
                )
            )  # fmt: skip
            if on_attempt is not None:
                on_attempt(made[-1].outcome)
    finally:
        sim.close()
    outcomes = tuple(attempt.outcome for attempt in made)
    return Reproduction(
        outcomes=outcomes,
        steps=tuple(attempt.steps for attempt in made),
        rate=success_rate_of(map(Result, outcomes)),
        identical=len({attempt.actions.tobytes() for attempt in made}) == 1 < attempts,
        remarks=tuple(remarks),
    )


def check_start(episode: EpisodeData) -> tuple[TaskSpec, int]:
    """The task and seed that an attempt began with.

    Raises:
        DataError: it cannot be begun again.
    """
    meta = episode.meta
    if episode.robot.sim is None:
        raise DataError(
            f"episode {meta.episode_id} is of {meta.robot!r}, a real robot, which cannot be put back to its start",
            "Replay episodes of a simulated robot; what a policy would have done here: `--model checkpoint.pt`.",
        )
    if episode.task is None:
        raise DataError(f"episode {meta.episode_id} names no task", "Without one there is no scene to replay it in.")
    if meta.seed is None:
        raise DataError(
            f"episode {meta.episode_id} was recorded without a seed: its start is not known",
            "Replay one that was recorded in a graph with a simulated robot.",
        )
    return episode.task, meta.seed


def _rows(episode: EpisodeData) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The rows whose commands the simulator steps with, one for each policy step."""
    if episode.meta.parameters.get("drive") == "real_time":
        rate_hz = episode.robot.policy_rate_hz
        due_s = np.arange(int(episode.stamp_s[-1] * rate_hz) + 1) / rate_hz
        rows = np.searchsorted(episode.stamp_s, due_s + 0.5 / episode.robot.control_rate_hz, side="right") - 1
        return rows, ["it ran against the clock: commands are taken at the policy's rate, and states come near at best"]
    wanted = np.arange(len(episode))
    if not np.array_equal(episode.step, wanted):
        missing = sorted(set(range(int(episode.step.max()) + 1)) - set(episode.step.tolist()))
        raise DataError(
            f"episode {episode.meta.episode_id} lacks the commands or states of {len(missing)} steps, the first of "
            f"them {missing[0] if missing else 0}",
            "Its commands can only be sent again as a whole; choose another one.",
        )
    remarks = ["the bag was torn and repaired: its last commands may be missing"] if episode.meta.recovered else []
    return wanted, remarks


def _drive(sim: SimRobot, episode: EpisodeData, rows: npt.NDArray[np.int64], seed: int) -> tuple[Array, Outcome]:
    """The state before each command, ``(T', D)``, until the simulator ends the attempt; and how it ended."""
    now = sim.reset(seed, episode.meta.start)
    states = []
    for action in episode.action[rows]:
        if now.done:
            break
        states.append(episode.robot.state_vector(now.values))
        now = sim.step(action)
    outcome = Outcome.SUCCESS if now.success else Outcome.FAILURE
    return np.array(states), outcome if now.done else Outcome.UNKNOWN


def _deviations(episode: EpisodeData, difference: Array) -> tuple[Deviation, ...]:
    found = []
    for entry in episode.robot.observations:
        size = np.abs(difference[:, episode.robot.state_slices()[entry.name]]).max(axis=1)
        found.append(Deviation(entry.name, entry.unit, float(size.max()), int(size.argmax())))
    return tuple(found)


def _versions(meta: EpisodeMeta) -> list[str]:
    if meta.software_version == __version__:
        return []
    return [f"it was recorded by version {meta.software_version}, this is {__version__}"]
