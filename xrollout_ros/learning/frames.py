"""Classes of recorded rows: who drove, and how near an intervention was (Liu et al. 2022, Sirius, arXiv:2211.08416)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta
from xrollout_ros.core.modes import Source
from xrollout_ros.learning.runs import runs

PRE_INTERVENTION_S = 0.5
"""So long before a person takes over what the policy did is what the person had to mend."""
Frames = npt.NDArray[np.uint8]


class Frame(IntEnum):
    """Class of a row; the numbers are those kept in shards."""

    DEMONSTRATION = 0
    """A person or script showed how the task is done, from the start."""
    ROLLOUT = 1
    """The policy drove."""
    PRE_INTERVENTION = 2
    """The policy drove, and an operator took over soon after."""
    INTERVENTION = 3
    """An operator drove in an attempt of the policy."""
    OTHER = 4
    """The robot was held, or a recovery policy drove: no policy is to imitate that."""

    @property
    def label(self) -> str:
        """Name as manifests and reports write it."""
        return self.name.lower()


FRAME_NAMES = tuple(frame.label for frame in Frame)


def frames_of(
    meta: EpisodeMeta,
    source: npt.NDArray[np.uint8],
    stamp_s: npt.NDArray[np.float64],
    pre_intervention_s: float = PRE_INTERVENTION_S,
) -> Frames:
    """Class of each row ``(T,) uint8``, a :class:`Frame`.

    Args:
        meta: says whether a policy was to do it.
        source: ``(T,)`` who each action came from.
        stamp_s: ``(T,)`` when, s, ascending.
        pre_intervention_s: rows of the policy so shortly before an operator's first row are their own class.
    """
    found = np.full(len(source), Frame.OTHER, dtype=np.uint8)
    policy = source == Source.POLICY
    shown = meta.kind is EpisodeKind.DEMONSTRATION or not (meta.policy_id or policy.any())
    found[source == Source.OPERATOR] = Frame.DEMONSTRATION if shown else Frame.INTERVENTION
    found[policy] = Frame.ROLLOUT
    if not shown:
        for begin, _ in runs(source == Source.OPERATOR):
            soon = policy & (stamp_s < stamp_s[begin]) & (stamp_s >= stamp_s[begin] - pre_intervention_s)
            found[soon] = Frame.PRE_INTERVENTION
    return found
