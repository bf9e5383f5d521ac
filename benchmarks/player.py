"""The chunk player and the limiter: what a tick costs, and how smooth what is sent is.

    python benchmarks/player.py

It takes about a quarter of a minute. Costs are processor time, so that other work on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from common import percentiles, table

from xrollout_ros.core.action import Interpolation
from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.runtime.chunk_player import ChunkPlayer
from xrollout_ros.runtime.limits import Limiter

Array = npt.NDArray[np.float64]

MS = 1_000_000
CONTROL_HZ, POLICY_HZ = 100, 20
ROWS, EXECUTE, DELAY = 16, 8, 3
"""Rows of a chunk; a new one is planned after so many; it comes so many rows later."""
DURATION_S = 60
ROW_NOISE, CHUNK_NOISE = 0.003, 0.02
"""Standard deviations, rad: of each row, and of a whole chunk."""
LIMITS = {"max_rate": 1.5, "max_acceleration": 15.0, "max_jerk": 500.0}


def robot(dims: int, motion: dict[str, Any], limits: dict[str, float]) -> RobotSpec:
    joints = {
        "name": "joints",
        "topic": "/joint_states",
        "type": "sensor_msgs/msg/JointState",
        "field": "position",
        "shape": [dims],
        "unit": "rad",
        "rate_hz": 100.0,
        "max_age_s": 0.1,
    }
    actions = [
        {
            "name": f"joint_{index}",
            "kind": "position",
            "unit": "rad",
            "lower": -2.0,
            "upper": 2.0,
            "hold": "measured",
            "measured": {"observation": "joints", "index": index},
            **limits,
        }
        for index in range(dims)
    ]
    return RobotSpec.model_validate(
        {
            "id": "benchmark",
            "description": "for the benchmark",
            "control_rate_hz": CONTROL_HZ,
            "policy_rate_hz": POLICY_HZ,
            "observations": [joints],
            "actions": actions,
            "command": {"topic": "/command", "encoding": "float64_multi_array"},
            "motion": motion,
        }
    )


def truth(t_s: Array, dims: int) -> Array:
    """A smooth motion of at most 1 rad/s, ``(T, A)``."""
    phases = np.arange(dims)
    return 0.4 * np.sin(t_s[:, None] * 1.3 + phases) + 0.1 * np.sin(t_s[:, None] * 4.1 + 2 * phases)


def chunks(dims: int, missing: bool) -> Iterator[tuple[int, ActionChunk]]:
    """When each chunk comes, and the chunk: the true motion with noise. Every tenth is lost where some are missing."""
    noise = np.random.default_rng(0)
    period_ns = 1000 * MS // POLICY_HZ
    for sequence, first in enumerate(range(0, DURATION_S * POLICY_HZ, EXECUTE)):
        rows = truth((first + np.arange(ROWS)) / POLICY_HZ, dims)
        rows = rows + noise.normal(0, ROW_NOISE, rows.shape) + noise.normal(0, CHUNK_NOISE, dims)
        start_ns = first * period_ns
        delay_ns = DELAY * period_ns if sequence else 0
        if missing and sequence % 10 == 9:
            continue
        yield (
            start_ns + delay_ns,
            ActionChunk("e", "p", sequence, 0, start_ns, start_ns, period_ns, rows.astype(np.float32)),
        )


def play(spec: RobotSpec, missing: bool = False) -> tuple[Array, int]:
    """What is sent ``(T, A)``, and how many ticks nothing was due (the last value is sent again)."""
    player, limiter = ChunkPlayer(spec), Limiter(spec)
    coming = list(chunks(spec.action_dim, missing))
    last, sent, held = coming[0][1].actions[0].astype(np.float64), [], 0
    for tick in range(DURATION_S * CONTROL_HZ):
        t_ns = tick * 1000 * MS // CONTROL_HZ
        while coming and coming[0][0] <= t_ns:
            player.accept(coming.pop(0)[1])
        played = player.play(t_ns)
        held += played is None
        last, _, _ = limiter.apply(last if played is None else played.action, last, 1 / CONTROL_HZ)
        sent.append(last)
    return np.array(sent), held


def smoothness() -> None:
    rows = []
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("linear, no blending, no fade-out", {"interpolation": "linear", "blend_s": 0.0, "fade_out_s": 0.0}),
        *((how.value, {"interpolation": how.value}) for how in Interpolation),
    ]
    for missing in (False, True):
        for name, motion in kinds:
            for on in (False, True):
                sent, held = play(robot(7, motion, LIMITS if on else {}), missing)
                coming = "one in ten lost" if missing else "all come"
                rows.append([name, coming, "yes" if on else "no", *measure(sent), held])
    table(
        f"What is sent: 7 joints, {DURATION_S} s at {CONTROL_HZ} Hz, noisy chunks of {ROWS} rows at {POLICY_HZ} Hz; "
        f"limits {LIMITS['max_rate']:g} rad/s, {LIMITS['max_acceleration']:g} rad/s², {LIMITS['max_jerk']:g} rad/s³",
        [
            "interpolation",
            "chunks",
            "limits",
            "largest step, mrad",
            "largest acceleration, rad/s²",
            "largest jerk, rad/s³",
            "mean squared jerk, (rad/s³)²",
            "error, mrad RMS",
            "ticks held",
        ],
        rows,
    )


def measure(sent: Array) -> list[str]:
    step = np.diff(sent, axis=0)
    acceleration = np.diff(step, axis=0) * CONTROL_HZ**2
    jerk = np.diff(acceleration, axis=0) * CONTROL_HZ
    apart = sent - truth(np.arange(len(sent)) / CONTROL_HZ, sent.shape[1])
    return [
        f"{1e3 * np.abs(step).max():.1f}",
        f"{np.abs(acceleration).max():.1f}",
        f"{np.abs(jerk).max():.0f}",
        f"{np.mean(jerk**2):.3g}",
        f"{1e3 * np.sqrt(np.mean(apart**2)):.1f}",
    ]


def played(spec: RobotSpec) -> tuple[list[float], list[float]]:
    """Processor seconds that each chunk and each tick of a player takes."""
    player, coming = ChunkPlayer(spec), list(chunks(spec.action_dim, missing=False))
    accepting, playing = [], []
    for tick in range(DURATION_S * CONTROL_HZ):
        t_ns = tick * 1000 * MS // CONTROL_HZ
        while coming and coming[0][0] <= t_ns:
            _, chunk = coming.pop(0)
            begin = time.thread_time()
            player.accept(chunk)
            accepting.append(time.thread_time() - begin)
        begin = time.thread_time()
        player.play(t_ns)
        playing.append(time.thread_time() - begin)
    return accepting, playing


def limited(spec: RobotSpec, wanted: Array) -> list[float]:
    """Processor seconds that each action takes in a limiter."""
    limiter, last, spent = Limiter(spec), wanted[0], []
    for action in wanted:
        begin = time.thread_time()
        last, _, _ = limiter.apply(action, last, 1 / CONTROL_HZ)
        spent.append(time.thread_time() - begin)
    return spent


def costs() -> None:
    rows: list[list[object]] = []
    for dims in (4, 7):
        for how in Interpolation:
            accepting, playing = played(robot(dims, {"interpolation": how.value}, {}))
            rows.append([f"accept a chunk, {how.value}", dims, *percentiles(accepting, 1e6, 0)])
            rows.append([f"play, {how.value}", dims, *percentiles(playing, 1e6, 0)])
        smooth, _ = play(robot(dims, {"interpolation": "cubic"}, {}))
        noise = np.random.default_rng(0).uniform(-1, 1, smooth.shape)
        for count in range(4):
            names = list(LIMITS)[:count]
            spec = robot(dims, {}, {name: LIMITS[name] for name in names})
            for kind, wanted in (("the motion above", smooth), ("pure noise", noise)):
                spent = limited(spec, wanted)
                rows.append([f"limit {', '.join(names) or 'the range'}: {kind}", dims, *percentiles(spent, 1e6, 0)])
    table("What a tick costs, processor time", ["what", "values", "median, µs", "p99, µs", "worst, µs"], rows)


def main() -> None:
    smoothness()
    costs()


if __name__ == "__main__":
    main()
