"""What an operator wanted while control was passed on: the recorded action is the one sent, which a handover damps.

For training alone. A delta or velocity that a ramp has made smaller says of no state what a person would have done
there; the operator's own command, which is in the bag too, does. A position is left as it was sent: while the robot
closes in on a leader that is far away, where the leader is says nothing of where the robot should go.
"""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.clock import NS
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.episodes.streams import Floats

TELEOP_TOPIC = "/xrollout/teleop/command"
OLDEST_S = 0.25
"""An operator's command that is older than this when an action is sent is not what that action came of."""
_DAMPED = frozenset({ActionKind.VELOCITY, ActionKind.DELTA, ActionKind.EFFORT})


def intended_actions(episode: EpisodeData) -> Floats:
    """Actions ``(T, A)`` as sent, but those of an operator during a handover as the operator commanded them.

    Raises:
        BagError: the bag is damaged.
    """
    robot = episode.robot
    damped = np.array([dim.kind in _DAMPED for dim in robot.actions])
    rows = np.flatnonzero((episode.mode == Mode.HANDOVER) & (episode.source == Source.OPERATOR))
    if not len(rows) or not damped.any():
        return episode.action
    commanded = [
        (stamp_ns(message.stamp), message.action)
        for _, _, message in episode.topic(TELEOP_TOPIC)
        if message.episode_id == episode.meta.episode_id and message.enabled and len(message.action) == len(damped)
    ]
    if not commanded:
        return episode.action
    stamps = np.array([stamp for stamp, _ in commanded])
    order = np.argsort(stamps, kind="stable")
    wanted = np.clip(np.array([commanded[place][1] for place in order]), robot.lower, robot.upper)
    sent_ns = episode.start_ns + np.rint(episode.stamp_s[rows] * NS).astype(np.int64)
    newest = np.searchsorted(stamps[order], sent_ns, side="right") - 1
    age_ns = sent_ns - stamps[order][np.maximum(newest, 0)]
    known = (newest >= 0) & (age_ns <= OLDEST_S * NS) & np.isfinite(wanted[np.maximum(newest, 0)]).all(axis=1)
    found = episode.action.copy()
    found[rows[known]] = np.where(damped, wanted[newest[known]], episode.action[rows[known]])
    return found
