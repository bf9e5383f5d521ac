"""Control in real time: 100 Hz for a minute, all nodes up and recording.

python benchmarks/control.py [--seconds 60] [--runs 1] [--cameras raw|jpeg|h264]
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from common import percentiles, random_policy, run_graph, scratch, table
from recorder import CAMERAS
from recorder_process import sender

from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.episodes.trace import Trace, trace

RATE_HZ = 100.0
IMAGE_HZ = 30.0
IMAGES = {"width": 640, "height": 480, "rate_hz": IMAGE_HZ}


def specs(folder: Path, seconds: float, cameras: str) -> tuple[Path, Path]:
    """A simulated robot at 100 Hz whose attempt lasts as long as asked; with cameras that are recorded as said."""
    config = share_dir() / "config"
    robot = yaml.safe_load((config / "robots/gym_mountain_car.yaml").read_text())
    robot |= {"id": "car_100hz", "control_rate_hz": RATE_HZ, "policy_rate_hz": RATE_HZ}
    robot["sim"] |= {"make": {"max_episode_steps": 10**6, "goal_velocity": 1.0}}
    for entry in robot["observations"]:
        entry["rate_hz"] = RATE_HZ
    if cameras:
        robot["cameras"] = [
            {"name": f"camera{place}", "topic": topic, "record": cameras, **IMAGES}
            for place, topic in enumerate(CAMERAS)
        ]
    task = yaml.safe_load((config / "tasks/mountain_car.yaml").read_text())
    task |= {"id": "drive", "robot": "car_100hz", "time_limit_s": seconds, "success": {"signal": "human"}}
    paths = (folder / "robot.yaml", folder / "task.yaml")
    for path, document in zip(paths, (robot, task), strict=True):
        path.write_text(yaml.safe_dump(document))
    return paths


@contextmanager
def filming(cameras: str, seconds: float) -> Iterator[None]:
    """Three cameras in a process of their own, from when the recorder listens."""
    if not cameras:
        yield
        return

    def film() -> None:
        with sender(CAMERAS, IMAGE_HZ, 0.0, seconds) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            over.wait()
            process.kill()

    over = threading.Event()
    thread = threading.Thread(target=film)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(seconds: float, runs: int, cameras: str) -> list[Trace]:
    with scratch() as folder:
        robot, task = specs(folder, seconds, cameras)
        model = random_policy(folder / "checkpoint.pt", str(robot), "drive")
        arguments = {
            "model": str(model),
            "robot": str(robot),
            "task": str(task),
            "drive": "real_time",
            "episodes": str(runs),
            "data": str(folder / "data"),
        }
        with filming(cameras, runs * (seconds + 10) + 60):
            run_graph("deploy", arguments, recorder={"cameras": bool(cameras)})
        entries = find_episodes(folder / "data")
        for entry in entries:
            assert entry.meta is not None
            for name, count in entry.meta.topics.items():
                if count.lost or "image_raw" in name:
                    print(f"{name}: {count.received} received, {count.lost} lost")
        return [trace(entry.path) for entry in entries]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--cameras", default="", choices=["raw", "jpeg", "h264"], help="record three, in this way")
    options = parser.parse_args()
    traces = measure(options.seconds, options.runs, options.cameras)
    rows: list[list[object]] = []
    for letter, name, what, aim in (
        ("(a)", "acceptance", "observation stamp → chunk accepted", "p99 ≤ 4"),
        ("(b)", "tick", "tick: scheduled → published", "p99 ≤ 1"),
        ("(d)", "age", "age of the observation behind a command", "–"),
        ("of (a):", "arrival", "stamp → whole observation at the policy", "–"),
        ("of (a):", "answer", "observation → chunk sent", "–"),
        ("of (a):", "transport", "chunk sent → accepted", "–"),
    ):
        stages = [stage for found in traces for stage in found.stages if stage.name == name]
        values = np.concatenate([stage.seconds for stage in stages])
        rows.append([f"{letter} {what}, ms", *percentiles(values), len(values), aim])
    late = sum(found.late for found in traces)
    commands = sum(found.commands for found in traces)
    rows.insert(2, ["(c) ticks more than half a period late", late, "", "", commands, "0"])
    title = f"Control at {RATE_HZ:g} Hz, {options.runs} × {options.seconds:g} s, all nodes up and recording"
    title += f", with 3 × 640×480×3 at {IMAGE_HZ:g} Hz as {options.cameras}" if options.cameras else ""
    table(title, ["", "p50", "p99", "max", "count", "aim"], rows)


if __name__ == "__main__":
    main()
