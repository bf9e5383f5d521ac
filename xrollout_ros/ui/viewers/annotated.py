"""A bag, and beside its own topics one that says what it was opened for: tags are given after a bag was closed."""

from __future__ import annotations

import heapq
import json
from collections.abc import Collection, Iterator
from functools import cached_property

from xrollout_ros.core.clock import NS
from xrollout_ros.episodes.journal_entry import Effective
from xrollout_ros.episodes.moment import Moment
from xrollout_ros.episodes.raw_bag import RawBag, RawMessage, RawTopic

OPENED_TOPIC = "/xrollout/opened"
_TEXTS = ("episode_id", "outcome", "outcome_reason", "failure", "stage", "evidence", "author", "why")
_NUMBERS = ("at_s", "severity", "confidence")
OPENED = RawTopic(
    name=OPENED_TOPIC,
    type_name="xrollout.Opened",
    message_encoding="json",
    schema_encoding="jsonschema",
    schema=json.dumps(
        {
            "title": "xrollout.Opened",
            "type": "object",
            "properties": {
                **{name: {"type": "string"} for name in _TEXTS},
                **{name: {"type": "number"} for name in _NUMBERS},
            },
        }
    ).encode(),
    latched=True,
    reliable=True,
)
"""Two messages: one at the bag's beginning, where ``failure`` is empty, and one at the moment, where it is the mode."""


class AnnotatedBag:
    """A bag with the topic :data:`OPENED_TOPIC`.

    Args:
        bag: the bag.
        moment: what it was opened for.
        effective: what bag and journal say of the episode; none for a foreign bag.
    """

    def __init__(self, bag: RawBag, moment: Moment, effective: Effective | None) -> None:
        self._bag = bag
        self._moment = moment
        self._effective = effective
        self.start_ns = bag.start_ns
        self.end_ns = bag.end_ns

    @property
    def topics(self) -> tuple[RawTopic, ...]:
        """The bag's own, and the one that is added."""
        return (*self._bag.topics, OPENED)

    def messages(self, start_ns: int = 0) -> Iterator[RawMessage]:
        """From ``start_ns`` on, in order."""
        own = [message for message in self._said if message.log_time_ns >= start_ns]
        return heapq.merge(self._bag.messages(start_ns), own, key=lambda message: message.log_time_ns)

    def last_before(self, time_ns: int, topics: Collection[str] | None = None) -> list[RawMessage]:
        """The newest of each topic that is older than ``time_ns``."""
        own = [message for message in self._said if message.log_time_ns < time_ns]
        wanted = own[-1:] if topics is None or OPENED_TOPIC in topics else []
        return sorted([*self._bag.last_before(time_ns, topics), *wanted], key=lambda message: message.log_time_ns)

    @cached_property
    def _said(self) -> list[RawMessage]:
        moment, failure = self._moment, self._moment.judgement
        effective, episode = self._effective, self._bag.episode
        before = {
            "episode_id": episode.meta.episode_id if episode is not None else "",
            "outcome": effective.outcome.value if effective is not None else "",
            "outcome_reason": effective.reason if effective is not None else "",
            "at_s": (self.start_ns - moment.origin_ns) / NS,
            **dict.fromkeys(("failure", "stage", "evidence", "author"), ""),
            "why": moment.why,
            "severity": 0.0,
            "confidence": 0.0,
        }
        at = {**before, "at_s": moment.at_s}
        if failure is not None:
            at |= {"failure": failure.mode, "stage": failure.stage, "evidence": failure.evidence}
            at |= {"author": failure.author, "severity": failure.severity, "confidence": failure.confidence}
        return [
            RawMessage(OPENED, self.start_ns, json.dumps(before).encode()),
            RawMessage(OPENED, moment.time_ns, json.dumps(at).encode()),
        ]
