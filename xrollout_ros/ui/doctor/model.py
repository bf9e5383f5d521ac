"""Checks of a checkpoint: it loads, fits, and is fast enough here."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from xrollout_ros.core.calibration import ALARM
from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.safety import ScoreSpec
from xrollout_ros.ui import text
from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error, ok, skipped, warning

WARM_UP = 5
PREDICTIONS = 500


def model(subject: Subject) -> Iterator[Finding]:
    """The checkpoint loads, fits robot and task, and answers in time on this machine."""
    if subject.model is None:
        yield skipped("model", "none was named (--model)")
        return
    # PyTorch takes seconds to import: only where there is a model.
    from xrollout_ros.learning.checkpoint import load_policy

    thing = f"model {subject.model}"
    try:
        policy = load_policy(subject.model, subject.robot, subject.task)
    except CheckpointError as problem:
        yield error(thing, problem.what, "a checkpoint for this robot and task", problem.remedy)
        return
    info = policy.info
    yield ok(thing, f"policy {info.policy_id} for {info.task} on {info.robot}")
    yield calibrated(info, subject)
    if subject.robot is None:
        yield skipped("inference", "no robot was named (--robot)")
        return
    state = np.zeros(info.state_dim)
    spent_s = []
    for number in range(WARM_UP + PREDICTIONS):
        begin_s = time.perf_counter()
        policy.predict(state)
        if number >= WARM_UP:
            spent_s.append(time.perf_counter() - begin_s)
    yield slow(float(np.percentile(spent_s, 99)), subject.robot.policy_period_ns / 1e9, info.execute)


def calibrated(info: PolicyInfo, subject: Subject) -> Finding:
    """Whether there is an alarm of its scores, where the robot acts on one."""
    made, thing = info.calibration, "calibration"
    if made is not None:
        return ok(thing, f"alpha {made.alpha:g}, n {made.n}, engine {made.engine}, made {made.created_at}")
    detectors = subject.robot.safety.detectors if subject.robot is not None else ()
    alarms = [each for each in detectors if isinstance(each, ScoreSpec) and each.score == ALARM]
    if any(each.severity is not Severity.CLIP for each in alarms):
        remedy = f"`xrollout calibrate --model {subject.model}`; until then nothing raises this alarm."
        return warning(thing, "none, and the robot is to act on the score 'alarm'", "a calibration", remedy)
    return skipped(thing, "none: its scores are only logged (`xrollout calibrate`)")


def slow(p99_s: float, period_s: float, execute: int) -> Finding:
    """What a latency means: beyond one policy period it is felt, beyond the rows of a chunk the robot stands still.

    Args:
        p99_s: latency of a prediction, 99th percentile, s.
        period_s: time between two rows of a chunk.
        execute: rows played before the next prediction.
    """
    value = f"p99 {text.milliseconds(p99_s)} of {PREDICTIONS} predictions"
    allowed = f"{text.milliseconds(period_s)}, one policy period"
    remedy = "Use a smaller model or a faster machine, end what else runs here, or lower policy_rate_hz."
    if p99_s > period_s * execute:
        return error("inference", f"slow: {value}; the chunk runs out meanwhile", allowed, remedy)
    if p99_s > period_s:
        return warning("inference", f"slow: {value}", allowed, remedy)
    return ok("inference", f"{value}, allowed {allowed}")


CHECKS = (Check("model", model),)
