"""The recorder through DDS: what it loses and costs with three cameras, and the rate that it sustains.

python benchmarks/recorder.py [--seconds 60] [--ramp-seconds 4] [--record raw jpeg h264] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from common import scratch, table
from recorder_process import JOINTS, RecorderProcess, robot_file, sender

from xrollout_ros.episodes.bag_reader import open_bag, verify

CAMERAS = ("/front/image_raw", "/left/image_raw", "/wrist/image_raw")
IMAGE_BYTES = 640 * 480 * 3
SUFFIX = {"raw": "", "jpeg": "/compressed", "h264": "/h264"}


@dataclass
class Run:
    sent: int
    lost: int
    counted: int
    """Lost by the recorder's own count."""
    seconds: float
    cpu: float
    """Of one core."""
    megabytes_s: float
    """Of images, as they came."""
    disk: int
    path: Path


def measure(recorder: RecorderProcess, record: str, image_hz: float, seconds: float) -> Run:
    with sender(CAMERAS, image_hz, 100.0, seconds) as process:
        meta = recorder.open()
        before_s = recorder.cpu_s()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        sent, elapsed_s = json.loads(process.stdout.readline())
        cpu_s = recorder.cpu_s() - before_s
        path = recorder.close(meta)
    check = verify(path)
    wanted = dict(zip([topic + SUFFIX[record] for topic in CAMERAS] + [JOINTS], sent, strict=True))
    lost = sum(count - check.topics.get(topic, 0) for topic, count in wanted.items())
    topics = open_bag(path).meta.topics
    counted = sum(topics[topic].lost for topic in wanted if topic in topics)
    disk = sum(file.stat().st_size for file in path.iterdir())
    rate = sum(sent[:-1]) * IMAGE_BYTES / elapsed_s / 1e6
    return Run(sum(sent), lost, counted, elapsed_s, cpu_s / elapsed_s, rate, disk, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--ramp-seconds", type=float, default=4.0, help="for each rate of the ramp; 0: no ramp")
    parser.add_argument("--record", nargs="+", default=list(SUFFIX), choices=list(SUFFIX))
    parser.add_argument("--keep", type=Path, help="move the bags there instead of deleting them")
    options = parser.parse_args()
    rows: list[list[object]] = []
    ramp: list[list[object]] = []
    with scratch() as folder:
        for record in options.record:
            place = folder / record
            place.mkdir()
            recorder = RecorderProcess(robot_file(place, CAMERAS, 30.0, record), place / "data")
            try:
                recorder.start(place / "recorder.log")
                run = measure(recorder, record, 30.0, options.seconds)
                rows.append(
                    [record, run.sent, run.lost, run.counted, f"{100 * run.cpu:.0f} %", f"{run.megabytes_s:.0f}",
                     f"{run.disk / run.seconds / 1e6:.1f}"]
                )  # fmt: skip
                keep(run, options.keep)
                image_hz = 60.0
                while record == "raw" and options.ramp_seconds and image_hz <= 240:
                    run = measure(recorder, record, image_hz, options.ramp_seconds)
                    ramp.append(
                        [f"{3 * image_hz:g}", f"{run.megabytes_s:.0f}", run.sent, run.lost, run.counted,
                         f"{100 * run.cpu:.0f} %"]
                    )  # fmt: skip
                    shutil.rmtree(run.path)
                    image_hz += 20
            except RuntimeError as error:
                raise SystemExit(f"{error}\n{(place / 'recorder.log').read_text()}") from error
            finally:
                recorder.end()
    title = f"Recorder through DDS: 3 × 640×480×3 at 30 Hz + 100 Hz state, {options.seconds:g} s (aim: lost 0)"
    table(title, ["recorded", "sent", "lost", "counted", "CPU of a core", "MB/s in", "MB/s on disk"], rows)
    if ramp:
        title = f"Rate sustained, {options.ramp_seconds:g} s each (aim: 300 MB/s without loss)"
        table(title, ["images/s asked", "MB/s sent", "sent", "lost", "counted", "CPU of a core"], ramp)


def keep(run: Run, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(run.path, folder / run.path.name)
    else:
        shutil.rmtree(run.path)


if __name__ == "__main__":
    main()
