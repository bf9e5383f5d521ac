"""The inference worker's thread, what happens when the policy fails, and loading another policy beside it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from xrollout_ros.core.chunk import ActionChunk
from xrollout_ros.runtime.engines import make_engine
from xrollout_ros.runtime.engines.deployment import Deployment
from xrollout_ros.runtime.engines.engine import Engine
from xrollout_ros.runtime.engines.worker import InferenceWorker

from .policies import Counting, observation
from .robots import DELTA

Answers = queue.Queue[ActionChunk]


@pytest.fixture
def answers() -> Answers:
    return queue.Queue()


def started(policy: Counting, answers: Answers) -> InferenceWorker:
    worker = InferenceWorker(lambda: make_engine("sync", policy, DELTA), answers.put)
    worker.start(10)
    return worker


def test_loading_warming_up_and_inference_happen_in_the_one_thread(answers: Answers) -> None:
    policy = Counting()
    worker = started(policy, answers)
    assert policy.asked > 0
    assert any(prefix is not None for prefix in policy.prefixes), "what a prefix needs is warm too"
    worker.submit(observation(0), 7)
    assert answers.get(timeout=5).step == 0
    assert policy.threads == {"inference"}
    assert policy.seeds[-1] == 7
    worker.stop()


def test_only_the_latest_observation_waits(answers: Answers) -> None:
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


def test_failures_are_counted_answered_with_nothing_new_and_told(answers: Answers) -> None:
    policy = Counting()
    worker = started(policy, answers)
    policy.fails = True
    worker.submit(observation(0), 0)
    answer = answers.get(timeout=5)
    assert (len(answer.actions), answer.step) == (0, 0)
    assert (worker.counts.errors, worker.counts.last_error) == (1, "ValueError: no idea")
    assert worker.problem == "ValueError: no idea"
    for step in range(100, 1000, 100):
        worker.submit(observation(step), 0)
        assert len(answers.get(timeout=5).actions) == 0
    assert worker.counts.errors == 5
    assert worker.problem == "given up after 5 failures in a row; the last: ValueError: no idea"
    policy.fails = False
    worker.submit(observation(0, "next"), 0)
    assert len(answers.get(timeout=5).actions) == 4
    assert worker.problem == ""
    worker.stop()


def test_what_loading_raises_comes_out_of_start() -> None:
    def load() -> Engine:
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        InferenceWorker(load, lambda _: None).start(10)


def test_a_policy_that_does_not_get_ready_is_a_timeout() -> None:
    gate = threading.Event()

    def load() -> Engine:
        gate.wait(10)
        return make_engine("sync", Counting(), DELTA)

    with pytest.raises(TimeoutError):
        InferenceWorker(load, lambda _: None).start(0.05)
    gate.set()


class Shelf:
    """Policies by file name, for a deployment to load."""

    def __init__(self, answers: Answers) -> None:
        self.policies = {name: Counting(policy_id=name) for name in "ABC"}
        self.deployment = Deployment(self._load, DELTA, answers.put)
        self.load("A")

    def _load(self, path: Path, expected_hash: str) -> Engine:
        if path.name not in self.policies:
            raise FileNotFoundError(path.name)
        return make_engine("rtc", self.policies[path.name], DELTA)

    def load(self, name: str) -> None:
        self.deployment.load(Path(name), "", 10)

    def ask(self, policy_id: str, step: int, answers: Answers) -> str:
        serving = self.deployment.serve(policy_id)
        assert serving is not None
        serving.worker.submit(observation(step), 0)
        return answers.get(timeout=5).policy_id


@pytest.fixture
def shelf(answers: Answers) -> Iterator[Shelf]:
    made = Shelf(answers)
    yield made
    made.deployment.stop()


def test_the_old_policy_drives_while_another_is_loaded_and_until_an_attempt_is_given_the_new_one(
    shelf: Shelf, answers: Answers
) -> None:
    deployment = shelf.deployment
    shelf.policies["B"].gate.clear()
    loading = threading.Thread(target=shelf.load, args=("B",))
    loading.start()
    assert shelf.ask("A", 0, answers) == "A"
    assert deployment.newest.info.policy_id == "A", "B is not warm"
    shelf.policies["B"].gate.set()
    loading.join(10)
    assert (deployment.current.info.policy_id, deployment.newest.info.policy_id) == ("A", "B")
    assert shelf.ask("A", 2, answers) == "A", "the attempt under way keeps its policy"
    assert shelf.ask("B", 4, answers) == "B"
    assert deployment.serve("A") is None
    assert deployment.current.info.policy_id == "B"


def test_a_policy_loaded_meanwhile_does_not_take_away_the_one_that_an_attempt_was_given(
    shelf: Shelf, answers: Answers
) -> None:
    shelf.load("B")
    shelf.load("C")
    assert shelf.deployment.newest.info.policy_id == "C"
    assert [shelf.ask(name, step, answers) for step, name in enumerate("ABBC")] == list("ABBC")


def test_the_same_policy_can_be_loaded_again(shelf: Shelf, answers: Answers) -> None:
    before = shelf.deployment.current
    shelf.load("A")
    assert shelf.ask("A", 0, answers) == "A"
    assert shelf.deployment.current is before, "not in the middle of an attempt"


def test_a_policy_that_cannot_be_loaded_changes_nothing(shelf: Shelf, answers: Answers) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        shelf.load("missing")
    assert shelf.deployment.newest.info.policy_id == "A"
    assert shelf.ask("A", 0, answers) == "A"


def test_what_is_loaded_while_all_ends_is_stopped(shelf: Shelf) -> None:
    shelf.deployment.stop()
    with pytest.raises(RuntimeError, match="shutting down"):
        shelf.load("B")
