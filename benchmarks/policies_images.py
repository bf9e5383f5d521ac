"""Policies that see: what images tell beyond the hand's own state, on held-out demonstrations and in the simulator.

python benchmarks/policies_images.py [--demonstrations 16] [--held-out 4] [--attempts 10] [--keep FOLDER]

Object and goal are not in the state here. Rendering needs libosmesa6 or a GPU (MUJOCO_GL=egl).
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import table
from policies import DEMONSTRATION_SEEDS, EXECUTE, HORIZON

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.ports import PolicyInfo, SimObservation
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.threads import one_thread
from xrollout_ros.learning.augment.images import augment_images
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.models import ChunkModel, build_model
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.training.loader import Samples
from xrollout_ros.learning.windows import Windows, windows
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.runtime.processors import state_entries
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

TASK, CAMERA, SIDE = "pick_and_place", "corner", 96
HAND = 4
"""Leading values of the state: the hand's place and opening."""
BATCH = 32
FIRST_ATTEMPT = 1000


@dataclass(frozen=True)
class Sight:
    """What a policy is given."""

    name: str
    policy: str
    state: int
    """Leading values of the state that it sees; 0: none (one value that says nothing)."""
    images: bool
    varied: bool = False


SIGHTS = (
    Sight("hand", "mlp", HAND, False),
    Sight("hand, object and goal", "mlp", 14, False),
    Sight("image", "mlp", 0, True),
    Sight("hand and image", "mlp", HAND, True),
    Sight("hand and image, varied", "mlp", HAND, True, True),
    Sight("hand and image", "act", HAND, True),
    Sight("hand and image", "flow", HAND, True),
)


def robot_with(rate_hz: float) -> RobotSpec:
    """The arm, whose camera sees small images, so often."""
    robot = load_robot("metaworld_sawyer")
    small = {"width": SIDE, "height": SIDE, "rate_hz": rate_hz}
    return robot.model_copy(update={"cameras": (robot.cameras[0].model_copy(update=small),)})


class Watched:
    """A simulated robot whose images are kept."""

    def __init__(self, robot: RobotSpec) -> None:
        self.sim = make_sim_robot(robot, load_task(TASK), cameras=[CAMERA], shapes=False)
        self.images: list[np.ndarray] = []

    def reset(self, seed: int, start: str) -> SimObservation:
        self.images = []
        return self._seen(self.sim.reset(seed, start))

    def step(self, action: np.ndarray) -> SimObservation:
        return self._seen(self.sim.step(action))

    def close(self) -> None:
        self.sim.close()

    def _seen(self, now: SimObservation) -> SimObservation:
        self.images.append(now.images[CAMERA])
        return now


def demonstrate(count: int, keep: Path) -> list[TrainingEpisode]:
    """Successful attempts of the scripted operator, an image at each row."""
    robot, task, done = robot_with(load_robot("metaworld_sawyer").policy_rate_hz), load_task(TASK), []
    sim = Watched(robot)
    for seed in range(DEMONSTRATION_SEEDS, DEMONSTRATION_SEEDS + 10 * count):
        path = keep / f"{TASK}-{SIDE}-{seed}.npz"
        if not path.exists():
            operator = make_operator("scripted", robot, task)
            attempt = run_attempt(sim, robot, seed, task.default_start, operator=operator)
            good, state = attempt.outcome is Outcome.SUCCESS, np.array(attempt.states)
            np.savez(path, good=good, state=state, action=attempt.actions, image=np.array(sim.images[: len(state)]))
        with np.load(path) as found:
            if found["good"]:
                state, usable = found["state"], np.ones(len(found["state"]), bool)
                images = {CAMERA: found["image"]}
                done.append(TrainingEpisode(str(seed), TASK, state, found["action"], usable, images=images))
        if len(done) == count:
            break
    sim.close()
    return done


def seen_by(sight: Sight, episodes: list[TrainingEpisode]) -> list[TrainingEpisode]:
    """The demonstrations as this policy sees them."""
    return [
        TrainingEpisode(
            each.episode_id, TASK, visible(sight, each.state), each.action, each.usable,
            images=each.images if sight.images else {},
        )
        for each in episodes
    ]  # fmt: skip


def visible(sight: Sight, state: np.ndarray) -> np.ndarray:
    """Of states ``(…, 14)``."""
    return state[..., : sight.state] if sight.state else np.zeros((*state.shape[:-1], 1))


def train(sight: Sight, episodes: list[TrainingEpisode], steps: int) -> tuple[ChunkModel, float]:
    """The policy, and how long it took, s of the processor."""
    robot, mine = load_robot("metaworld_sawyer"), seen_by(sight, episodes)
    sizes = {"state_dim": mine[0].state.shape[1], "action_dim": robot.action_dim, "horizon": HORIZON}
    torch.manual_seed(0)
    model = build_model(sight.policy, sizes | ({"cameras": {CAMERA: (SIDE, SIDE)}} if sight.images else {}))
    ones, samples = windows(mine, 1), windows(mine, HORIZON)
    units = [entry.unit for entry in state_entries(robot).values() for _ in range(entry.size)][: sight.state] or ["1"]
    model.normalizer.fit(torch.from_numpy(ones.state), torch.from_numpy(ones.actions[:, 0]), units)
    vary = partial(augment_images, crop=0.08, color=0.2) if sight.varied else None
    recipe = Recipe(
        epochs=math.ceil(steps / math.ceil(len(samples) / BATCH)),
        lr=1e-3, batch_size=BATCH, seed=0, weight_decay=1e-4, warmup_steps=100, ema=0.99, state_noise=0.0,
    )  # fmt: skip
    begin = time.process_time()
    fitted, _ = fit(model, Samples(samples, mine, model, augment_images=vary), None, recipe, lambda _: None)
    return fitted, time.process_time() - begin


def policy_of(sight: Sight, model: ChunkModel) -> ChunkPolicy:
    info = PolicyInfo(
        sight.name, "", "metaworld_sawyer", TASK, HORIZON, EXECUTE, model.shape.state_dim, model.shape.action_dim,
        cameras=dict(model.shape.cameras),
    )  # fmt: skip
    return ChunkPolicy(model, info)


def error_of(made: np.ndarray, told: Windows, model: ChunkModel) -> float:
    """Mean distance of chunks ``(N, H, A)`` from what was demonstrated, in normalized actions, real rows alone."""
    apart = model.normalizer.action(torch.from_numpy(made)) - model.normalizer.action(torch.from_numpy(told.actions))
    return float((apart.abs().mean(-1).numpy() * told.mask).sum() / told.mask.sum())


def chunks_of(sight: Sight, model: ChunkModel, episodes: list[TrainingEpisode]) -> np.ndarray:
    """What the policy would have done at each row ``(N, H, A)``."""
    policy, made = policy_of(sight, model), []
    for each in seen_by(sight, episodes):
        policy.reset(0)
        made += [
            policy.predict(state, images={name: images[row] for name, images in each.images.items()})
            for row, state in enumerate(each.state)
        ]
    return np.array(made)


def succeeds(sim: Watched, sight: Sight, model: ChunkModel, seed: int) -> bool:
    """One attempt: half a chunk is played, then the next one is made from what is seen then."""
    robot, task, policy = load_robot("metaworld_sawyer"), load_task(TASK), policy_of(sight, model)
    policy.reset(seed)
    now = sim.sim.reset(seed, task.default_start)
    while not now.done:
        state = visible(sight, robot.state_vector(now.values))
        for action in policy.predict(state, images=now.images)[:EXECUTE]:
            now = sim.sim.step(np.clip(action, robot.lower, robot.upper))
            if now.done:
                break
    return now.success


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demonstrations", type=int, default=16)
    parser.add_argument("--held-out", type=int, default=4)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--attempts", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="folder whose demonstrations are used, and where they are kept")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary, one_thread():
        keep = given.keep or Path(temporary)
        keep.mkdir(parents=True, exist_ok=True)
        episodes = demonstrate(given.demonstrations + given.held_out, keep)
        training, held_out = episodes[: given.demonstrations], episodes[given.demonstrations :]
        told, known = windows(held_out, HORIZON), windows(training, HORIZON)
        sim = Watched(robot_with(load_robot("metaworld_sawyer").policy_rate_hz / EXECUTE))
        for sight in SIGHTS:
            model, train_s = train(sight, training, given.steps)
            if not rows:
                constant = np.broadcast_to(np.median(known.actions, axis=0), told.actions.shape)
                rows.append(
                    ["nothing: the median chunk", "–", "–", f"{error_of(constant.copy(), told, model):.3f}", "–"]
                )
            rate = success_rate(
                sum(succeeds(sim, sight, model, FIRST_ATTEMPT + number) for number in range(given.attempts)),
                given.attempts,
            )
            error = error_of(chunks_of(sight, model, held_out), told, model)
            told_rate = f"{rate.rate:.2f} ({rate.low:.2f}–{rate.high:.2f})" if given.attempts else "–"
            rows.append([sight.name, sight.policy, f"{train_s:.0f}", f"{error:.3f}", told_rate])
            print(*rows[-1], sep=" | ", flush=True)
        sim.close()
    title = (
        f"{TASK}, {given.demonstrations} demonstrations, {given.held_out} held out, images {SIDE}×{SIDE}, "
        f"{given.steps} steps of {BATCH}, {given.attempts} attempts; "
        "error: mean distance from held-out chunks, normalized actions"
    )
    table(title, ["sees", "policy", "training, s of the processor", "error", "success (95 %)"], rows)


if __name__ == "__main__":
    main()
