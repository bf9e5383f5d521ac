"""kill -9 of the recorder at random moments, 100 small messages/s: what was lost, and whether the bags are whole.

python benchmarks/recorder_kill.py [--kills 20] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import signal
import time
from pathlib import Path

import numpy as np
from common import scratch, table
from recorder_process import JOINTS, RecorderProcess, robot_file, sender
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from xrollout_ros.core.clock import NS
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.episodes.bag_reader import open_bag, verify


def last_stamp_ns(bag: Path) -> int:
    """When the last joint state of a bag was sent; 0: there is none."""
    return max((stamp_ns(item.message.header.stamp) for item in open_bag(bag).messages({JOINTS})), default=0)


def strict(bag: Path) -> None:
    """Read a bag with rosbags, whole."""
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        for connection, _, raw in reader.messages():
            reader.deserialize(raw, connection.msgtype)


def kill_once(recorder: RecorderProcess, data: Path, log: Path, alive_s: float) -> tuple[float, int, float]:
    """Record, kill, start again, wait for the repair; seconds lost, bags that are whole, seconds of repairing."""
    with sender([], 0.0, 100.0, alive_s + 3.0) as process:
        meta = recorder.open()
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        time.sleep(alive_s)
        assert recorder.process is not None
        killed_ns = time.time_ns()
        recorder.process.send_signal(signal.SIGKILL)
        recorder.process.wait()
    recorder.start(log)
    begun_s = time.monotonic()
    while not list(data.glob(f"[!.]*/[!.]*{meta.episode_id}/metadata.yaml")):
        if time.monotonic() - begun_s > 30:
            raise RuntimeError(f"the bag was not repaired:\n{log.read_text()}")
        time.sleep(0.05)
    repaired_s = time.monotonic() - begun_s
    [bag] = data.glob(f"[!.]*/[!.]*{meta.episode_id}")
    if not open_bag(bag).meta.recovered:
        raise RuntimeError(f"{bag} is not marked as recovered")
    bags = sorted(path.parent for path in data.glob("[!.]*/[!.]*/metadata.yaml"))
    for each in bags:
        verify(each)
        strict(each)
    return (killed_ns - last_stamp_ns(bag)) / NS, len(bags), repaired_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with scratch() as folder:
        data, log = folder / "data", folder / "recorder.log"
        recorder = RecorderProcess(robot_file(folder, [], 30.0), data, cameras=False)
        try:
            recorder.start(log)
            found = [kill_once(recorder, data, log, chance.uniform(1.0, 3.0)) for _ in range(options.kills)]
        finally:
            recorder.end()
    lost_s, whole, repair_s = (np.array(column) for column in zip(*found, strict=True))
    rows: list[list[object]] = [
        ["lost, s (aim: at most 1)", f"{np.median(lost_s):.2f}", f"{lost_s.max():.2f}"],
        ["ready → repaired, s", f"{np.median(repair_s):.2f}", f"{repair_s.max():.2f}"],
        ["bags verified after the last kill, by us and by rosbags", f"{whole[-1]} of {options.kills}", ""],
    ]
    table(f"kill -9 of the recorder, {options.kills} times, 100 joint states/s", ["", "median", "most"], rows)


if __name__ == "__main__":
    main()
