"""Which attempts a run makes: keys in order, without those that were made before, some of them again; and a tally."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from xrollout_ros.core.episode import Result


@dataclass
class Tally:
    """What came of a run's attempts."""

    successes: int = 0
    helped: int = 0
    """Attempts of a policy in which an operator drove for a while; none of them is among the successes."""

    @classmethod
    def of(cls, results: Iterable[Result]) -> Tally:
        """What came of these attempts."""
        tally = cls()
        for result in results:
            tally.add(result)
        return tally

    def add(self, result: Result, attempts: int = 1) -> None:
        """Count an attempt; -1 attempts: it is taken back."""
        self.successes += attempts * result.success
        self.helped += attempts * result.helped

    def text(self, separator: str, attempts: int) -> str:
        """For people: ``3/5 succeeded, 1 helped`` for the separator ``/``."""
        helped = f", {self.helped} helped" if self.helped else ""
        return f"{self.successes}{separator}{attempts} succeeded{helped}"


class AttemptPlan:
    """The keys of a run's attempts, whole numbers: seeds, or places in a list of starts."""

    def __init__(self, first: int, total: int, made: Collection[int] = ()) -> None:
        """
        Args:
            first: key of the first attempt; the next ones count up.
            total: how many attempts there shall be in the end; 0: no end.
            made: keys of attempts that were made in an earlier run.
        """
        self.first, self.total = first, total
        self._made = frozenset(made)
        self._next = first
        self._again: deque[int] = deque()
        self._end = first + total
        self.number = len(self._made)
        """Attempts begun, those of the earlier run included and those that are made again not."""

    def next_key(self) -> int | None:
        """The key of the next attempt, which begins now; None: all are made."""
        if self._again:
            self.number += 1
            return self._again.popleft()
        while self._next in self._made:
            self._next += 1
        if self.total and self._next >= self._end:
            return None
        self.number += 1
        self._next += 1
        return self._next - 1

    def asked_for(self, key: int) -> int:
        """Somebody wants an attempt now: its key, the next one for -1."""
        if key >= 0:
            self.number += 1
            return key
        chosen = self.next_key()
        assert chosen is not None  # only a run without an end is asked
        return chosen

    def again(self, key: int) -> None:
        """The last attempt does not count: make it again."""
        self.number -= 1
        self._again.append(key)
