"""Rollouts of weak policies with the scores of every detector, for benchmarks/detectors.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tagging_attempts import episode_of
from tagging_policy import FIRST_SEED, demonstrations, train_policy

from xrollout_ros.core.chunk import Array
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.safety import NoProgressSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.learning.calibration.scored import Scored, computed
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.scores import DROPOUT, FITTED
from xrollout_ros.mining.rules import judge
from xrollout_ros.runtime.detectors import AttemptFacts, Moment, NoProgressDetector
from xrollout_ros.sim.faults import FAULT_NAMES, parse_faults
from xrollout_ros.sim.faulty_robot import FaultyRobot
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.robot import make_sim_robot

DEMONSTRATIONS = {"pick_and_place": 8, "push": 5, "peg_insert": 15}
"""So few that the policies fail often."""
STARTS = ("nominal", "wide")
DROPOUT_SHARE = 0.1
STILL_M = 0.002
"""A hand that moves less makes no progress."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """One attempt of a weak policy."""

    fault: str
    """Empty: none."""
    succeeded: bool
    duration_s: float
    failed_at_s: float | None
    """As the tagger's rules say."""
    scored: Scored
    """With the scores of companions that were trained on the same demonstrations."""

    @property
    def usual(self) -> bool:
        """Without a fault, so exchangeable with those that the alarm is calibrated on."""
        return not self.fault


@dataclass(frozen=True, eq=False)
class Batch:
    """What one trained policy did."""

    task: str
    seed: int
    """Of demonstrations, weights and training."""
    own: tuple[str, ...]
    """Detectors of the policy itself."""
    rollouts: tuple[Rollout, ...]


def batch(task_id: str, seed: int, attempts: int, faulty: int, kept: Path) -> Batch:
    """Train a policy and let it try; taken from ``kept`` where it has done so before.

    Args:
        task_id: TaskSpec id.
        seed: of demonstrations, weights and training.
        attempts: from each start.
        faulty: with each fault.
        kept: folder of earlier batches.
    """
    path = kept / f"{task_id}_{seed}_{attempts}_{faulty}.json"
    if path.is_file():
        return _read(path)
    task = load_task(task_id)
    robot = load_robot(task.robot)
    shown = demonstrations(task_id, DEMONSTRATIONS[task_id], FIRST_SEED + 1000 * seed)
    policy = train_policy(task_id, shown, "flow", seed, FITTED, max_prefix=4)
    companions = [
        train_policy(task_id, shown, "ensemble", seed),
        train_policy(task_id, shown, "mlp", seed, dropout=DROPOUT_SHARE),
    ]
    sim, rollouts = FaultyRobot(make_sim_robot(robot, task, shapes=False), robot, watch=True), []
    conditions = [*(("", start, attempts) for start in STARTS), *((name, STARTS[0], faulty) for name in FAULT_NAMES)]
    for number, (fault, start, count) in enumerate(conditions):
        sim.inject(parse_faults(fault) if fault else ())
        for drawn in range(10_000 * seed + 1000 * number, 10_000 * seed + 1000 * number + count):
            attempt = run_attempt(sim, robot, drawn, start, policy=policy)
            episode = episode_of(attempt, robot, task, drawn, start)
            succeeded = attempt.outcome is Outcome.SUCCESS
            judged = [] if succeeded else judge(episode).judgements
            rollouts.append(
                Rollout(
                    fault, succeeded, float(episode.stamp_s[-1]), judged[0].moment_s if judged else None,
                    scores_of(episode, policy, companions),
                )
            )  # fmt: skip
    sim.close()
    made = Batch(task_id, seed, policy.info.detectors, tuple(rollouts))
    kept.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(made), default=lambda array: array.tolist()))
    return made


def _read(path: Path) -> Batch:
    document = json.loads(path.read_text())
    rollouts = []
    for each in document.pop("rollouts"):
        known = each.pop("scored")
        rollouts.append(Rollout(scored=Scored(np.array(known["time_s"]), tuple(known["scores"]), True), **each))
    return Batch(rollouts=tuple(rollouts), **{**document, "own": tuple(document["own"])})


def scores_of(episode: EpisodeData, policy: ChunkPolicy, companions: Sequence[ChunkPolicy]) -> Scored:
    """The policy's scores, what its companions say at the same moments, and how long the hand has stood still."""
    found = computed(episode, policy)
    still = standstill(episode)
    rows = np.searchsorted(episode.stamp_s, found.time_s)
    merged = [dict(each) | {"no_progress": still[row]} for each, row in zip(found.scores, rows, strict=True)]
    for companion in companions:
        for row, scores in zip(rows, merged, strict=True):
            companion.predict(episode.state[row])
            scores.update({name: value for name, value in companion.scores.items() if name.endswith("_variance")})
    assert all(DROPOUT in each for each in merged)
    return Scored(found.time_s, tuple(merged), recomputed=True)


def standstill(episode: EpisodeData) -> Array:
    """(T,) s, as the detector ``no_progress`` has it."""
    name = "hand_position"
    where = episode.robot.state_slices()[name]
    detector = NoProgressDetector(NoProgressSpec(kind="no_progress", observation=name, distance=STILL_M), episode.robot)
    detector.reset(AttemptFacts())
    values, sent = [], None
    for row, stamp in enumerate(episode.stamp_s):
        reading = detector.update(Moment(float(stamp), {name: episode.state[row, where]}, sent))
        values.append(0.0 if reading is None else reading.value)
        sent = episode.action[row]
    return np.array(values)
