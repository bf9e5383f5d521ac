"""A weak policy for the tagging benchmarks: trained in some seconds from a few of the scripted expert's attempts."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch

from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.learning.dataset import TrainingEpisode
from xrollout_ros.learning.fit import Recipe, fit
from xrollout_ros.learning.models import build_model
from xrollout_ros.learning.policies import ChunkPolicy
from xrollout_ros.learning.windows import windows
from xrollout_ros.runtime.processors import state_entries
from xrollout_ros.sim.loop import run_attempt
from xrollout_ros.sim.operators import make_operator
from xrollout_ros.sim.robot import make_sim_robot

DEMONSTRATIONS, HORIZON, EXECUTE = 8, 8, 4
FIRST_SEED = 900_000
"""Far from every seed of an attempt."""
_STEPS, _BATCH = 2000, 64


@cache
def trained_policy(task_id: str) -> ChunkPolicy:
    """What the shipped trainer's default makes of so few demonstrations."""
    task = load_task(task_id)
    robot = load_robot(task.robot)
    sim, episodes = make_sim_robot(robot, task, shapes=False), []
    for seed in range(FIRST_SEED, FIRST_SEED + 10 * DEMONSTRATIONS):
        attempt = run_attempt(sim, robot, seed, task.default_start, operator=make_operator("scripted", robot, task))
        if attempt.outcome is Outcome.SUCCESS:
            state = np.array(attempt.states)
            episodes.append(TrainingEpisode(str(seed), task.id, state, attempt.actions, np.ones(len(state), bool)))
        if len(episodes) == DEMONSTRATIONS:
            break
    sim.close()
    torch.manual_seed(0)
    sizes = {"state_dim": robot.state_dim, "action_dim": robot.action_dim, "horizon": HORIZON}
    model, ones = build_model("flow", sizes), windows(episodes, 1)
    units = [entry.unit for entry in state_entries(robot).values() for _ in range(entry.size)]
    model.normalizer.fit(torch.from_numpy(ones.state), torch.from_numpy(ones.actions[:, 0]), units)
    samples = windows(episodes, HORIZON)
    recipe = Recipe(
        epochs=math.ceil(_STEPS / math.ceil(len(samples) / _BATCH)),
        lr=1e-3, batch_size=_BATCH, seed=0, weight_decay=1e-4, warmup_steps=100, ema=0.99, state_noise=0.0,
    )  # fmt: skip
    fitted, _ = fit(model, samples, None, recipe, lambda _: None)
    info = PolicyInfo("trained", "", robot.id, task.id, HORIZON, EXECUTE, robot.state_dim, robot.action_dim)
    return ChunkPolicy(fitted, info)
