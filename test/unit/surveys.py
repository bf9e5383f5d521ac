"""Surveys of graphs that never ran."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from xrollout_ros.runtime.survey import Endpoint, GraphSurvey, Heard, Stamps, TopicSurvey

IMAGE = "sensor_msgs/msg/Image"
JOINT_STATE = "sensor_msgs/msg/JointState"


def topic(
    name: str,
    kind: str,
    sample: Any = None,
    *,
    rate_hz: float = 50.0,
    stamps: Stamps | None = None,
    publisher: str = "/driver",
    subscriber: str = "",
    distinct: int | None = None,
) -> TopicSurvey:
    heard = None
    if sample is not None:
        heard = Heard(100, rate_hz, sample, stamps or Stamps(0.001, 0.002), distinct)
    return TopicSurvey(
        name,
        (Endpoint(publisher, kind),) if publisher else (),
        (Endpoint(subscriber, kind),) if subscriber else (),
        heard,
    )


def joint_states(*names: str, rate_hz: float = 50.0, **values: Any) -> TopicSurvey:
    sample = SimpleNamespace(name=list(names), position=[0.5] * len(names), velocity=[], effort=[])
    return topic("/joint_states", JOINT_STATE, sample, rate_hz=rate_hz, **values)


def picture(name: str, width: int = 640, height: int = 480, encoding: str = "rgb8", **values: Any) -> TopicSurvey:
    sample = SimpleNamespace(width=width, height=height, encoding=encoding)
    return topic(name, IMAGE, sample, distinct=60, **values)


def listened(name: str, kind: str, node: str = "/controller") -> TopicSurvey:
    return topic(name, kind, publisher="", subscriber=node)


def description(text: str) -> TopicSurvey:
    return topic("/robot_description", "std_msgs/msg/String", SimpleNamespace(data=text), rate_hz=0.0)


def graph(*topics: TopicSurvey, **values: Any) -> GraphSurvey:
    return GraphSurvey(7, "LOCALHOST", 5.0, {each.name: each for each in topics}, **values)
