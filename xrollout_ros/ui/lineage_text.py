"""The lineage as a tree in the terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.text import Text
from rich.tree import Tree

from xrollout_ros.episodes.lineage.api import Walk
from xrollout_ros.episodes.lineage.graph import Branch, Direction, Kind, Node

SHORT_HASH = 12
STYLES = {Kind.EPISODE: "cyan", Kind.CLIP: "magenta", Kind.POLICY: "green", Kind.DATASET: "yellow"}
_HASHES = ("checkpoint",)
_NOT_SHOWN = ("bag", "file")


def name_of(node: Node) -> str:
    """Its id, short where it is a hash."""
    return node.ref.id[:SHORT_HASH] if node.ref.kind is Kind.DATASET else node.ref.id


def facts_of(node: Node) -> list[str]:
    """What is worth showing of a node, most telling first."""
    shown = []
    for name, value in node.facts.items():
        if name in _NOT_SHOWN or value in ("", None):
            continue
        if name in _HASHES:
            shown.append(str(value)[:SHORT_HASH])
        elif name in ("drove", "trained", "recorded"):
            shown.append(f"{name} {value}")
        else:
            shown.append(f"{value} {name}" if isinstance(value, int) else str(value))
    return shown


def tree(walk: Walk) -> Tree:
    """Both ways as one tree."""
    top = Tree(_label(walk.came_from, root=True), guide_style="dim")
    for direction, branch in ((Direction.BACK, walk.came_from), (Direction.ON, walk.led_to)):
        if branch.branches:
            _grow(top.add(Text(direction.value, style="bold")), branch)
        else:
            end = "from nothing that is known" if direction is Direction.BACK else "to nothing yet"
            top.add(Text(f"{direction.value.split()[0]} {end}", style="dim"))
    return top


def _grow(top: Tree, branch: Branch) -> None:
    for child in branch.branches:
        _grow(top.add(_label(child)), child)
    for how, count in branch.more.items():
        top.add(Text(f"… {how} {count} more; --all shows them", style="dim"))


def _label(branch: Branch, *, root: bool = False) -> Text:
    node = branch.node
    label = Text()
    if branch.how:
        label.append(f"{branch.how} ", style="dim")
    label.append(f"{node.ref.kind.value} ", style=STYLES[node.ref.kind])
    label.append(name_of(node), style="bold" if root else "")
    if branch.again:
        label.append(" (as elsewhere in this tree)", style="dim")
        return label
    if facts := facts_of(node):
        label.append(f"  {', '.join(facts)}", style="dim")
    if node.missing:
        label.append(f"  ({node.missing})", style="yellow")
    return label


def as_json(walk: Walk) -> dict[str, Any]:
    """Nodes and links; a link leads from what was there first to what came of it."""
    nodes: dict[tuple[str, str], dict[str, Any]] = {}
    links: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for direction, top in ((Direction.BACK, walk.came_from), (Direction.ON, walk.led_to)):
        for branch in _all(top):
            ref = branch.node.ref
            nodes.setdefault(ref, {"kind": ref.kind.value, "id": ref.id, **_plain(branch.node)})
            left_out += [
                {"of": list(ref), "direction": direction.value, "how": how, "count": count}
                for how, count in branch.more.items()
            ]
            for child in branch.branches:
                ends = [list(child.node.ref), list(ref)]
                older, newer = ends if direction is Direction.BACK else ends[::-1]
                links.append({"from": older, "to": newer, "how": child.how, "direction": direction.value})
    root = walk.root
    return {
        "root": {"kind": root.kind.value, "id": root.id},
        "nodes": list(nodes.values()),
        "links": links,
        "left_out": left_out,
    }


def _plain(node: Node) -> dict[str, Any]:
    facts = {name: value for name, value in node.facts.items() if value not in ("", None)}
    return {"facts": facts, "missing": node.missing}


def _all(branch: Branch) -> Iterator[Branch]:
    ahead = [branch]
    while ahead:
        yield (here := ahead.pop())
        ahead += reversed(here.branches)
