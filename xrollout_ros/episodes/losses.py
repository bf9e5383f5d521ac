"""How many messages of a topic never came, told from what their writer numbered and when their sensor took them."""

from __future__ import annotations

from dataclasses import dataclass

_LATE_PERIODS = 1.5
"""A gap in the stamps longer than this many periods has room for a message; shorter ones are jitter."""


@dataclass
class LossCounter:
    """Of one topic.

    One writer's sequence numbers are exact. With several writers, whose numbers cannot be told apart, or none, what is
    left are the header stamps of a topic whose rate the RobotSpec names: a gap of more than one and a half periods
    counts as the messages that had room in it. A sensor may never have sent them, but they are missing from the bag
    all the same; a driver slower than its spec shows as losses throughout. Without a rate nothing can be known.
    """

    one_writer: bool
    """As is expected; :attr:`several` says what was seen."""
    period_ns: int | None = None
    """By the RobotSpec; None: it names no rate, or the stamps are of a simulation that keeps its own."""
    several: bool = False
    """More than one writer was seen since the bag began."""
    _sequence: int = 0
    _stamp_ns: int = 0

    def begin(self) -> None:
        """A bag begins: the gap before its first stamp is not its loss."""
        self._stamp_ns, self.several = 0, False

    def missing(self, sequence: int | None, stamp_ns: int | None) -> int:
        """Messages missing between the last one and this one.

        Args:
            sequence: the writer's number of it; None: not known.
            stamp_ns: its header stamp; None: it has none.
        """
        by_stamp = self._by_stamp(stamp_ns)
        if sequence is None or self.several or not self.one_writer:
            return by_stamp
        return self._by_sequence(sequence)

    def _by_sequence(self, sequence: int) -> int:
        last, self._sequence = self._sequence, sequence
        # A number that is not larger than the last is a restarted writer's.
        return sequence - last - 1 if sequence > last > 0 else 0

    def _by_stamp(self, stamp_ns: int | None) -> int:
        if self.period_ns is None or stamp_ns is None or stamp_ns <= 0:
            return 0
        last, self._stamp_ns = self._stamp_ns, max(stamp_ns, self._stamp_ns)
        periods = (stamp_ns - last) / self.period_ns if last else 0.0
        return round(periods) - 1 if periods > _LATE_PERIODS else 0
