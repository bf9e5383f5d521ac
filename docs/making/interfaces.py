"""Messages, services, actions and topics, from their definitions and the comments in these."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.making.markdown import block, code, prose, table
from docs.making.source import ROOT, modules
from xrollout_ros.graph.topics import OWN, SYSTEM, resolve

PARTS = {"srv": ("request", "answer"), "action": ("goal", "result", "feedback"), "msg": ("",)}
_OFFERS = ("create_service", "PolledService", "SlowService", "ActionServer")
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


def services() -> str:
    """The services and actions of the graph, from where they are offered; nodes' own parameters and states aside."""
    rows = {name: kind for _, module in modules("graph") for name, kind in _offered(module)}
    return table(["service", "type"], [[code(resolve(name)), _link(rows[name])] for name in sorted(rows)])


def _offered(module: ast.Module) -> list[tuple[str, str]]:
    """Name and type of what a module offers."""
    packages = {
        alias.asname or alias.name: node.module.replace(".", "/")
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith((".srv", ".action"))
        for alias in node.names
    }
    found = []
    for node in ast.walk(module):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in _OFFERS:
            continue
        kinds = [packages[each.id] for each in node.args if isinstance(each, ast.Name) and each.id in packages]
        names = [each.id for each in node.args if isinstance(each, ast.Name) and each.id in packages]
        titles = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if kinds and titles:
            found.append((titles[0], f"{kinds[0]}/{names[0]}"))
    return found


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
