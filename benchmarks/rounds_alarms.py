"""Robot-gated takeover in one process: a policy calibrated by its own successes, and a robot that asks for help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rounds import Take

from xrollout_ros.core.calibration import Calibration
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.safety import HelpSpec, ScoreSpec, TimeSpec
from xrollout_ros.learning.calibration.conformal import ALPHA, EWMA, conformal, halves, smoothed, usual
from xrollout_ros.learning.calibration.scored import computed, engine_of
from xrollout_ros.learning.policies import ChunkPolicy


def calibration(policy: ChunkPolicy, successes: Sequence[Take], seed: int) -> Calibration:
    """A calibration of a policy by its own successes, as ``xrollout calibrate`` makes it of bags.

    Raises:
        SpecError: they are too few.
    """
    by_id = {take.episode.meta.episode_id: take for take in successes}
    normal, rest = halves(list(by_id), seed)
    scores = {name: computed(by_id[name].episode, policy) for name in by_id}
    detectors = tuple(
        found for name in policy.info.detectors if (found := usual(name, [scores[each] for each in normal])) is not None
    )
    maxima = [float(smoothed(scores[each], detectors).max()) for each in rest]
    threshold, rank = conformal(maxima, ALPHA)
    time_limit_s, _ = conformal([take.episode.meta.duration_s for take in successes], ALPHA)
    meta = successes[0].episode.meta
    return Calibration(
        calibration_id=new_id(), checkpoint_hash=policy.info.checkpoint_hash, policy_id=policy.info.policy_id,
        robot=meta.robot, task=meta.task, engine=engine_of(successes[0].episode), drive="stepped", alpha=ALPHA,
        detectors=detectors, ewma=EWMA, threshold=threshold, n=len(rest), rank=rank, normalized_on=tuple(normal),
        calibrated_on=tuple(rest),
        time_limit_s=time_limit_s, time_n=len(successes), starts={meta.start: len(successes)},
        recomputed=len(successes), seed=seed, created_at=meta.started_at, software_version=meta.software_version,
    )  # fmt: skip


def alarmed(policy: ChunkPolicy, found: Calibration) -> ChunkPolicy:
    """The same policy, whose scores make an alarm."""
    return ChunkPolicy(policy._model, replace(policy.info, calibration=found), novelties=policy._novelties)


def calling(robot: RobotSpec) -> RobotSpec:
    """The same robot, which asks for help where its policy's alarm is raised or its time is over."""
    detectors = (
        ScoreSpec(kind="score", score="alarm", threshold=1.0, severity=Severity.RECOVER, audit=0.0),
        TimeSpec(severity=Severity.RECOVER),
    )
    return robot.model_copy(
        update={"safety": robot.safety.model_copy(update={"detectors": detectors, "help": HelpSpec()})}
    )
