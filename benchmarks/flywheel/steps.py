"""How long to train on how many demonstrations: success after so many steps of the gradient.

python benchmarks/flywheel/steps.py --task pick_and_place --data BAGS [--demonstrations 8 38 150] [--steps 6000 20000]

Trains on the first demonstrations of a folder of bags, as a run of `unattended.py` leaves one, and tries the policies
from that benchmark's held-out starts under its faults.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import table
from unattended import TASKS, World, rate

from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.threads import one_thread
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.learning.dataset import load_training_set
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.train import train


def demonstrations(data: Path, task: str) -> list[Path]:
    """Bags of the demonstrations that succeeded, in the order in which they were made."""
    found = [
        (entry.meta.started_at, entry.path)
        for entry in find_episodes(data)
        if entry.meta is not None and entry.meta.task == task
        if entry.meta.kind is EpisodeKind.DEMONSTRATION and entry.meta.outcome is Outcome.SUCCESS
    ]
    return [path for _, path in sorted(found)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--task", default="pick_and_place", choices=TASKS)
    parser.add_argument("--demonstrations", type=int, nargs="*", default=[8, 38])
    parser.add_argument("--steps", type=int, nargs="*", default=[6000, 20000, 40000])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--attempts", type=int, default=100)
    options = parser.parse_args()
    bags, world = demonstrations(options.data, options.task), World(options.task)
    rows: list[list[object]] = []
    for count in options.demonstrations:
        with tempfile.TemporaryDirectory() as name, one_thread():
            folder = Path(name)
            for bag in bags[:count]:
                shutil.copytree(bag, folder / "data" / bag.name)
            windows = sum(int(each.sampled.sum()) for each in load_training_set(folder / "data").episodes)
            for steps in options.steps:
                epochs, tried, train_s = math.ceil(steps / math.ceil(windows / 64)), "", []
                for seed in range(options.seeds):
                    given = TrainOptions(
                        data=folder / "data", output=folder / "checkpoint.pt", task=options.task, held_out=0.0,
                        epochs=epochs, seed=seed, restart=True,
                    )  # fmt: skip
                    begun_s = time.monotonic()
                    made = train(given, lambda _: None)
                    train_s.append(time.monotonic() - begun_s)
                    tried += world.tried(options.attempts, str(made.output))
                rows.append(
                    [min(count, len(bags)), steps, epochs, rate(tried), f"{sorted(train_s)[len(train_s) // 2]:.0f}"]
                )
                print(*rows[-1], flush=True)
    table(
        f"{options.task}: success of {options.attempts} attempts of each of {options.seeds} trainings",
        ["demonstrations", "steps", "epochs", "success (95 %)", "s to train"],
        rows,
    )


if __name__ == "__main__":
    main()
