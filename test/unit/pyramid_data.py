"""A data folder of short attempts and demonstrations whose rows are driven by whom it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.core.clock import Clock, SystemClock
from xrollout_ros.core.episode import EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.learning.pyramid.build import BuildOptions, Built, build
from xrollout_ros.learning.pyramid.recipe import Recipe, default_recipe

POLICY, OPERATOR, HOLD = Source.POLICY, Source.OPERATOR, Source.HOLD
ROWS = 12
POLICY_ID = "01K0000000000000000000000P"
SPAN = [{"operator": "ann", "begin_s": 0.05, "end_s": 0.1}]


def record(
    bags: Any,
    sources: Sequence[Source],
    place: tuple[float, float] = (0.0, 0.65),
    *,
    stretch: float = 1.0,
    scale: float = 1.0,
    nan: bool = False,
    clipped: bool = False,
    mode: Mode = Mode.AUTONOMOUS,
    **meta: Any,
) -> EpisodeMeta:
    """A bag with one row for each source, from a start at ``place``.

    Args:
        stretch: the last step takes so many periods.
        scale: of the actions; 0 commands no motion.
        nan: the last observation is none.
        clipped: every command was.
        mode: of the supervisor.
    """
    known: EpisodeMeta = bags.meta(**{"policy_id": POLICY_ID, "outcome": "success", "outcome_source": "robot", **meta})
    count = len(sources)
    slices = bags.robot.state_slices()
    state = np.zeros((count, bags.robot.state_dim))
    along = np.linspace(0, 1, count) ** 2
    hand = np.array((0, 0.6, 0.2)) + along[:, None] * (np.array((*place, 0.05)) - np.array((0, 0.6, 0.2)))
    state[:, slices["hand_position"]] = hand
    state[:, slices["object_position"]] = (*place, 0.02)
    state[:, slices["goal_position"]] = (0.0, 0.8, 0.1)
    if nan:
        state[-1] = np.nan
    action = np.tile([0.4, 0.1, -0.3, 0.0], (count, 1)) * scale
    action[:1] = action[-1:] = [0.4, 0.1, -0.3, 0.0]
    with bags.open(paths.episode_dir(bags.data, known), known) as writer:
        for step, source in enumerate(sources):
            late = (stretch - 1) * (step == count - 1)
            stamp_ns = 5 * 10**9 + round((step + late) * bags.robot.control_period_ns)
            bags.observe(writer, state[step], stamp_ns, stamp_ns)
            limited = {"clipped": [clipped] * len(action[step])}
            bags.command(
                writer,
                known,
                action[step],
                stamp_ns,
                stamp_ns,
                step=step,
                source=int(source),
                mode=int(mode),
                **limited,
            )
        writer.close(known)
    return known


def demonstrate(bags: Any, place: tuple[float, float] = (0.0, 0.65), **values: Any) -> EpisodeMeta:
    """A successful demonstration."""
    return record(bags, [OPERATOR] * ROWS, place, **{"kind": "demonstration", "policy_id": "", **values})


def attempt(
    bags: Any, outcome: str = "success", place: tuple[float, float] = (0.0, 0.65), **values: Any
) -> EpisodeMeta:
    """An attempt of the policy."""
    source = "robot" if outcome == "success" else "time_limit"
    return record(bags, [POLICY] * ROWS, place, **{"outcome": outcome, "outcome_source": source, **values})


def help_out(bags: Any, outcome: str = "success", **values: Any) -> EpisodeMeta:
    """An attempt in which an operator drove for a while."""
    sources = [POLICY] * 4 + [HOLD] + [OPERATOR] * 4 + [POLICY] * 3
    return record(bags, sources, **{"outcome": outcome, "interventions": SPAN, **values})


def say(bags: Any, author: str, episode_id: str, what: Any) -> None:
    """Put it into the journal."""
    journal.append(bags.data / paths.JOURNAL, author, episode_id, what, SystemClock())


def outcome(said: str, author: str) -> journal.Reviewed:
    """How it ended, by somebody's word."""
    source = OutcomeSource.HUMAN if author.startswith("human:") else OutcomeSource.MODEL
    return journal.Reviewed(outcome=Outcome(said), source=source)


@cache
def shipped() -> Recipe:
    """The recipe that is used where none is given."""
    return default_recipe()


def built(
    data: Path,
    output: Path,
    recipe: Recipe | None = None,
    *,
    clock: Clock | None = None,
    during: AbstractContextManager[None] | None = None,
    **options: Any,
) -> Built:
    """The pyramid, built in this process unless ``workers`` says otherwise, and within ``during``."""
    with Catalog(data) as catalog:
        catalog.update(every=True)
        with during or nullcontext():
            return build(
                catalog,
                BuildOptions(data, output, recipe=recipe or shipped(), **{"workers": 0, **options}),
                clock=clock,
            )
