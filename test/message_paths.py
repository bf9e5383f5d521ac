"""Whether message paths of a Foxglove layout lead to fields of recorded messages."""

from __future__ import annotations

import json
import re
from typing import Any

from rosbags.typesys import get_types_from_msg

from xrollout_ros.episodes.raw_bag import RawTopic

_BASE, _NAME, _ARRAY, _SEQUENCE = 1, 2, 3, 4
_PART = re.compile(r"\.(?P<field>\w+)|\[(?P<slice>-?\d*(?::-?\d*)?)\]|\{(?P<filter>\w+)==(?P<value>[^}]+)\}")


def resolve(path: str, topics: dict[str, RawTopic]) -> str:
    """What kind of value a path leads to, e.g. ``float64``; of a whole message its type.

    Raises:
        AssertionError: it leads nowhere.
    """
    name = re.match(r"[^.\[{]+", path)
    assert name is not None, path
    assert name[0] in topics, f"{path}: no topic {name[0]}"
    topic, rest = topics[name[0]], path[name.end() :]
    assert "".join(match[0] for match in _PART.finditer(rest)) == rest, f"{path} is not understood"
    if topic.schema_encoding == "jsonschema":
        return _in_json(path, rest, json.loads(topic.schema))
    types = get_types_from_msg(topic.schema.decode(), topic.type_name)
    kind: Any = (_NAME, topic.type_name)
    for match in _PART.finditer(rest):
        if match["slice"] is not None:
            assert kind[0] in (_ARRAY, _SEQUENCE), f"{path}: {match[0]} of what is no array"
            kind = kind[1][0]
            continue
        assert kind[0] == _NAME, f"{path}: {match[0]} of {kind}"
        fields = dict(types[kind[1]][1])
        wanted = match["field"] or match["filter"]
        assert wanted in fields, f"{path}: {kind[1]} has no {wanted}, but {', '.join(fields)}"
        if match["field"]:
            kind = fields[wanted]
    return str(kind[1][0]) if kind[0] == _BASE else str(kind[1])


def _in_json(path: str, rest: str, schema: Any) -> str:
    for match in _PART.finditer(rest):
        assert match["field"] in schema["properties"], f"{path}: no {match[0]}"
        schema = schema["properties"][match["field"]]
    return str(schema["type"])


def paths_of(layout: dict[str, Any]) -> dict[str, list[str]]:
    """The message paths of each panel that takes values, without reference lines, which are numbers."""
    found: dict[str, list[str]] = {}
    for name, config in layout["configById"].items():
        paths = [series["value"] for series in config.get("paths", [])]
        found[name] = [path for path in paths if path.startswith("/")]
        found[name] += [config[key] for key in ("topicPath", "topicToRender") if key in config]
    return found


def topics_of(layout: dict[str, Any]) -> list[str]:
    """The topics that are drawn: those of the 3D and image panels."""
    panels = layout["configById"].values()
    images = [config["imageMode"]["imageTopic"] for config in panels if config.get("imageMode")]
    return [topic for config in panels for topic in config.get("topics", {})] + images


def panels_shown(layout: dict[str, Any]) -> list[str]:
    """Names of the panels that the mosaic and its tabs show."""

    def below(node: Any) -> list[str]:
        if isinstance(node, str):
            tabs = layout["configById"][node].get("tabs", [])
            return [node, *(name for tab in tabs for name in below(tab["layout"]))]
        return below(node["first"]) + below(node["second"])

    return below(layout["layout"])
