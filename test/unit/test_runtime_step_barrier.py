"""The stepped drive's barrier."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.chunk import ActionChunk, OperatorAction
from xrollout_ros.core.modes import Source
from xrollout_ros.runtime.step_barrier import StepBarrier


def chunk(step: int, episode: str = "e") -> ActionChunk:
    return ActionChunk(episode, "p", 0, step, 10 * step, 10 * step, 10, np.zeros((0, 2), dtype=np.float32))


def operated(step: int, episode: str = "e") -> OperatorAction:
    return OperatorAction(episode, "anna", step, 10 * step, np.zeros(2))


def begun(*, policy: bool = True, operator: bool = False) -> StepBarrier:
    barrier = StepBarrier()
    barrier.begin("e", policy=policy, operator=operator)
    return barrier


def test_a_step_is_due_once_and_again_when_it_is_answered_again() -> None:
    barrier = begun()
    assert barrier.take() is None
    barrier.answer(Source.POLICY, chunk(0))
    due = barrier.take()
    assert due is not None
    assert (due.step, due.stamp_ns, due.again) == (0, 0, False)
    assert barrier.take() is None
    barrier.answer(Source.POLICY, chunk(0))
    again = barrier.take()
    assert again is not None
    assert again.again
    barrier.answer(Source.POLICY, chunk(1))
    following = barrier.take()
    assert following is not None
    assert not following.again
    assert barrier.stamp_ns == 10


def test_it_waits_for_everyone_who_must_answer_the_same_step() -> None:
    barrier = begun(operator=True)
    barrier.answer(Source.POLICY, chunk(0))
    assert barrier.take() is None
    barrier.answer(Source.OPERATOR, operated(1))
    assert barrier.take() is None
    barrier.answer(Source.OPERATOR, operated(0))
    due = barrier.take()
    assert due is not None
    assert [type(answer) for answer in due.answers.values()] == [ActionChunk, OperatorAction]


def test_an_answer_may_come_before_its_attempt_and_a_strangers_never_counts() -> None:
    barrier = StepBarrier()
    barrier.answer(Source.POLICY, chunk(0))
    assert barrier.take() is None
    barrier.begin("e", policy=True, operator=False)
    assert barrier.take() is not None
    barrier.begin("next", policy=True, operator=False)
    barrier.answer(Source.POLICY, chunk(0))
    assert barrier.take() is None


def test_a_step_out_of_turn_is_not_due() -> None:
    barrier = begun()
    barrier.answer(Source.POLICY, chunk(3))
    assert barrier.take() is None


def test_nobody_who_must_answer_means_no_ticks() -> None:
    barrier = begun(policy=False)
    barrier.answer(Source.POLICY, chunk(0))
    assert barrier.take() is None


def test_it_waits_for_the_measurements_of_the_same_moment() -> None:
    barrier = StepBarrier(["/joint_states"])
    barrier.begin("e", policy=True, operator=False)
    barrier.answer(Source.POLICY, chunk(0))
    assert barrier.take() is None
    barrier.measured("/joint_states", 0)
    assert barrier.take() is not None
    barrier.answer(Source.POLICY, chunk(1))
    assert barrier.take() is None
    barrier.measured("/joint_states", 10)
    assert barrier.take() is not None


def test_while_an_operator_drives_their_answers_are_awaited_too() -> None:
    barrier = begun()
    barrier.answer(Source.OPERATOR, operated(7))
    barrier.answer(Source.POLICY, chunk(0))
    assert barrier.take() is not None
    barrier.await_also([Source.OPERATOR])
    barrier.answer(Source.POLICY, chunk(1))
    assert barrier.take() is None
    barrier.answer(Source.OPERATOR, operated(1))
    due = barrier.take()
    assert due is not None
    assert [type(answer) for answer in due.answers.values()] == [ActionChunk, OperatorAction]
    barrier.await_also([])
    barrier.answer(Source.POLICY, chunk(2))
    assert barrier.take() is not None


def test_two_policies_chunks_are_told_apart_and_the_recoverys_is_awaited_while_it_drives() -> None:
    barrier = begun()
    barrier.answer(Source.RECOVERY, chunk(0))
    assert barrier.take() is None
    barrier.answer(Source.POLICY, chunk(0))
    due = barrier.take()
    assert due is not None
    assert list(due.answers) == [Source.POLICY]
    barrier.await_also([Source.RECOVERY])
    barrier.answer(Source.POLICY, chunk(1))
    assert barrier.take() is None, "what it answered to step 0 does not count"
    barrier.answer(Source.RECOVERY, chunk(1))
    due = barrier.take()
    assert due is not None
    assert list(due.answers) == [Source.POLICY, Source.RECOVERY]
