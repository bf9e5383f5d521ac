from __future__ import annotations

from collections.abc import Collection, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.clock import NS
from xrollout_ros.episodes.player import Phase, Player, Span, span_around
from xrollout_ros.episodes.raw_bag import RawMessage, RawTopic


def _topic(name: str) -> RawTopic:
    return RawTopic(name, "a/msg/B", "cdr", "ros2msg", b"", False, True)


class Tape:
    """A bag of messages at whole tenths of a second, from 10 to 20 s."""

    def __init__(self, names: Collection[str] = ("/a", "/b")) -> None:
        self.start_ns, self.end_ns = 10 * NS, 20 * NS
        self.all = [
            RawMessage(_topic(sorted(names)[index % len(names)]), self.start_ns + index * NS // 10, b"%d" % index)
            for index in range(101)
        ]

    def messages(self, start_ns: int = 0) -> Iterator[RawMessage]:
        return iter([message for message in self.all if message.log_time_ns >= start_ns])

    def last_before(self, time_ns: int, topics: Collection[str] | None = None) -> list[RawMessage]:
        newest = {
            message.topic.name: message
            for message in self.all
            if message.log_time_ns < time_ns and (topics is None or message.topic.name in topics)
        }
        return sorted(newest.values(), key=lambda message: message.log_time_ns)


class Steady:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_ns = 7 * NS

    def wall_ns(self) -> int:
        raise AssertionError("nobody may ask for the wall clock")

    def steady_ns(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS)


def _times(messages: list[RawMessage]) -> list[float]:
    return [message.log_time_ns / NS for message in messages]


def _player(
    tape: Tape, clock: Steady, begin_s: float = 12.0, end_s: float = 14.0, loop: bool = True, speed: float = 1.0
) -> Player:
    return Player(tape, Span(round(begin_s * NS), round(end_s * NS)), speed=speed, loop=loop, clock=clock)


def test_nothing_moves_before_play_but_what_was_said_last_is_there() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock)
    clock.pass_s(100)
    step = player.step()
    assert step.jumped
    assert _times(step.messages) == [11.8, 11.9]  # the newest of each of the two topics
    assert (player.phase, player.position_ns) == (Phase.PAUSED, 12 * NS)


def test_messages_come_when_they_are_due_and_at_the_speed_asked_for() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock, speed=2.0)
    player.play()
    assert _times(player.step().messages)[2:] == [12.0]
    clock.pass_s(0.1)
    assert _times(player.step().messages) == [12.1, 12.2]
    assert player.step().messages == []
    assert player.position_ns == round(12.2 * NS)


def test_the_span_is_played_again_and_again() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock)
    player.play()
    player.step()
    for _ in range(3):
        clock.pass_s(2.5)
        assert _times(player.step().messages)[-1] == 14.0  # not beyond the span
        again = player.step()
        assert again.jumped
        assert _times(again.messages) == [11.8, 11.9, 12.0]


def test_whoever_takes_the_controls_may_leave_the_span_and_then_it_ends() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock)
    player.play()
    player.step()
    player.control(playing=True, speed=1000.0, seek_ns=19 * NS)
    assert player.speed == 100.0
    assert player.step().jumped
    clock.pass_s(1)
    assert _times(player.step().messages)[-1] == 20.0
    assert (player.phase, player.position_ns) == (Phase.ENDED, 20 * NS)
    player.play()
    assert player.phase is Phase.ENDED  # there is nothing to go on with
    player.control(playing=True, speed=1.0, seek_ns=0)
    assert (player.phase, player.position_ns) == (Phase.PLAYING, 10 * NS)


def test_a_pause_keeps_its_place_and_a_late_client_gets_what_was_said_last() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock)
    player.play()
    clock.pass_s(0.55)
    player.step()
    player.control(playing=False, speed=1.0)
    clock.pass_s(60)
    assert player.step().messages == []
    assert player.position_ns == round(12.55 * NS)
    assert _times(player.latest("/a")) == [12.4]
    assert _times(player.latest("/b")) == [12.5]
    assert player.latest("/none") == []
    player.control(playing=True, speed=1.0)
    clock.pass_s(0.1)
    assert _times(player.step().messages) == [12.6]


def test_once_goes_on_to_the_end_of_the_bag() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock, loop=False)
    player.play()
    clock.pass_s(100)
    player.step()
    assert (player.phase, player.position_ns) == (Phase.ENDED, 20 * NS)


def test_a_span_of_no_length_is_not_looped() -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock, 20.0, 20.0)
    player.play()
    assert _times(player.step().messages)[-1] == 20.0
    assert player.phase is Phase.ENDED


@pytest.mark.parametrize(("given_speed", "used"), [(0.0, 0.01), (-5.0, 0.01), (1e9, 100.0), (float("nan"), 1.0)])
def test_a_speed_that_cannot_be_is_brought_into_range(given_speed: float, used: float) -> None:
    assert _player(Tape(), Steady(), speed=given_speed).speed == used


def test_the_span_stays_within_the_bag() -> None:
    tape = Tape()
    assert span_around(tape, 11 * NS, 3.0, 2.0) == Span(10 * NS, 13 * NS)
    assert span_around(tape, 20 * NS, 3.0, 2.0) == Span(17 * NS, 20 * NS)


@given(
    waits=st.lists(st.floats(0, 1.5), max_size=40),
    begin=st.floats(10, 19.9),
    speed=st.floats(0.1, 20),
    pauses=st.sets(st.integers(0, 39)),
)
def test_played_once_every_message_comes_once_and_in_order(
    waits: list[float], begin: float, speed: float, pauses: set[int]
) -> None:
    tape, clock = Tape(), Steady()
    player = _player(tape, clock, begin, 20.0, loop=False, speed=speed)
    came = player.step().messages
    before = len(came)
    player.play()
    for index, wait in enumerate(waits):
        if index in pauses:
            player.pause()
            player.play()
        clock.pass_s(wait)
        came += player.step().messages
    clock.pass_s(1000)
    came += player.step().messages
    begin_ns = round(begin * NS)
    assert came[before:] == [message for message in tape.all if message.log_time_ns >= begin_ns]
    assert all(message.log_time_ns < begin_ns for message in came[:before])
    assert player.phase is Phase.ENDED
