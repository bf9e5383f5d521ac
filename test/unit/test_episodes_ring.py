"""The ring: its bounds, its count, and what a tap gets of it."""

from __future__ import annotations

import threading
from collections import deque

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xrollout_ros.core.clock import NS
from xrollout_ros.core.errors import SpecError
from xrollout_ros.episodes.ring import ENTRY_BYTES, Kept, Ring, Tap


def everything(tap: Tap) -> list[Kept]:
    """The backlog and what has come since."""
    return [*tap.backlog(), *tap.take(0.0)]


def numbers(messages: list[Kept]) -> list[int]:
    return [int.from_bytes(kept.cdr[:4], "little") for kept in messages]


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(4, "little") + bytes(size - 4)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is slow in drawing too
@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(-2 * NS, 5 * NS)), max_size=60),
    st.integers(1, 12_000),
    st.floats(0.001, 20),
)
def test_the_byte_count_is_exact_under_eviction_of_any_size(
    messages: list[tuple[int, int]], capacity: int, keep_s: float
) -> None:
    ring = Ring(keep_s, capacity)
    now_ns, seen, too_large = 100 * NS, [], 0
    for size, later_ns in messages:
        now_ns += later_ns
        ring.add("/a", bytes(size), now_ns)
        too_large += size + ENTRY_BYTES > capacity
        seen.append((size, now_ns))
        assert ring.check()
        assert 0 <= ring.bytes <= capacity
    assert ring.too_large == too_large
    kept = ring.tap(-(10**18)).backlog()
    assert sum(message.size for message in kept) == ring.bytes
    # What is there are the newest: a run at the end of all that fit.
    fitting = [item for item in seen if item[0] + ENTRY_BYTES <= capacity]
    tail = fitting[len(fitting) - len(kept) :]
    assert [(len(message.cdr), message.log_time_ns) for message in kept] == tail
    if tail:
        newest_ns = max(time_ns for _, time_ns in fitting)
        assert tail[0][1] >= newest_ns - round(keep_s * NS)


@pytest.mark.parametrize(("keep_s", "capacity"), [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (1, 0)])
def test_bounds_must_be_positive(keep_s: float, capacity: int) -> None:
    with pytest.raises(SpecError, match="ring's"):
        Ring(keep_s, capacity)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["message", "tap", "end", "take"]), max_size=80), st.integers(1, 6))
def test_overlapping_taps_get_each_message_once(steps: list[str], reach: int) -> None:
    ring = Ring(float(reach), 10**9)
    taps: list[tuple[Tap, int, list[int]]] = []
    now = 100
    for step in steps:
        if step == "message":
            now += 1
            ring.add("/a", number(now), now * NS)
        elif step == "tap":
            tap = ring.tap((now - reach) * NS)
            first = max(101, now - reach)
            taps.append((tap, first, numbers(list(tap.backlog()))))
        elif step == "end" and taps:
            if taps[-1][0].until_ns is None:
                taps[-1][0].end(now * NS)
        elif taps:
            taps[-1][2].extend(numbers(taps[-1][0].take(0.0)))
    for tap, first, got in taps:
        got.extend(numbers(tap.take(0.0)))
        last = now if tap.until_ns is None else tap.until_ns // NS
        assert got == list(range(first, last + 1))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_taps_one_after_another_share_no_message_and_miss_none(spans: list[int]) -> None:
    ring = Ring(1e6, 10**9)
    now, last_ns, got = 0, -1, []
    for number_of_span, span in enumerate(spans):
        tap = ring.tap((now - 3) * NS, after_ns=last_ns)
        entries = list(tap.backlog())
        for _ in range(span):
            now += 1
            ring.add("/a", number(now), now * NS)
        last_ns = now * NS
        tap.end(last_ns)
        now += number_of_span % 4
        ring.add("/a", number(now), now * NS) if number_of_span % 4 else None
        got += numbers([*entries, *tap.take(0.0)])
        ring.untap(tap)
    assert got == sorted(set(got))


def test_a_slow_taker_is_bounded_and_its_losses_are_counted() -> None:
    ring = Ring(10.0, 10**9)
    tap = ring.tap(0, capacity_bytes=10 * (1000 + ENTRY_BYTES))
    for value in range(25):
        ring.add("/a", number(value, 1000), value)
    assert numbers(tap.take(0.0)) == list(range(10))
    assert tap.dropped == {"/a": 15}
    ring.add("/a", number(99, 1000), 99)
    assert numbers(tap.take(0.0)) == [99]


def test_a_message_larger_than_the_ring_pushes_nothing_out() -> None:
    ring = Ring(10.0, 3 * (100 + ENTRY_BYTES))
    for value in range(3):
        ring.add("/a", number(value, 100), value)
    tap = ring.tap(0)
    ring.add("/big", bytes(5000), 4)
    assert (ring.too_large, ring.messages) == (1, 3)
    assert [kept.topic for kept in everything(tap)] == ["/a", "/a", "/a", "/big"]  # a tap gets it all the same


def test_latched_samples_in_force_at_the_begin_are_known() -> None:
    ring = Ring(1000.0, 10 * ENTRY_BYTES + 50)
    ring.add("/state", b"old", 1 * NS, latched=True)
    ring.add("/static", b"tf", 2 * NS, latched=True)
    for value in range(3, 12):
        ring.add("/a", b"", value * NS)
    ring.add("/state", b"new", 12 * NS, latched=True)
    tap = ring.tap(11 * NS)
    got = tap.backlog()
    assert [kept.topic for kept in got] == ["/a", "/state"]
    assert tap.standing == {"/state": b"old", "/static": b"tf"}
    later = ring.tap(13 * NS)
    assert not later.backlog()
    assert later.standing == {"/state": b"new", "/static": b"tf"}


def video(ring: Ring, values: range, every: int) -> None:
    for value in values:
        ring.add("/video", number(value), value * NS, keyframe=value % every == 0)
        ring.add("/a", number(value), value * NS)


def frames(messages: list[Kept] | deque[Kept], topic: str = "/video") -> list[int]:
    return numbers([kept for kept in messages if kept.topic == topic])


def test_a_video_begins_at_the_keyframe_before() -> None:
    ring = Ring(100.0, 10**9)
    video(ring, range(10, 30), every=5)
    got = everything(ring.tap(22 * NS))
    assert frames(got) == list(range(20, 30))
    assert frames(got, "/a") == list(range(22, 30))


def test_a_video_whose_keyframe_has_gone_begins_at_the_next() -> None:
    ring = Ring(8.0, 10**9)
    video(ring, range(10, 30), every=5)  # the ring reaches back to 21
    assert frames(everything(ring.tap(20 * NS))) == list(range(25, 30))
    ring = Ring(3.0, 10**9)
    video(ring, range(10, 20), every=10)  # no keyframe is left
    tap = ring.tap(0)
    video(ring, range(20, 23), every=10)
    got = everything(tap)
    assert frames(got) == [20, 21, 22]
    assert frames(got, "/a") == list(range(16, 23))


def test_a_video_goes_on_where_the_tap_before_ended() -> None:
    ring = Ring(100.0, 10**9)
    video(ring, range(10, 23), every=10)
    first = ring.tap(12 * NS)
    got = everything(first)
    first.end(22 * NS)
    assert frames(got) == list(range(10, 23))
    video(ring, range(23, 28), every=10)
    second = everything(ring.tap(26 * NS, after_ns=22 * NS))
    assert frames(second) == [23, 24, 25, 26, 27]  # without 23 to 25 nobody could decode 26
    assert frames(second, "/a") == [26, 27]


def test_images_that_are_encoded_late_are_not_older_than_wanted() -> None:
    ring = Ring(100.0, 10**9)
    ring.add("/a", number(30), 30 * NS)
    tap = ring.tap(17 * NS)
    video(ring, range(10, 20), every=5)
    got = everything(tap)
    assert frames(got) == [15, 16, 17, 18, 19]
    assert frames(got, "/a") == [30, 17, 18, 19]
    ring = Ring(100.0, 10**9)
    video(ring, range(10, 12), every=5)
    tap = ring.tap(13 * NS)
    entries = tap.backlog()
    video(ring, range(12, 15), every=5)
    assert frames([*entries, *tap.take(0.0)]) == [10, 11, 12, 13, 14]  # the keyframe was in the ring already


def test_a_video_that_lost_an_image_goes_on_at_the_next_keyframe() -> None:
    ring = Ring(100.0, 10**9)
    tap = ring.tap(0, capacity_bytes=4 * (4 + ENTRY_BYTES))
    tap.backlog()
    for value in range(10, 15):
        ring.add("/video", number(value), value * NS, keyframe=value % 10 == 0)
    assert numbers(tap.take(0.0)) == [10, 11, 12, 13]
    for value in range(15, 22):
        ring.add("/video", number(value), value * NS, keyframe=value % 10 == 0)
        assert numbers(tap.take(0.0)) == ([value] if value >= 20 else [])
    assert tap.dropped == {"/video": 6}


def test_threads_that_add_while_taps_come_and_go_lose_nothing() -> None:
    ring = Ring(1e6, 10**9)
    count = 3000

    def add(topic: str) -> None:
        for value in range(count):
            ring.add(topic, number(value), value + 1)

    threads = [threading.Thread(target=add, args=(f"/{name}",)) for name in range(3)]
    for thread in threads:
        thread.start()
    taps = [ring.tap(0) for _ in range(20)]
    for thread in threads:
        thread.join()
    for tap in taps:
        got = everything(tap)
        for name in range(3):
            assert frames(got, f"/{name}") == list(range(count))
    assert ring.check()
