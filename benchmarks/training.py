"""Training throughput: from shards, against the same network trained from mcap-ros2-support reads of the bags.

python benchmarks/training.py [--episodes 24] [--epochs 5] [--data FOLDER]

Without --data it records scripted demonstrations with the simulated camera first.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import run_graph, scratch, table
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from xrollout_ros.core.images import decode_image
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.threads import one_thread
from xrollout_ros.episodes.images import decode_compressed
from xrollout_ros.episodes.reader import COMMAND_TOPIC
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.learning.dataset import TrainingEpisode, TrainingSet
from xrollout_ros.learning.models import ChunkModel, build_model
from xrollout_ros.learning.shards.reader import open_dataset
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.training.loader import Samples
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.image_processors import resize

TASK, HORIZON, BATCH, RUNS = "pick_and_place", 8, 64, 3
SIDE = 96
"""Of the images that the policy sees, pixels."""


@dataclass
class Spent:
    """One way of training for some epochs."""

    total_s: float
    waiting_s: float
    samples: int

    @property
    def waiting(self) -> float:
        return self.waiting_s / self.total_s

    @property
    def rate(self) -> float:
        return self.samples / self.total_s


def record(data: Path, episodes: int) -> None:
    arguments = {"task": TASK, "episodes": str(episodes), "data": str(data), "camera": "true"}
    run_graph("record", arguments)


def build(data: Path, output: Path) -> Path:
    command = [sys.executable, "-m", "xrollout_ros.ui.cli", "pyramid", "build", "--raw-data", str(data)]
    command += ["--output", str(output), "--levels", "4", "--task", TASK, "--cameras", "--image-size", f"{SIDE}x{SIDE}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return output / "level1"


def from_bag(path: Path, robot: RobotSpec, camera: str | None) -> TrainingEpisode:
    """An episode as people read one by the library: message by message, put together by their stamps."""
    seen: dict[str, dict[int, Any]] = defaultdict(dict)
    sent: dict[int, Any] = {}
    topics = {entry.topic: entry for entry in robot.observations}
    wanted = [*topics, COMMAND_TOPIC] + ([robot_camera(robot, camera).topic] if camera else [])
    pictures: dict[int, Any] = {}
    with next(path.glob("*.mcap")).open("rb") as stream:
        for _, channel, _, message in make_reader(stream, decoder_factories=[DecoderFactory()]).iter_decoded_messages(
            wanted
        ):
            header = message if channel.topic == COMMAND_TOPIC else message.header
            stamp = header.stamp.sec * 10**9 + header.stamp.nanosec
            if channel.topic == COMMAND_TOPIC:
                sent[stamp] = np.array(message.action)
            elif channel.topic in topics:
                for entry in robot.observations:
                    if entry.topic == channel.topic:
                        seen[entry.name][stamp] = value_of(message, entry.field)
            else:
                image = decode_image(message) if hasattr(message, "encoding") else decode_compressed(message)
                pictures[stamp] = resize(image, SIDE, SIDE)
    stamps = [stamp for stamp in sorted(sent) if all(stamp in values for values in seen.values())]
    state = np.array([np.concatenate([seen[entry.name][stamp] for entry in robot.observations]) for stamp in stamps])
    images = {}
    if camera:
        order = sorted(pictures)
        newest = np.maximum(np.searchsorted(order, stamps, side="right") - 1, 0)
        images = {camera: np.stack([pictures[order[place]] for place in newest])}
    action = np.array([sent[stamp] for stamp in stamps])
    return TrainingEpisode(path.name, TASK, state, action, np.ones(len(stamps), bool), images=images)


def robot_camera(robot: RobotSpec, name: str | None) -> Any:
    return next(each for each in robot.cameras if each.name == name)


def value_of(message: Any, field: str) -> Any:
    value = message
    for part in field.split("."):
        value = getattr(value, part)
    if hasattr(value, "x"):
        value = [getattr(value, name) for name in "xyzw" if hasattr(value, name)]
    return np.asarray(value, dtype=np.float64)


def network(data: TrainingSet, camera: str | None) -> ChunkModel:
    sizes: dict[str, Any] = {"state_dim": data.robot.state_dim, "action_dim": data.robot.action_dim, "horizon": HORIZON}
    torch.manual_seed(0)
    model = build_model("flow", sizes | ({"cameras": {camera: [SIDE, SIDE]}} if camera else {}))
    ones = windows(data.episodes, 1)
    units = [entry.unit for entry in data.robot.observations for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(ones.state), torch.from_numpy(ones.actions[:, 0]), units)
    return model


def recipe(epochs: int) -> Recipe:
    return Recipe(
        epochs, lr=1e-3, batch_size=BATCH, seed=0, weight_decay=1e-4, warmup_steps=10, ema=0.99, state_noise=0.0
    )


def by_shards(level: Path, camera: str | None, epochs: int) -> Spent:
    data = open_dataset(level).training_set()
    model = network(data, camera)
    begin = time.perf_counter()
    data = open_dataset(level).training_set()
    samples = windows(data.episodes, HORIZON)
    opened_s = time.perf_counter() - begin
    history = fit(model, Samples(samples, data.episodes, model), None, recipe(epochs), lambda _: None).history
    total = time.perf_counter() - begin
    return Spent(total, opened_s + history[-1].waiting * history[-1].elapsed_s, epochs * len(samples))


def by_library(bags: list[Path], data: TrainingSet, camera: str | None, epochs: int) -> Spent:
    """Each epoch reads the bags again: that is what a data set that reads bags does, unless it keeps all in memory."""
    model = network(data, camera)
    begin, waiting, seen = time.perf_counter(), 0.0, 0
    for _ in range(epochs):
        start = time.perf_counter()
        episodes = [from_bag(path, data.robot, camera) for path in bags]
        samples = windows(episodes, HORIZON)
        waiting += time.perf_counter() - start
        fit(model, Samples(samples, episodes, model), None, recipe(1), lambda _: None)
        seen += len(samples)
    return Spent(time.perf_counter() - begin, waiting, seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--episodes", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("MUJOCO_GL", "osmesa")
    with scratch() as folder, one_thread():
        data = given.data or folder / "raw_rollouts"
        if given.data is None:
            record(data, given.episodes)
        level = build(data, folder / "pyramid")
        known = open_dataset(level).training_set()
        ids = set(known.episode_ids)
        bags = [entry.path for entry in find_episodes(data) if entry.meta and entry.meta.episode_id in ids]
        rows = []
        for camera in (None, known.robot.cameras[0].name):
            ours, theirs = [], []
            for _ in range(RUNS):  # in turn, so that a busy minute falls on both
                ours.append(by_shards(level, camera, given.epochs))
                theirs.append(by_library(bags, known, camera, given.epochs))
            ratio = statistics.median(one.rate / other.rate for one, other in zip(ours, theirs, strict=True))
            what = f"state and a camera of {SIDE}x{SIDE}" if camera else "state"
            for name, spent, faster in (("shards", ours, f"{ratio:.1f}×"), ("mcap-ros2-support", theirs, "1.0×")):
                rate = statistics.median(each.rate for each in spent)
                waiting = statistics.median(each.waiting for each in spent)
                rows.append([what, name, f"{rate:,.0f}", f"{waiting:.1%}", faster])
        table(
            f"Training a flow policy, {len(bags)} episodes of {len(windows(known.episodes, 1))} rows in all, "
            f"{given.epochs} epochs, medians of {RUNS} runs in turn",
            ["policy sees", "read from", "samples/s", "waiting for data", "faster"],
            rows,
        )


if __name__ == "__main__":
    main()
