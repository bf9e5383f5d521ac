"""What an earlier run of the same command has left, as the manager of the graph will find it."""

from __future__ import annotations

from xrollout_ros import __version__
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Result, Strategy
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.resume import RATE, made_before
from xrollout_ros.graph.description import GraphDescription


def demonstrated_before(description: GraphDescription) -> tuple[Result, ...]:
    """What came of the demonstrations that are there already.

    Args:
        description: a graph that records demonstrations; which policy drives is known to a running graph alone.

    Raises:
        DataError: they were made at another rate.
    """
    told = description.processes[-1].parameters
    like = EpisodeMeta(
        episode_id=new_id(),
        kind=EpisodeKind(told["kind"]),
        task=description.task.id,
        robot=description.robot.id,
        start=str(told["start"]),
        seed=int(told["seed"]),
        strategy=Strategy(told["strategy"]),
        operator=str(told["operator"]),
        software_version=__version__,
        parameters={RATE: description.robot.control_rate_hz},
        started_at="",
    )
    return tuple(made_before(description.data, like, description.episodes).results.values())
