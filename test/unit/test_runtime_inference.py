"""When the policy is asked, in which thread, and what happens when it fails."""

from __future__ import annotations

import queue
import threading

import numpy as np
import numpy.typing as npt
import pytest

from xrollout_ros.core.chunk import ActionChunk, Array, Observation
from xrollout_ros.core.ports import PolicyInfo
from xrollout_ros.runtime.inference import ChunkPlanner, InferenceWorker

from .robots import DELTA

PERIOD_NS = DELTA.policy_period_ns


class Counting:
    """A policy whose chunk says how often it was asked; it can be made to wait or to fail."""

    info = PolicyInfo("p", "hash", DELTA.id, "task", horizon=4, execute=2, state_dim=2, action_dim=2)

    def __init__(self) -> None:
        self.asked = 0
        self.seeds: list[int] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def predict(self, state: Array) -> npt.NDArray[np.float32]:
        self.gate.wait(10)
        self.threads.add(threading.current_thread().name)
        if self.fails:
            raise ValueError("no idea")
        self.asked += 1
        return np.full((4, 2), self.asked, dtype=np.float32)


def observation(step: int, episode: str = "e") -> Observation:
    return Observation(episode, step, step * PERIOD_NS, np.zeros(2))


def test_every_observation_is_answered_and_every_second_one_by_a_new_chunk() -> None:
    planner = ChunkPlanner(Counting(), DELTA)
    planner.begin("e", 0)
    answers = [planner.answer(observation(step)) for step in range(6)]
    assert [len(answer.actions) for answer in answers] == [4, 0, 4, 0, 4, 0]
    assert [answer.sequence for answer in answers] == [0, 0, 1, 1, 2, 2]
    assert [answer.step for answer in answers] == list(range(6))
    assert [answer.start_ns for answer in answers[::2]] == [0, 2 * PERIOD_NS, 4 * PERIOD_NS]


def test_a_simulated_delay_releases_the_chunk_later_with_its_own_start() -> None:
    planner = ChunkPlanner(Counting(), DELTA, delay_steps=1)
    planner.begin("e", 0)
    answers = [planner.answer(observation(step)) for step in range(4)]
    assert [len(answer.actions) for answer in answers] == [0, 4, 0, 4]
    assert [answers[1].start_ns, answers[3].start_ns] == [0, 2 * PERIOD_NS]


def test_an_observation_that_comes_again_gets_the_same_answer() -> None:
    policy = Counting()
    planner = ChunkPlanner(policy, DELTA)
    planner.begin("e", 0)
    first = planner.answer(observation(0))
    assert planner.answer(observation(0)) is first
    assert policy.asked == 1


def test_an_attempt_begins_with_its_seed_and_sequence_zero() -> None:
    policy = Counting()
    planner = ChunkPlanner(policy, DELTA)
    planner.begin("a", 3)
    planner.answer(observation(0, "a"))
    planner.begin("b", 4)
    assert planner.answer(observation(0, "b")).sequence == 0
    assert policy.seeds == [3, 4]


@pytest.fixture
def answers() -> queue.Queue[ActionChunk]:
    return queue.Queue()


def started(policy: Counting, answers: queue.Queue[ActionChunk]) -> InferenceWorker:
    worker = InferenceWorker(lambda: ChunkPlanner(policy, DELTA), answers.put)
    worker.start(10)
    return worker


def test_loading_warming_up_and_inference_happen_in_the_one_thread(answers: queue.Queue[ActionChunk]) -> None:
    policy = Counting()
    worker = started(policy, answers)
    assert policy.asked > 0
    worker.submit(observation(0), 7)
    assert answers.get(timeout=5).step == 0
    assert policy.threads == {"inference"}
    assert policy.seeds[-1] == 7
    worker.stop()


def test_only_the_latest_observation_waits(answers: queue.Queue[ActionChunk]) -> None:
    policy = Counting()
    worker = started(policy, answers)
    policy.gate.clear()
    worker.submit(observation(0), 0)
    worker.submit(observation(1), 0)
    worker.submit(observation(2), 0)
    policy.gate.set()
    seen = [answers.get(timeout=5).step]
    while seen[-1] != 2:
        seen.append(answers.get(timeout=5).step)
    assert worker.counts.skipped == 3 - len(seen)
    assert len(seen) < 3
    worker.stop()


def test_an_exception_of_the_policy_is_counted_and_answered_with_nothing_new(
    answers: queue.Queue[ActionChunk],
) -> None:
    policy = Counting()
    worker = started(policy, answers)
    policy.fails = True
    worker.submit(observation(0), 0)
    answer = answers.get(timeout=5)
    assert (len(answer.actions), answer.step) == (0, 0)
    assert (worker.counts.errors, worker.counts.last_error) == (1, "ValueError: no idea")
    policy.fails = False
    worker.submit(observation(1), 0)
    assert answers.get(timeout=5).step == 1
    worker.stop()


def test_what_loading_raises_comes_out_of_start() -> None:
    def load() -> ChunkPlanner:
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        InferenceWorker(load, lambda _: None).start(10)


def test_a_policy_that_does_not_get_ready_is_a_timeout() -> None:
    gate = threading.Event()

    def load() -> ChunkPlanner:
        gate.wait(10)
        return ChunkPlanner(Counting(), DELTA)

    with pytest.raises(TimeoutError):
        InferenceWorker(load, lambda _: None).start(0.05)
    gate.set()
