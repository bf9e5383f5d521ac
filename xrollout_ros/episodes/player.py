"""Plays a bag: which of its messages are due now, from where, how fast, and how it goes on at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import Enum
from typing import NamedTuple, Protocol

from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.episodes.raw_bag import RawMessage

SLOWEST, FASTEST = 0.01, 100.0
_AT_ONCE = 500
"""Messages handed out in one go, so that a pause is not waited for long."""


class Playable(Protocol):
    """What the player needs of a bag: that of :class:`xrollout_ros.episodes.raw_bag.RawBag`."""

    @property
    def start_ns(self) -> int:
        """First log time."""
        ...

    @property
    def end_ns(self) -> int:
        """Last log time."""
        ...

    def messages(self, start_ns: int = 0) -> Iterator[RawMessage]:
        """From ``start_ns`` on."""
        ...

    def last_before(self, time_ns: int, topics: Collection[str] | None = None) -> list[RawMessage]:
        """The newest of each topic."""
        ...


class Phase(Enum):
    """What the player is doing."""

    PLAYING = "playing"
    PAUSED = "paused"
    ENDED = "ended"


class Span(NamedTuple):
    """What is played, ns as the bag's log times."""

    begin_ns: int
    end_ns: int


class Step(NamedTuple):
    """What is due."""

    messages: list[RawMessage]
    """After a jump first what was last said of each topic before."""
    jumped: bool
    """The time went elsewhere than on since the step before."""


class Player:
    """Plays a bag at a speed, from any moment on.

    It is paused at first. With ``loop`` it plays a span again and again until somebody takes the controls
    (:meth:`control`); then, and without ``loop``, it plays to the bag's end and stays there.

    Args:
        bag: what to play.
        span: the stretch that is looped; its begin is where it starts.
        speed: s of the bag in one second.
        loop: whether it is played again and again.
        clock: gives steady time.
    """

    def __init__(self, bag: Playable, span: Span, *, speed: float, loop: bool, clock: Clock) -> None:
        self._bag = bag
        self._span = span
        self._loop = loop and span.end_ns > span.begin_ns
        self._clock = clock
        self.speed = _bounded(speed)
        self.phase = Phase.PAUSED
        self._since_ns = 0
        self._pending: RawMessage | None = None
        self._jumped = True
        self._seek(span.begin_ns)

    @property
    def position_ns(self) -> int:
        """The bag's time that is reached."""
        if self.phase is not Phase.PLAYING:
            return self._from_ns
        passed_ns = self._clock.steady_ns() - self._since_ns
        return min(self._from_ns + int(passed_ns * self.speed), self._stop_ns)

    @property
    def _stop_ns(self) -> int:
        return self._span.end_ns if self._loop else self._bag.end_ns

    def play(self) -> None:
        """Go on; at the end of the bag there is nothing to go on with."""
        if self.phase is Phase.PAUSED:
            self._since_ns = self._clock.steady_ns()
            self.phase = Phase.PLAYING

    def pause(self) -> None:
        """Stay where it is."""
        if self.phase is Phase.PLAYING:
            self._from_ns = self.position_ns
            self.phase = Phase.PAUSED

    def control(self, *, playing: bool, speed: float, seek_ns: int | None = None) -> None:
        """Somebody has taken the controls: from now on nothing is looped.

        Args:
            playing: play or pause.
            speed: s of the bag in one second; brought within 0.01 to 100.
            seek_ns: where to go; brought within the bag. None: nowhere.
        """
        self.pause()
        self._loop = False
        self.speed = _bounded(speed)
        if seek_ns is not None:
            self._seek(max(self._bag.start_ns, min(seek_ns, self._bag.end_ns)))
        if playing:
            self.play()

    def step(self) -> Step:
        """What has become due since the last step.

        Raises:
            BagError: the bag is damaged.
        """
        jumped, self._jumped = self._jumped, False
        due = self._bag.last_before(self._from_ns) if jumped else []
        position_ns = self.position_ns
        if self.phase is Phase.PLAYING:
            while len(due) < _AT_ONCE:
                message = self._next()
                if message is None or message.log_time_ns > position_ns:
                    self._pending = message
                    break
                due.append(message)
            else:
                return Step(due, jumped)
            if position_ns >= self._stop_ns:
                self._at_end()
        return Step(due, jumped)

    def latest(self, topic: str) -> list[RawMessage]:
        """What was last said of a topic: for somebody who comes late."""
        return self._bag.last_before(self.position_ns + 1, [topic])

    def _next(self) -> RawMessage | None:
        if self._pending is not None:
            message, self._pending = self._pending, None
            return message
        return next(self._messages, None)

    def _at_end(self) -> None:
        if self._loop:
            self._seek(self._span.begin_ns)
            self.phase = Phase.PAUSED
            self.play()
        else:
            self._from_ns = self._stop_ns
            self.phase = Phase.ENDED

    def _seek(self, time_ns: int) -> None:
        if self.phase is Phase.ENDED:
            self.phase = Phase.PAUSED
        self._from_ns = time_ns
        self._messages = self._bag.messages(time_ns)
        self._pending = None
        self._jumped = True


def _bounded(speed: float) -> float:
    return min(max(speed, SLOWEST), FASTEST) if speed == speed else 1.0


def span_around(bag: Playable, moment_ns: int, before_s: float, after_s: float) -> Span:
    """The stretch of a bag around a moment.

    Args:
        bag: it is brought within this.
        moment_ns: log time.
        before_s: how much before the moment.
        after_s: how much after it.
    """
    begin_ns = max(bag.start_ns, moment_ns - round(before_s * NS))
    return Span(begin_ns, min(bag.end_ns, moment_ns + round(after_s * NS)))
