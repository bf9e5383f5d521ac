"""When the thing happened that an episode is opened for."""

from __future__ import annotations

from dataclasses import dataclass

from xrollout_ros.core.clock import NS, nanoseconds
from xrollout_ros.core.episode import EpisodeKind, FailureJudgement, Outcome
from xrollout_ros.core.errors import BagError, DataError
from xrollout_ros.episodes.journal_entry import Effective
from xrollout_ros.episodes.raw_bag import RawBag
from xrollout_ros.episodes.reader import COMMAND_TOPIC, read_episode


@dataclass(frozen=True)
class Moment:
    """A moment of a bag, and why it is that one."""

    time_ns: int
    """As the bag's log times."""
    origin_ns: int
    """What moments count from: the attempt's first command, else the bag's beginning."""
    why: str
    """One line."""
    judgement: FailureJudgement | None = None
    """The failure that it is the moment of."""
    remarks: tuple[str, ...] = ()

    @property
    def at_s(self) -> float:
        """Since the attempt's first command."""
        return (self.time_ns - self.origin_ns) / NS

    def relative_s(self, time_ns: int) -> float:
        """Another time of the bag on the same scale."""
        return (time_ns - self.origin_ns) / NS


def moment_of(bag: RawBag, effective: Effective | None, at_s: float | None = None) -> Moment:
    """The moment that a person wants to see.

    It is the one that is asked for; else that of the failure that counts; else the end of an attempt that did not
    succeed; else the beginning.

    Args:
        bag: the bag.
        effective: what bag and journal say of the episode; none for a foreign bag.
        at_s: the one asked for, s since the attempt's first command.

    Raises:
        BagError: the bag is damaged.
        DataError: ``at_s`` is outside of the bag.
    """
    origin_ns, remarks = _origin(bag)
    if at_s is not None:
        asked_ns = origin_ns + nanoseconds(at_s)
        if not bag.start_ns <= asked_ns <= bag.end_ns:
            least, most = (bag.start_ns - origin_ns) / NS, (bag.end_ns - origin_ns) / NS
            raise DataError(
                f"the moment {at_s:g} s lies outside of the bag {bag.path}",
                f"It holds {least:.2f} to {most:.2f} s, counted from the attempt's first command.",
            )
        return Moment(asked_ns, origin_ns, "as asked for", None, remarks)
    if bag.episode is None or effective is None:
        return Moment(bag.start_ns, origin_ns, "the beginning of a bag that is no episode of XRollout", None, remarks)
    if effective.judgements:
        return _of_failure(bag, effective.judgements[0], origin_ns, remarks)
    outcome, reason = effective.outcome, f": {effective.reason}" if effective.reason else ""
    said = f"{outcome.value}, said by {effective.source.value}{reason}"
    kind = bag.episode.meta.kind
    if outcome in (Outcome.FAILURE, Outcome.ABORT) and kind.counts:
        return Moment(bag.end_ns, origin_ns, f"the end of an attempt that nobody has explained ({said})", None, remarks)
    what = kind.value if kind is EpisodeKind.CLIP else f"{kind.value} ({said})"
    return Moment(bag.start_ns, origin_ns, f"the beginning of the {what}", None, remarks)


def _of_failure(bag: RawBag, failure: FailureJudgement, origin_ns: int, remarks: tuple[str, ...]) -> Moment:
    stage = f" in {failure.stage}" if failure.stage else ""
    why = f"{failure.mode}{stage}: {failure.evidence} (said by {failure.author}, confidence {failure.confidence:.2f})"
    said_ns = origin_ns + nanoseconds(failure.moment_s)
    time_ns = min(max(said_ns, bag.start_ns), bag.end_ns)
    # What was drained after the last command is in the bag too; what is further off was never in it.
    if abs(time_ns - said_ns) > NS // 10:
        remarks += (f"the moment told, {failure.moment_s:.2f} s, lies outside of the bag",)
    return Moment(time_ns, origin_ns, why, failure, remarks)


def _origin(bag: RawBag) -> tuple[int, tuple[str, ...]]:
    """Log time of the first command that counts, as the reader and the tagger count; and what is to be said of it."""
    if bag.episode is None:
        return bag.start_ns, ()
    try:
        first_ns = read_episode(bag.path, allow_empty=True).start_ns
    except BagError as error:
        return bag.start_ns, (f"its commands cannot be read, so times count from the bag's beginning ({error.what})",)
    for command in bag.episode.messages([COMMAND_TOPIC]) if first_ns else ():
        stamp = command.message.stamp
        if stamp.sec * NS + stamp.nanosec >= first_ns:
            return command.log_time_ns, ()
    return bag.start_ns, ()
