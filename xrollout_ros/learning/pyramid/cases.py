"""What the pyramid knows of an episode: its bag's word and rows, what was measured, and what the journal says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.episode import (
    CONTROL,
    FAILURE_RECOVERY,
    GENERATION,
    TEMPERATURE,
    EpisodeKind,
    EpisodeMeta,
    Outcome,
)
from xrollout_ros.episodes.journal_entry import Effective, JournalEntry, PropertySet, effective, retracted_ids
from xrollout_ros.learning.frames import Frame, frames_of
from xrollout_ros.learning.runs import runs
from xrollout_ros.learning.shards.facts import HOLE, Facts
from xrollout_ros.learning.shards.layout import CAMERA, ROW_ARRAYS, combined
from xrollout_ros.learning.shards.manifest import Span
from xrollout_ros.learning.shards.store import Kept, Store
from xrollout_ros.mining.collection import MODE, PLAN
from xrollout_ros.mining.review.decisions import HUMAN
from xrollout_ros.mining.taxonomy import FailureMode, tag_of
from xrollout_ros.mining.verification import Basis, outcome_basis
from xrollout_ros.runtime.start_list import LIST

LEVEL_PROPERTY = "pyramid_level"
"""Property by which a person puts an episode into a level, whatever the rules say; 0: into none."""
UNCONSTRAINED = "limits"
"""The control stage that adds nothing to the robot's own limits."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Reviewer:
    """A person's word on the level of an episode."""

    level: int
    author: str
    reason: str


@dataclass(frozen=True)
class Case:
    """One episode."""

    kept: Kept
    basis: Basis
    holds: Effective
    frames: tuple[tuple[int, int, Frame], ...]
    """Stretches ``[begin, end)`` of one class, in order, all rows."""
    holes: tuple[int, ...]
    """Rows that do not go on from the one before: it is too long ago."""
    start: Floats
    """(D,) the first state."""
    reviewer: Reviewer | None
    ignored: str = ""
    """What was said of its level and does not count, and why."""
    cameras: tuple[str, ...] = ()
    """Those whose images train."""

    @property
    def id(self) -> str:
        """ULID."""
        return self.kept.meta.episode_id

    @property
    def meta(self) -> EpisodeMeta:
        """As the bag has it."""
        return self.kept.meta

    @property
    def facts(self) -> Facts:
        """What was measured."""
        return self.kept.facts

    @property
    def outcome(self) -> Outcome:
        """The one that holds."""
        return self.basis.outcome

    @property
    def demonstrated(self) -> bool:
        """Whether a person or a script did it from the start."""
        return self.meta.kind is EpisodeKind.DEMONSTRATION

    @property
    def by_policy(self) -> bool:
        """Whether it is an attempt of a policy."""
        return self.meta.kind is EpisodeKind.ATTEMPT and bool(self.meta.policy_id)

    @property
    def helped(self) -> bool:
        """Whether an operator drove in the place of the policy."""
        return any(frame is Frame.INTERVENTION for _, _, frame in self.frames)

    @property
    def recovered(self) -> bool:
        """Whether it came out of trouble and succeeded: by an operator, a recovery policy, or a second try."""
        if self.outcome is not Outcome.SUCCESS:
            return False
        tagged = {FAILURE_RECOVERY, tag_of(FailureMode.SUCCESSFUL_RECOVERY)} & set(self.holds.tags)
        return self.helped or self.facts.recovery_s > 0 or bool(tagged)

    @property
    def plan_id(self) -> str:
        """The plan that it was collected for; empty: none."""
        return str(self.holds.properties.get(PLAN) or "")

    @property
    def cluster(self) -> str:
        """The failure mode that it was collected for, else the one that it shows; empty: none."""
        return str(self.holds.properties.get(MODE) or "") or self.holds.failure_mode

    @property
    def generation(self) -> str:
        """How its start was chosen, and how far the policy's noise was scaled."""
        said = self.meta.parameters
        chosen = "plan" if self.plan_id else "start list" if said.get(LIST) else "seeds"
        starts = str(said.get(GENERATION) or chosen)
        temperature = said.get(TEMPERATURE, 1.0)
        return starts if temperature == 1.0 else f"{starts}, temperature {temperature}"

    @property
    def control(self) -> str:
        """By what constraints the policy was held while it acted."""
        return str(self.meta.parameters.get(CONTROL) or UNCONSTRAINED)

    @property
    def stratum(self) -> str:
        """Task and kind of start."""
        return f"{self.meta.task}/{self.meta.start}"

    @property
    def digest(self) -> str:
        """Of the rows that train, and those beside them."""
        wanted = [*ROW_ARRAYS, *(f"{CAMERA}{name}" for name in self.cameras)]
        return combined({name: self.kept.held.digests[name] for name in wanted})

    def spans(self, frames: Iterable[str]) -> tuple[Span, ...]:
        """All rows in stretches of one class, and whether they train.

        Demonstrated rows train where the task was done, those of an intervention unless the attempt was aborted (they
        say what a person would have done there), a policy's own where it succeeded. Before the first image of a camera
        nothing does; nor does a row after a hole in time, so that no window of actions reaches over it.

        Args:
            frames: classes that train at all.
        """
        wanted = {
            frame
            for frame in Frame
            if frame.label in set(frames)
            and (self.outcome is Outcome.SUCCESS or (frame is Frame.INTERVENTION and self.outcome is not Outcome.ABORT))
            and frame not in (Frame.PRE_INTERVENTION, Frame.OTHER)
        }
        seen = max((self.facts.cameras[name].from_row for name in self.cameras), default=0)
        found = []
        for begin, end, frame in self.frames:
            cut = min(max(begin, seen), end)
            edges = {row + after for row in self.holes for after in (0, 1) if cut < row + after < end}
            rows = sorted({begin, cut, end} | edges)
            for first, last in pairwise(rows):
                trains = frame in wanted and first >= cut and first not in self.holes
                found.append(Span(begin=first, end=last, frame=frame.label, trains=trains))
        return tuple(found)


def cases_of(
    store: Store,
    kept: Sequence[Kept],
    entries: Sequence[JournalEntry],
    pre_intervention_s: float,
    cameras: Sequence[str] = (),
) -> tuple[Case, ...]:
    """Cases in order of id.

    Raises:
        DataError: a shard cannot be read.
    """
    by_episode: dict[str, list[JournalEntry]] = defaultdict(list)
    for entry in entries:
        by_episode[entry.episode_id].append(entry)
    found = []
    for each in sorted(kept, key=lambda item: item.meta.episode_id):
        own = by_episode[each.meta.episode_id]
        source, stamps = np.asarray(store.rows(each, "source")), np.asarray(store.rows(each, "stamp_s"))
        frames = frames_of(each.meta, source, stamps, pre_intervention_s)
        basis, holds = outcome_basis(each.meta, own), effective(each.meta, own)
        start = np.array(store.rows(each, "state")[0])
        steps, limit = np.diff(stamps), HOLE * each.facts.period_s
        holes = tuple((np.flatnonzero(steps > limit) + 1).tolist()) if limit > 0 else ()
        found.append(Case(each, basis, holds, _stretches(frames), holes, start, *_reviewer(own), tuple(cameras)))
    return tuple(found)


def _stretches(frames: npt.NDArray[np.uint8]) -> tuple[tuple[int, int, Frame], ...]:
    found = [(begin, end, frame) for frame in Frame for begin, end in runs(frames == frame)]
    return tuple(sorted(found))


def _reviewer(entries: Sequence[JournalEntry]) -> tuple[Reviewer | None, str]:
    """The last word on the level that a person has said and that was not taken back; and what does not count."""
    gone = retracted_ids(entries)
    found: Reviewer | None = None
    ignored = ""
    for entry in entries:
        what = entry.what
        if not isinstance(what, PropertySet) or what.name != LEVEL_PROPERTY or entry.id in gone:
            continue
        level = what.value
        said = f"{entry.author} said {LEVEL_PROPERTY} {level}"
        if not entry.author.startswith(HUMAN):
            ignored = f"{said}, which is for people to say"
        elif level is None:
            found = None
        elif isinstance(level, bool) or level not in (0, 1, 2, 3, 4):
            ignored = f"{said}, which is no level: 0 (none) to 4"
        else:
            found = Reviewer(int(level), entry.author, what.reason)
    return found, ignored
