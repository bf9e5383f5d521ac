"""A weak policy for benchmarks in one process: trained in some seconds from a few of the scripted expert's attempts."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.models import build_model
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.scores import detectors_of
from xrollout_ros.learning.training.fit import Recipe, fit
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.novelty import Kind, Steps
from xrollout_ros.runtime.novelty_fit import fit as fit_novelty
from xrollout_ros.runtime.processors import state_entries
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

DEMONSTRATIONS, HORIZON, EXECUTE = 8, 8, 4
FIRST_SEED = 900_000
"""Far from every seed of an attempt."""
_STEPS, _BATCH = 2000, 64


@cache
def demonstrations(task_id: str, count: int = DEMONSTRATIONS, first_seed: int = FIRST_SEED) -> list[TrainingEpisode]:
    """Successful attempts of the scripted expert."""
    task = load_task(task_id)
    robot = load_robot(task.robot)
    sim, episodes = make_sim_robot(robot, task, shapes=False), []
    for seed in range(first_seed, first_seed + 10 * count):
        attempt = run_attempt(sim, robot, seed, task.default_start, operator=make_operator("scripted", robot, task))
        if attempt.outcome is Outcome.SUCCESS:
            state = np.array(attempt.states)
            episodes.append(TrainingEpisode(str(seed), task.id, state, attempt.actions, np.ones(len(state), bool)))
        if len(episodes) == count:
            break
    sim.close()
    return episodes


@cache
def trained_policy(task_id: str) -> ChunkPolicy:
    """What the shipped trainer's default makes of so few demonstrations."""
    return train_policy(task_id, demonstrations(task_id))


def train_policy(
    task_id: str,
    episodes: list[TrainingEpisode],
    architecture: str = "flow",
    seed: int = 0,
    novelties: tuple[Kind, ...] = (),
    **sizes: float,
) -> ChunkPolicy:
    """A policy of these demonstrations.

    Args:
        task_id: TaskSpec id.
        episodes: demonstrations.
        architecture: of ``learning.models.ARCHITECTURES``.
        seed: of its weights and of the training.
        novelties: models of novelty to fit beside it.
        sizes: of the network, besides those that the task gives.
    """
    robot = load_robot(load_task(task_id).robot)
    torch.manual_seed(seed)
    sizes = {"state_dim": robot.state_dim, "action_dim": robot.action_dim, "horizon": HORIZON, **sizes}
    model, ones = build_model(architecture, sizes), windows(episodes, 1)
    units = [entry.unit for entry in state_entries(robot).values() for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(ones.state), torch.from_numpy(ones.actions[:, 0]), units)
    samples = windows(episodes, HORIZON)
    recipe = Recipe(
        epochs=math.ceil(_STEPS / math.ceil(len(samples) / _BATCH)),
        lr=1e-3, batch_size=_BATCH, seed=seed, weight_decay=1e-4, warmup_steps=100, ema=0.99, state_noise=0.0,
    )  # fmt: skip
    fitted, _ = fit(model, samples, None, recipe, lambda _: None)
    fit_to = [Steps(episode.state) for episode in episodes]
    known = tuple(fit_novelty(kind, fit_to, seed) for kind in novelties)
    half = (fitted.normalizer.action_high - fitted.normalizer.action_low) / 2
    info = PolicyInfo(
        "trained", "", robot.id, task_id, HORIZON, EXECUTE, robot.state_dim, robot.action_dim,
        conditioning=fitted.conditioning, max_prefix=fitted.max_prefix, action_scale=tuple(half.tolist()),
        detectors=detectors_of(fitted, known),
    )  # fmt: skip
    return ChunkPolicy(fitted, info, "cpu", known)
