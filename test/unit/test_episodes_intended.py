"""While control is passed on, training goes by what the operator commanded; what was sent stays what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.core.modes import Mode, Source
from xrollout_ros.episodes.intended import TELEOP_TOPIC, intended_actions
from xrollout_ros.episodes.reader import read_episode

from .conftest import time_of

HANDOVER, TELEOP = Mode.HANDOVER, Mode.TELEOP
PERIOD_NS = 12_500_000


def record(bags: Any, modes: list[Mode], operator: list[list[float] | None], **said: Any) -> Path:
    """A bag in which all that is sent is damped to a tenth, with what the operator commanded beside it."""
    meta = bags.meta(policy_id="p", outcome="success")
    with bags.open(meta=meta) as writer:
        for step, (mode, action) in enumerate(zip(modes, operator, strict=True)):
            stamp_ns = 10**9 + step * PERIOD_NS
            bags.observe(writer, np.zeros(14), stamp_ns, stamp_ns)
            if action is not None:
                bags.add(writer, TELEOP_TOPIC, "xrollout/msg/TeleopCommand")
                values = {"episode_id": meta.episode_id, "enabled": True, "step": step, **said}
                message = bags.messages.cdr(
                    "xrollout/msg/TeleopCommand", stamp=time_of(stamp_ns), action=action, **values
                )
                writer.write(TELEOP_TOPIC, message, stamp_ns)
            sent = [0.1, 0.1, 0.1, -1.0]
            bags.command(writer, meta, sent, stamp_ns, stamp_ns, step=step, mode=int(mode), source=int(Source.OPERATOR))
        return writer.close(meta).path


def test_a_ramp_is_not_what_the_operator_wanted(bags: Any) -> None:
    wanted = [[0.5, -0.5, 9.0, 1.0]] * 3
    episode = read_episode(record(bags, [HANDOVER, HANDOVER, TELEOP], wanted))
    found = intended_actions(episode)
    assert found[0].tolist() == [0.5, -0.5, 1.0, -1.0], "within the limits; the gripper as it was sent"
    assert np.array_equal(found[1], found[0])
    assert np.array_equal(found[2], episode.action[2]), "once the operator drives, what was sent is what was wanted"
    assert np.allclose(episode.action[0], [0.1, 0.1, 0.1, -1.0])


def test_what_the_operator_commanded_long_before_is_not_taken(bags: Any) -> None:
    late = 30
    episode = read_episode(record(bags, [HANDOVER] * late, [[0.5, 0.5, 0.5, 0.0], *[None] * (late - 1)]))
    found = intended_actions(episode)[:, 0]
    assert np.allclose(found[:21], 0.5)
    assert np.allclose(found[21:], 0.1)


def test_where_nothing_is_known_of_the_operator_it_stays_as_it_was_sent(bags: Any) -> None:
    paths = (
        record(bags, [HANDOVER] * 2, [None, None]),
        record(bags, [HANDOVER] * 2, [[0.5, 0.5, 0.5, 0.0]] * 2, enabled=False),
        record(bags, [HANDOVER] * 2, [[0.5, 0.5, 0.5, 0.0]] * 2, episode_id="another"),
        record(bags, [HANDOVER] * 2, [[np.nan, 0.5, 0.5, 0.0]] * 2),
    )
    for path in paths:
        episode = read_episode(path)
        assert np.array_equal(intended_actions(episode), episode.action)
