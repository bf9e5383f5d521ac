"""The ring and the recorder together: nothing lost, memory flat, a highlight saved in time without a late poll.

python benchmarks/highlight.py [--seconds 60] [--record raw jpeg] [--ring-seconds 30] [--ring-mib 4096]
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import scratch, table
from diagnostic_msgs.msg import DiagnosticArray
from mcap.reader import make_reader
from recorder import CAMERAS, SUFFIX
from recorder_process import JOINTS, RecorderProcess, robot_file, sender
from std_srvs.srv import Trigger

from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.graph.qos import EVENT

SAVES = 3
_SAMPLE_S = 1.0


class Watch:
    """Memory of the recorder's process, how long its polls take (it says so each second), and how long they wait."""

    def __init__(self, recorder: RecorderProcess) -> None:
        self.memory: list[tuple[float, float]] = []
        """Time, s, and resident set, MiB."""
        self.polls: list[tuple[float, float]] = []
        """Time, s, and the longest poll of that second, ms."""
        self.waits: list[tuple[float, float]] = []
        """Time, s, and for how much of the last second the polling thread was ready and had no processor, ms."""
        assert recorder.process is not None
        process = Path(f"/proc/{recorder.process.pid}")
        self._status, self._schedule = process / "status", process / "task" / str(recorder.process.pid) / "schedstat"
        self._begun_s = time.monotonic()
        self._stop = threading.Event()
        self._subscription = recorder.node.create_subscription(DiagnosticArray, "/diagnostics", self._on, EVENT)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def now_s(self) -> float:
        return time.monotonic() - self._begun_s

    def _on(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "xrollout: recorder":
                values = {item.key: item.value for item in status.values}
                self.polls.append((self.now_s(), float(values["worst_tick_ms"])))

    def _run(self) -> None:
        waited_ns = self._waited_ns()
        while not self._stop.wait(_SAMPLE_S):
            before_ns, waited_ns = waited_ns, self._waited_ns()
            self.waits.append((self.now_s(), (waited_ns - before_ns) / 1e6))
            line = next(line for line in self._status.read_text().splitlines() if line.startswith("VmRSS"))
            self.memory.append((self.now_s(), int(line.split()[1]) / 1024))

    def _waited_ns(self) -> int:
        return int(self._schedule.read_text().split()[1])

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def memory_of(self, begin_s: float, end_s: float) -> float:
        """Median, MiB."""
        found = sorted(mib for at_s, mib in self.memory if begin_s <= at_s < end_s)
        return found[len(found) // 2] if found else float("nan")


def save(recorder: RecorderProcess, watch: Watch) -> tuple[float, float, float, Path]:
    """Ask for a highlight: when, until when, and where it is."""
    begun_s = watch.now_s()
    answer: Any = recorder.call("save_highlight", Trigger.Request(), 60.0)
    ended_s = watch.now_s()
    if not answer.success:
        raise RuntimeError(answer.message)
    path = Path(answer.message.rpartition(": ")[2])
    return begun_s, ended_s, open_bag(path).meta.duration_s, path


def measure(recorder: RecorderProcess, record: str, seconds: float, ring_s: float) -> tuple[list[object], list[object]]:
    with sender(CAMERAS, 30.0, 100.0, seconds) as process:
        meta = recorder.open()
        watch = Watch(recorder)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        saves = []
        for number in range(SAVES):
            # When the ring is full, and again evenly over the rest.
            due_s = ring_s + 2 + number * max(0.0, seconds - ring_s - 12) / max(1, SAVES - 1)
            time.sleep(max(0.0, due_s - watch.now_s()))
            saves.append(save(recorder, watch))
        sent, _ = json.loads(process.stdout.readline())
        lasted_s = watch.now_s()
        path = recorder.close(meta)
        watch.stop()
    wanted = dict(zip([topic + SUFFIX[record] for topic in CAMERAS] + [JOINTS], sent, strict=True))
    check = verify(path)
    lost = sum(count - check.topics.get(topic, 0) for topic, count in wanted.items())
    third_s = (lasted_s - ring_s) / 3
    whole = [record, sum(sent), lost, f"{watch.memory_of(ring_s, ring_s + third_s):.0f}",
             f"{watch.memory_of(lasted_s - third_s, lasted_s):.0f}", f"{max(mib for _, mib in watch.memory):.0f}",
             *worst(watch.polls, saves), *worst(watch.waits, saves)]  # fmt: skip
    sizes = [sum(file.stat().st_size for file in clip.iterdir()) / 1e6 for *_, clip in saves]
    different = sum(differing(clip, path, wanted) for *_, clip in saves)
    clips = [record, f"{min(lasted for *_, lasted, _ in saves):.1f}", f"{max(sizes):.0f}",
             ", ".join(f"{ended_s - begun_s:.2f}" for begun_s, ended_s, *_ in saves), different]  # fmt: skip
    return whole, clips


def worst(values: list[tuple[float, float]], saves: Sequence[tuple[float, float, float, Path]]) -> list[str]:
    """The largest while nothing was saved, and while something was; each value is of the second before its time."""
    saving = [any(begun_s <= at_s <= ended_s + 1.0 for begun_s, ended_s, *_ in saves) for at_s, _ in values]
    return [
        f"{max((value for (_, value), on in zip(values, saving, strict=True) if on is wanted), default=0.0):.1f}"
        for wanted in (False, True)
    ]


def times_of(bag: Path, topics: dict[str, int], begin_ns: int = 0, end_ns: int = 2**62) -> Counter[tuple[str, int]]:
    """How often each topic has a message of each receive time."""
    with open_bag(bag).file.open("rb") as stream:
        found = make_reader(stream).iter_messages(
            list(topics), log_time_order=False, starting_at=begin_ns, ending_at=end_ns
        )
        return Counter((channel.topic, message.log_time) for _, channel, message in found)


def differing(clip: Path, attempt: Path, topics: dict[str, int]) -> int:
    """Messages that a clip lacks, or has twice, against the attempt's bag in the same time."""
    verify(clip)
    # A video may begin before all else, at its keyframe.
    begin_ns = min(time_ns for _, time_ns in times_of(clip, {JOINTS: 0}))
    got = times_of(clip, topics, begin_ns)
    end_ns = max(time_ns for _, time_ns in got)
    wanted = times_of(attempt, topics, begin_ns, end_ns)
    return ((got - wanted) + (wanted - got)).total()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--record", nargs="+", default=["raw", "jpeg"], choices=list(SUFFIX))
    parser.add_argument("--ring-seconds", type=float, default=30.0)
    parser.add_argument("--ring-mib", type=float, default=4096.0)
    options = parser.parse_args()
    if options.seconds < options.ring_seconds + 12:
        parser.error(f"--seconds must be at least {options.ring_seconds + 12:g}: the ring fills first")
    rows, clips = [], []
    with scratch() as folder:
        for record in options.record:
            place = folder / record
            place.mkdir()
            recorder = RecorderProcess(
                robot_file(place, CAMERAS, 30.0, record), place / "data",
                ring_seconds=options.ring_seconds, ring_mib=options.ring_mib,
            )  # fmt: skip
            try:
                recorder.start(place / "recorder.log")
                row, clip = measure(recorder, record, options.seconds, options.ring_seconds)
            except RuntimeError as error:
                raise SystemExit(f"{error}\n{(place / 'recorder.log').read_text()}") from error
            finally:
                recorder.end()
            rows.append(row)
            clips.append(clip)
            shutil.rmtree(place / "data")
    title = f"Ring of {options.ring_seconds:g} s and an attempt's bag, 3 × 640×480×3 at 30 Hz + 100 Hz state, "
    table(
        f"{title}{options.seconds:g} s",
        ["recorded", "sent", "lost", "RSS in the first third, MiB", "in the last", "most", "longest poll, ms",
         "while saving", "without a processor in a second, at most, ms", "while saving"],
        rows,
    )  # fmt: skip
    table(
        f"{SAVES} highlights of each, while recording (aim: at most 2 s)",
        ["recorded", "s of topics", "MB", "saved in, s", "missing or twice, against the attempt's bag"],
        clips,
    )


if __name__ == "__main__":
    main()
