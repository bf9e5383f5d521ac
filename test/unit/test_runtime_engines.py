"""When the policy is asked, what its chunk goes on from, and what is discarded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xrollout_ros.core.chunk import ActionChunk, Observation
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.modes import Severity
from xrollout_ros.core.safety import SafetyLimits
from xrollout_ros.runtime.chunk_player import ChunkPlayer
from xrollout_ros.runtime.engines import ENGINES, make_engine
from xrollout_ros.runtime.engines.backoff import LONGEST_S, MOST_FAILURES, Backoff
from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.engines.plans import disagreement, rows_from, rows_played
from xrollout_ros.runtime.supervisor import Supervisor

from .policies import PERIOD_NS, Counting, observation
from .robots import DELTA, JOINTS


class FakeClock:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.now_ns = 0

    def wall_ns(self) -> int:
        return self.now_ns

    def steady_ns(self) -> int:
        return self.now_ns


def engine(name: str, policy: Counting, delay_steps: int = 0, clock: FakeClock | None = None) -> Engine:
    made = make_engine(name, policy, DELTA, delay_steps=delay_steps, clock=clock)
    made.begin("e", 0)
    return made


def answers(made: Engine, steps: int) -> list[ActionChunk]:
    return [made.answer(observation(step)) for step in range(steps)]


@pytest.mark.parametrize("name", ["sync", "rtc"])
def test_every_observation_is_answered_and_every_second_one_by_a_new_chunk(name: str) -> None:
    found = answers(engine(name, Counting()), 6)
    assert [len(answer.actions) for answer in found] == [4, 0, 4, 0, 4, 0]
    assert [answer.sequence for answer in found] == [0, 0, 1, 1, 2, 2]
    assert [answer.step for answer in found] == list(range(6))
    assert [answer.start_ns for answer in found[::2]] == [0, 2 * PERIOD_NS, 4 * PERIOD_NS]
    assert all(answer.prefix_length == 0 for answer in found)


def test_an_unknown_engine_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match=r"'warp'.*sync, rtc, temporal_ensembling"):
        make_engine("warp", Counting(), DELTA)


@pytest.mark.parametrize("name", ["sync", "rtc"])
def test_a_simulated_delay_releases_the_chunk_later_with_its_own_start(name: str) -> None:
    found = answers(engine(name, Counting(), 1), 4)
    assert [len(answer.actions) for answer in found] == [0, 4, 0, 4]
    # Nothing could be played while the first one was made: it begins when it is there.
    assert [found[1].start_ns, found[3].start_ns] == [PERIOD_NS, 2 * PERIOD_NS]
    assert [found[1].prefix_length, found[3].prefix_length] == [0, 1 if name == "rtc" else 0]


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_an_observation_that_comes_again_gets_the_same_answer(name: str) -> None:
    policy = Counting()
    made = engine(name, policy)
    first = made.answer(observation(0))
    assert made.answer(observation(0)) is first
    assert policy.asked == 1


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_an_attempt_begins_with_its_seed_and_sequence_zero(name: str) -> None:
    policy = Counting()
    made = make_engine(name, policy, DELTA)
    made.begin("a", 3)
    made.answer(observation(0, "a"))
    made.begin("b", 4)
    answer = made.answer(observation(0, "b"))
    assert (answer.sequence, answer.prefix_length) == (0, 0)
    assert policy.seeds == [3, 4]


@settings(deadline=None)
@given(
    name=st.sampled_from(sorted(ENGINES)),
    delay=st.integers(0, 10),
    horizon=st.integers(1, 12),
    execute=st.integers(1, 12),
)
def test_whatever_the_delay_chunks_keep_coming(name: str, delay: int, horizon: int, execute: int) -> None:
    made = engine(name, Counting(horizon, min(execute, horizon)), delay)
    found = answers(made, 60)
    came = [answer.step for answer in found if len(answer.actions)]
    assert came[0] == delay
    assert np.diff(came).max() <= max(delay, execute) + 1
    assert made.discarded == 0


@settings(deadline=None)
@given(delay=st.integers(0, 6), horizon=st.integers(2, 14), execute=st.integers(1, 7))
def test_what_is_played_while_the_policy_thinks_is_what_its_chunk_begins_with(
    delay: int, horizon: int, execute: int
) -> None:
    """The player goes from one chunk to the next without a jump: the frozen rows are those that it has played."""
    assume(delay < horizon)
    policy = Counting(horizon, min(execute, horizon))
    made, player = engine("rtc", policy, delay), ChunkPlayer(DELTA)
    played: dict[int, float] = {}
    asked_at: list[int] = []
    for step in range(50):
        asked = policy.asked
        answer = made.answer(observation(step))
        asked_at += [step] * (policy.asked - asked)
        if len(answer.actions):
            player.accept(answer)
            planned = asked_at[answer.sequence]
            for row in range(answer.prefix_length):
                assert answer.actions[row, 0] == played.get(planned + row)
            # Nothing that was played between goes unfrozen.
            assert answer.prefix_length >= sum(planned <= at < step for at in played)
        now = player.play(step * PERIOD_NS)
        if now is not None and not now.fading:
            played[step] = now.action[0]
    assert player.discarded == made.discarded == 0


@settings(deadline=None)
@given(
    name=st.sampled_from(["rtc", "sync"]),
    delay=st.integers(0, 20),
    horizon=st.integers(1, 12),
    execute=st.integers(1, 12),
)
def test_no_row_is_skipped_for_whose_time_the_robot_held(name: str, delay: int, horizon: int, execute: int) -> None:
    """Of a chunk, only as many rows count as past as were played meanwhile, however long it took."""
    policy = Counting(horizon, min(execute, horizon))
    made, player = engine(name, policy, delay), ChunkPlayer(DELTA)
    played: list[int] = []
    asked_at: list[int] = []
    for step in range(80):
        asked = policy.asked
        answer = made.answer(observation(step))
        asked_at += [step] * (policy.asked - asked)
        player.accept(answer)
        now = player.play(step * PERIOD_NS)
        if len(answer.actions):
            since = sum(asked_at[answer.sequence] <= at < step for at in played)
            assert (None if now is None or now.fading else now.index) == (since if since < horizon else None)
        if now is not None and not now.fading:
            played.append(step)
    # Also where an inference takes longer than a chunk lasts.
    assert len(played) > (80 - 2 * delay) * horizon / (2 * (horizon + delay))


def test_without_a_prefix_chunks_are_spliced_in_as_they_are() -> None:
    policy = Counting(conditioning="none")
    found = answers(engine("rtc", policy, 1), 8)
    assert policy.prefixes == [None] * policy.asked
    assert {answer.prefix_length for answer in found} == {0}


def real_time(made: Engine, clock: FakeClock, at: int, late_ns: int) -> ActionChunk:
    """An observation of time ``at``, whose answer is there ``late_ns`` after it."""
    clock.now_ns = at + late_ns
    return made.answer(Observation("e", 0, at, np.zeros(2)))


@pytest.mark.parametrize("name", ["rtc", "sync"])
def test_in_real_time_the_first_chunk_begins_when_it_is_there_and_the_next_at_its_observation(name: str) -> None:
    clock = FakeClock()
    made = engine(name, Counting(horizon=20, execute=5), clock=clock)
    late_ns = 3 * PERIOD_NS + 17
    first = real_time(made, clock, 0, late_ns)
    assert (first.stamp_ns, first.start_ns) == (0, late_ns), "stale or not is told by the stamp"
    second = real_time(made, clock, 6 * PERIOD_NS, 2 * PERIOD_NS)
    assert second.start_ns == 6 * PERIOD_NS
    # The second one ends at 26 periods; the robot holds from then on.
    third = real_time(made, clock, 24 * PERIOD_NS, 5 * PERIOD_NS)
    assert third.start_ns == (24 + 3) * PERIOD_NS


def test_as_many_rows_are_frozen_as_were_consumed_at_most_in_the_last_ten_inferences() -> None:
    clock, policy = FakeClock(), Counting(horizon=20, execute=5)
    made = engine("rtc", policy, clock=clock)
    assert made.frozen == 10, "half the horizon, before anything is known"
    delays = [1, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    frozen = []
    for number, delay in enumerate(delays):
        frozen.append(made.frozen)
        answer = real_time(made, clock, number * 5 * PERIOD_NS, delay * PERIOD_NS - 1)
        assert answer.prefix_length == (min(frozen[-1], 15) if number else 0)
    assert frozen == [10] * 10 + [3] * 2 + [2] + [1]


def test_a_chunk_that_consumed_more_than_it_froze_is_discarded_and_counted() -> None:
    clock, policy = FakeClock(), Counting(horizon=20, execute=5)
    made = engine("rtc", policy, clock=clock)
    step = 5 * PERIOD_NS
    for number in range(11):
        assert len(real_time(made, clock, number * step, PERIOD_NS).actions)
    assert made.frozen == 1
    late = real_time(made, clock, 11 * step, 3 * PERIOD_NS)
    assert (len(late.actions), made.discarded, made.frozen) == (0, 1, 3)
    after = real_time(made, clock, 12 * step, 3 * PERIOD_NS)
    assert (len(after.actions), after.prefix_length, made.discarded) == (20, 3, 1)
    # It goes on from the chunk that is in play, not from the discarded one.
    prefix = policy.prefixes[-1]
    assert prefix is not None
    assert prefix.actions[0, 0] == 11
    # With nothing left to play there is nothing to jump from.
    assert len(real_time(made, clock, 12 * step + 19 * PERIOD_NS, 60 * PERIOD_NS).actions) == 20


def test_a_chunk_that_the_supervisor_did_not_take_is_not_gone_on_from() -> None:
    clock, policy = FakeClock(), Counting(horizon=20, execute=5)
    made = engine("rtc", policy, clock=clock)
    for number in range(2):
        real_time(made, clock, number * 5 * PERIOD_NS, 1)
    begun, agrees = 5 * PERIOD_NS, made.frozen * PERIOD_NS
    made.played(0, begun + agrees)
    real_time(made, clock, 10 * PERIOD_NS, 1)
    assert policy.prefixes[-1] is not None
    assert policy.prefixes[-1].actions[-1, 0] == 2, "it may yet come"
    made.played(1, 10 * PERIOD_NS + agrees + 1)
    real_time(made, clock, 10 * PERIOD_NS + agrees + 2, 1)
    assert policy.prefixes[-1] is not None
    assert policy.prefixes[-1].actions[-1, 0] == 2, "the second chunk's: the third came too late"


def test_what_the_supervisor_consumed_counts_where_it_is_more() -> None:
    clock = FakeClock()
    made = engine("rtc", Counting(horizon=40, execute=5), clock=clock)
    for number in range(12):
        begun_ns = number * 5 * PERIOD_NS
        real_time(made, clock, begun_ns, 1)
        made.played(number, begun_ns + 3 * PERIOD_NS)
    assert made.frozen == 3


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_a_chunk_from_before_the_policy_got_control_is_discarded_and_not_gone_on_from(name: str) -> None:
    policy = Counting(horizon=12, execute=4)
    made = engine(name, policy, 2)
    answers(made, 5)
    before = policy.asked
    made.control_given(5 * PERIOD_NS)
    found = [made.answer(observation(step)) for step in range(5, 9)]
    assert [len(answer.actions) for answer in found[:2]] == [0, 0]
    [chunk] = [answer for answer in found if len(answer.actions)]
    assert chunk.start_ns >= 5 * PERIOD_NS
    assert chunk.prefix_length == 0
    assert made.discarded == 1
    assert set(chunk.actions[:, 0]) == {before + 1}


def test_control_given_at_the_very_observation_changes_nothing() -> None:
    told, untold = engine("rtc", Counting(), 1), engine("rtc", Counting(), 1)
    first = told.answer(observation(0)), untold.answer(observation(0))
    told.control_given(0)
    rest = [(told.answer(observation(step)), untold.answer(observation(step))) for step in range(1, 9)]
    for mine, other in [first, *rest]:
        assert np.array_equal(mine.actions, other.actions)


@settings(deadline=None)
@given(horizon=st.integers(1, 9), delay=st.integers(0, 3))
def test_ensembling_is_the_weighted_mean_of_all_chunks_that_reach_a_moment(horizon: int, delay: int) -> None:
    policy = Counting(horizon, 1)
    made = engine("temporal_ensembling", policy, delay)
    asked_at: list[int] = []
    begun: list[int] = []
    for step in range(20):
        before = policy.asked
        answer = made.answer(observation(step))
        if policy.asked > before:
            asked_at.append(step)
        if not len(answer.actions):
            continue
        planned = asked_at[answer.sequence]
        for row in range(horizon):
            reaching = [k for k, at in enumerate([*begun, planned]) if at + horizon > planned + row]
            weights = np.exp(-0.01 * np.arange(len(reaching)))
            mean = np.dot(weights, np.array(reaching) + 1) / weights.sum()
            assert answer.actions[row, 0] == pytest.approx(mean, rel=1e-5)
        begun.append(answer.start_ns // PERIOD_NS)


def test_scores_say_how_far_a_plan_disagrees_with_the_one_in_play() -> None:
    policy = Counting()
    policy.scores = {"ensemble_variance": 0.5}
    found = answers(engine("sync", policy), 3)
    assert found[0].scores == {"ensemble_variance": 0.5}
    assert found[2].scores == {"ensemble_variance": 0.5, "chunk_consistency": 1.0}
    assert found[1].scores == {}


def test_scores_of_an_engine_reach_the_detectors_that_a_robot_asks_for() -> None:
    alarms = [{"kind": "score", "score": "chunk_consistency", "threshold": 0.9, "severity": "hold"}]
    alarms.append({"kind": "score", "score": "ensemble_variance", "threshold": 0.6})
    spec = DELTA.model_copy(update={"safety": SafetyLimits.model_validate({"detectors": alarms})})
    policy = Counting()
    policy.scores = {"ensemble_variance": 0.5}
    made = make_engine("sync", policy, spec)
    made.begin("e", 0)
    supervisor = Supervisor(spec, stepped=True)
    supervisor.begin("e", has_policy=True, operator="")
    told = []
    for step in range(6):
        if step == 4:
            policy.scores = {"ensemble_variance": 0.7}
        supervisor.submit_chunk(made.answer(observation(step)))
        tick = supervisor.tick(step * PERIOD_NS, step)
        told += [(step, event.check, event.severity, event.value) for event in tick.events if event.began]
    alarmed = [each for each in told if each[1] in ("chunk_consistency", "ensemble_variance")]
    assert alarmed == [(2, "chunk_consistency", Severity.HOLD, 1.0), (4, "ensemble_variance", Severity.CLIP, 0.7)]


@settings(deadline=None)
@given(rows=st.integers(1, 6), other=st.integers(1, 6), shift=st.floats(-5, 5), skip=st.integers(0, 6))
def test_disagreement_is_0_for_identical_plans_and_grows_with_the_square(
    rows: int, other: int, shift: float, skip: int
) -> None:
    plan = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    scale = np.array([1.0, 1.0])
    same = disagreement(plan[:rows], plan[:other], scale, skip)
    apart = disagreement(plan[:rows] + np.float32(shift), plan[:other], scale, skip)
    if min(rows, other) <= skip:
        assert same is None is apart
        return
    assert same == 0
    assert apart == pytest.approx(shift**2, rel=1e-4, abs=1e-10)
    halved = disagreement(plan[:rows] + np.float32(shift), plan[:other], scale * 2, skip)
    assert halved == pytest.approx(shift**2 / 4, rel=1e-4, abs=1e-10)


def test_a_plan_read_between_its_rows_is_what_the_player_plays() -> None:
    actions = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
    chunk = ActionChunk("e", "p", 0, 0, 0, 0, 100, actions)
    smooth = np.array([dim.kind.interpolates for dim in JOINTS.actions])
    for start_ns, step in itertools.product((0, 30, 100, 170), range(3)):
        left = rows_from(chunk, start_ns, smooth)
        player = ChunkPlayer(JOINTS)
        player.accept(chunk)
        played = player.play(start_ns + step * 100)
        assert played is not None
        np.testing.assert_allclose(left[step, smooth], played.action[smooth], rtol=1e-5)
    assert len(rows_from(chunk, 600, smooth)) == len(rows_from(chunk, -1, smooth)) == 0
    assert len(rows_from(chunk, 501, smooth)) == 0


def test_rows_count_as_consumed_once_their_time_has_begun() -> None:
    assert [rows_played(1000, t_ns, 100) for t_ns in (0, 1000, 1001, 1100, 1101)] == [0, 0, 1, 1, 2]


@settings(deadline=None)
@given(times=st.lists(st.integers(0, 10**12), max_size=40))
def test_the_wait_after_a_failure_doubles_is_bounded_and_ends(times: list[int]) -> None:
    backoff, waits = Backoff(), []
    for number, t_ns in enumerate(times, 1):
        backoff.failed(t_ns)
        assert backoff.gave_up == (number >= MOST_FAILURES)
        assert not backoff.allows(t_ns)
        allowed = [s for s in (0.05, 0.1, 0.2, 0.4, 0.8, 1.0) if backoff.allows(t_ns + int(s * 1e9))]
        waits.append(min(allowed, default=9))
        assert backoff.allows(t_ns + int(LONGEST_S * 1e9)) == (not backoff.gave_up)
    assert waits[:4] == [0.05, 0.1, 0.2, 0.4][: len(waits[:4])]
    backoff.reset()
    assert backoff.allows(0)


def test_a_policy_that_fails_is_left_alone_for_a_while_and_given_up_until_the_next_attempt() -> None:
    policy = Counting()
    made = engine("rtc", policy)
    policy.fails = True
    tried = []
    for step in range(500):
        try:
            made.answer(observation(step))
        except ValueError:
            tried.append(step)
            assert len(made.failed(observation(step)).actions) == 0
    waits_s = np.diff(tried) * PERIOD_NS / 1e9
    assert len(tried) == MOST_FAILURES
    assert (np.diff(waits_s) > 0).all()
    assert made.backoff.gave_up
    policy.fails = False
    made.begin("next", 1)
    assert len(made.answer(observation(0, "next")).actions)
