"""Cameras through DDS into a bag, by the benchmark that measures it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xrollout_ros.core.clock import NS
from xrollout_ros.episodes.bag_reader import open_bag, verify
from xrollout_ros.episodes.images import ImageSequence

pytestmark = [pytest.mark.graph, pytest.mark.timeout(90)]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_three_cameras_are_recorded_as_video(tmp_path: Path) -> None:
    command = [sys.executable, "recorder.py", "--seconds", "1.5", "--ramp-seconds", "0", "--record", "h264"]
    done = subprocess.run(
        [*command, "--keep", str(tmp_path)], cwd=BENCHMARKS, capture_output=True, text=True, timeout=80
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = tmp_path.iterdir()
    topics = verify(path).topics
    bag = open_bag(path)
    for place in ("front", "left", "wrist"):
        topic = f"/{place}/image_raw/h264"
        counted = bag.meta.topics[topic]
        assert topics[topic] == counted.received
        assert f"/{place}/image_raw" not in topics
        images = ImageSequence(bag, topic)
        assert len(images) == counted.received > 10
        assert np.diff(images.stamps_ns).min() > 0  # the sender's own, in the order taken
        assert 0 <= np.median(images.log_time_ns - images.stamps_ns) < NS
        assert images[len(images) - 1].shape == (480, 640, 3)
        assert 60 < images[3].mean() < 140
