"""Messages, services, actions and topics, from their definitions and the comments in these."""

from __future__ import annotations

from pathlib import Path

from docs.making.markdown import block, code, prose, table
from docs.making.source import ROOT
from xrollout_ros.graph.topics import OWN, SYSTEM, resolve

PARTS = {"srv": ("request", "answer"), "action": ("goal", "result", "feedback"), "msg": ("",)}
TITLES = {"msg": "Messages", "srv": "Services", "action": "Actions"}


def topics() -> str:
    """The topics of the graph, and those of any robot that are recorded too."""
    rows = [[code(resolve(each.name)), _link(each.type), each.qos] for each in OWN]
    other = [[code(each.name), _link(each.type), each.qos] for each in SYSTEM]
    return (
        table(["topic", "type", "QoS"], rows)
        + "\nRecorded too, where somebody publishes them:\n\n"
        + table(["topic", "type", "QoS"], other)
    )


def interfaces() -> str:
    """All definitions."""
    out = []
    for kind, title in TITLES.items():
        out.append(f"## {title}\n")
        out += [_one(path, kind) for path in sorted((ROOT / kind).glob(f"*.{kind}"))]
    return "\n".join(out)


def _one(path: Path, kind: str) -> str:
    out = [f"(interface-{path.stem.lower()})=", f"### {path.stem}\n"]
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    heading = []
    while lines and lines[0].startswith("#"):
        heading.append(lines.pop(0).lstrip("# "))
    out += [prose(" ".join(heading)) + "\n", block(f"xrollout/{kind}/{path.stem}")]
    for name, part in zip(PARTS[kind], "\n".join(lines).split("\n---"), strict=True):
        if name:
            out.append(f"*{name}*\n")
        fields = [_field(line) for line in part.splitlines() if line.strip() and not line.startswith("#")]
        out.append(table(["field", "type", "meaning"], fields) if fields else "Nothing.\n")
    return "\n".join(out)


def _field(line: str) -> list[str]:
    definition, _, comment = line.partition("#")
    kind, name = definition.split(maxsplit=1)
    return [code(name.strip()), code(kind), prose(comment)]


def _link(kind: str) -> str:
    package, _, name = kind.rpartition("/")
    return f"[{code(kind)}](#interface-{name.lower()})" if package.startswith("xrollout/") else code(kind)
