"""What happened in a deployment beside success and failure: help, safety, losses; as its bags' manifests tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from xrollout_ros.episodes.records import Record
from xrollout_ros.ui.deployment import Help, Loss, Safety


def help_in(records: Sequence[Record]) -> tuple[Help, ...]:
    """What operators did in the policy's place, by operator."""
    helped = [record for record in records if record.result.helped]
    found = []
    for operator in sorted({span.operator for record in helped for span in record.meta.interventions}):
        own = [each for each in helped if any(span.operator == operator for span in each.meta.interventions)]
        spans = [span for each in own for span in each.meta.interventions if span.operator == operator]
        driven_s = sum(span.end_s - span.begin_s for span in spans)
        found.append(
            Help(
                operator=operator,
                takeovers=len(spans),
                seconds=driven_s,
                episodes=tuple(each.meta.episode_id for each in own),
            )
        )
    return tuple(found)


def safety_in(records: Sequence[Record]) -> tuple[Safety, ...]:
    """Checks that struck, the gravest first."""
    events = [(event, record) for record in records for event in record.meta.safety_events if event.began]
    found = []
    for check, severity in dict.fromkeys((event.check, event.severity) for event, _ in events):
        own = [each for each in events if (each[0].check, each[0].severity) == (check, severity)]
        episodes = tuple(dict.fromkeys(record.meta.episode_id for _, record in own))
        name = severity.name.lower()
        found.append((severity, Safety(check=check, severity=name, times=len(own), first=own[0][0], episodes=episodes)))
    return tuple(each for _, each in sorted(found, key=lambda each: (-int(each[0]), -each[1].times)))


def losses_in(records: Sequence[Record]) -> tuple[Loss, ...]:
    """Topics of which messages are missing, the worst first."""
    received: Counter[str] = Counter()
    lost: dict[str, dict[str, int]] = {}
    for record in records:
        for topic, count in record.meta.topics.items():
            received[topic] += count.received
            if count.lost:
                lost.setdefault(topic, {})[record.meta.episode_id] = count.lost
    found = [
        Loss(
            topic=topic,
            received=received[topic],
            lost=sum(own.values()),
            episodes=tuple(sorted(own, key=lambda name: -own[name])),
        )
        for topic, own in lost.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.lost, each.topic)))
