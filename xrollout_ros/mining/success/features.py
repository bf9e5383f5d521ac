"""What an attempt was like at its end, as one row of numbers: what tells a success from a failure.

Nothing in it says how long the attempt lasted: one that is ended by its success signal is short, so a classifier that
saw the time would learn who ended the attempt, and would be wrong of all that nobody ended.
"""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.descriptors import descriptors
from xrollout_ros.mining.response import RESPONSE
from xrollout_ros.mining.signals import Floats, NotApplicableError, Signals

LATE_S = 0.25
"""The end of an attempt: what is true so long is no accident of one moment."""


def features(episode: EpisodeData) -> dict[str, float]:
    """Describe the end of an attempt, and what had happened until then.

    - every observed value: where it began, where it ended, its mean and spread in the last ``LATE_S``, how far it went;
    - every action: its mean in the last ``LATE_S``;
    - hand, object and goal, where the task names them: how far apart they were at first, at last and at the least, how
      far the object came; and the events of :mod:`xrollout_ros.mining.descriptors`. Where it names none of them: the
      resampled curves of all that was sensed, from there too.

    Raises:
        DataError: nothing was recorded, or an observation is not finite.
        SpecError: the TaskSpec does not fit its robot.
    """
    if not len(episode):
        raise DataError("nothing was recorded before the attempt ended", "It tells nothing of how it ended.")
    if not (np.isfinite(episode.state).all() and np.isfinite(episode.action).all()):
        raise DataError("it holds observations or actions that are not finite", "`xrollout doctor --data` names them.")
    signals = Signals(episode)
    late = slice(-signals.rows(LATE_S), None)
    row: dict[str, float] = {}
    for name, span in episode.robot.state_slices().items():
        row |= _curve(name, episode.state[:, span], late)
    for name, value in zip((dim.name for dim in episode.robot.actions), episode.action[late].mean(axis=0), strict=True):
        row[f"action.{name}.late"] = float(value)
    row |= _places(signals, late)
    described = descriptors([episode], [None])
    # How a robot answers its commands tells of faults, not of ends.
    events = dict(zip(described.names, described.values[0], strict=True))
    return row | {f"event.{name}": float(value) for name, value in events.items() if name not in RESPONSE}


def _curve(name: str, values: Floats, late: slice) -> dict[str, float]:
    """Of one observation, (T, size)."""
    end, mean = values[-1], values[late].mean(axis=0)
    of = {
        "first": values[0],
        "last": end,
        "late_from_last": mean - end,
        "late_spread": values[late].std(axis=0),
        "went": np.ptp(values, axis=0),
    }
    return {f"{name}.{index}.{what}": float(each[index]) for what, each in of.items() for index in range(len(end))}


def _places(signals: Signals, late: slice) -> dict[str, float]:
    """Hand, object and goal to each other, m, as far as the task names them."""
    places: dict[str, Floats] = {}
    for name in ("hand", "object", "goal"):
        try:
            places[name] = getattr(signals, name)
        except NotApplicableError:
            continue
    row: dict[str, float] = {}
    for one, other in (("hand", "object"), ("object", "goal"), ("hand", "goal")):
        if one in places and other in places and places[one].shape == places[other].shape:
            apart = np.linalg.norm(places[one] - places[other], axis=1)
            of = {"first": apart[0], "last": apart[-1], "least": apart.min(), "late": apart[late].mean()}
            row |= {f"{one}_to_{other}.{what}": float(value) for what, value in of.items()}
    if "object" in places:
        way = places["object"] - places["object"][0]
        row["object_way.farthest"] = float(np.linalg.norm(way, axis=1).max())
        row |= {f"object_way.{index}": float(value) for index, value in enumerate(way[-1])}
    if "object" in places and "goal" in places and places["object"].shape == places["goal"].shape:
        beside = places["object"][-1] - places["goal"][-1]
        row |= {f"object_beside_goal.{index}": float(value) for index, value in enumerate(beside)}
    return row
