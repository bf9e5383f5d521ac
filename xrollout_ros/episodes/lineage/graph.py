"""Nodes and links of the lineage, and the walk from one of them, both ways. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

NOT_HERE = "its checkpoint is not here: --models FILE|DIR tells what it was made from"
"""Of a policy of which nothing but its episodes is known."""


class Kind(str, Enum):
    """What a node is."""

    EPISODE = "episode"
    CLIP = "clip"
    POLICY = "policy"
    DATASET = "dataset"


class Direction(str, Enum):
    """Which way to walk."""

    BACK = "came from"
    ON = "led to"


class Ref(NamedTuple):
    """Names a node."""

    kind: Kind
    id: str
    """ULID of an episode, clip or policy; SHA-256 of a dataset's rows."""


@dataclass(frozen=True)
class Node:
    """What is known of one thing."""

    ref: Ref
    facts: dict[str, Any] = field(default_factory=dict)
    """By name, in the order worth showing; empty ones are left out."""
    missing: str = ""
    """Why no more is known of it, and what to do; empty: it is there."""


@dataclass(frozen=True)
class Links:
    """Nodes that one is linked to in the same way."""

    how: str
    """Read from the node to these: ``trained from``."""
    refs: Sequence[Ref]
    """Those that lead further come first."""
    total: int
    """May be more than there are in ``refs``."""


class Source(Protocol):
    """Knows something of the lineage; the catalog, say, or what training keeps. New kinds come with a new source."""

    def node(self, ref: Ref) -> Node | None:
        """What it knows of a node; None: nothing."""
        ...

    def links(self, ref: Ref, direction: Direction, most: int | None) -> Iterable[Links]:
        """Where a node leads; of each sort not more than ``most``."""
        ...


@dataclass
class Branch:
    """A node on the walk, and where it leads."""

    node: Node
    how: str = ""
    """How the node before is linked to it; empty at the root."""
    again: bool = False
    """It stands elsewhere in the tree already, with what follows."""
    branches: list[Branch] = field(default_factory=list)
    more: dict[str, int] = field(default_factory=dict)
    """How many were left out, by how they are linked."""


class Sources:
    """Several sources as one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def node(self, ref: Ref) -> Node:
        """What is known of a node: the first source that has it, and the others' facts besides."""
        found = [node for source in self._sources if (node := source.node(ref)) is not None]
        facts: dict[str, Any] = {}
        for node in found:
            facts |= {
                name: value for name, value in node.facts.items() if name not in facts and value not in ("", None)
            }
        there = any(not node.missing for node in found)
        missing = "" if there else next((node.missing for node in found), "nothing is known of it here")
        return Node(ref, facts, missing)

    def links(self, ref: Ref, direction: Direction, most: int | None) -> list[Links]:
        """Where it leads, each sort once."""
        merged: dict[str, Links] = {}
        for each in (links for source in self._sources for links in source.links(ref, direction, most)):
            before = merged.get(each.how, Links(each.how, [], 0))
            refs = list(dict.fromkeys([*before.refs, *each.refs]))
            total = max(before.total, each.total, len(refs))
            if total:
                merged[each.how] = Links(each.how, refs if most is None else refs[:most], total)
        return list(merged.values())


def walk(sources: Sources, root: Ref, direction: Direction, most: int | None = None) -> Branch:
    """All that a node came from, or led to, as a tree.

    Each node is followed once, where it stands nearest to the root, so that the walk ends whatever the links say.

    Args:
        sources: what is known.
        root: where to begin.
        direction: which way.
        most: of each sort of link not more than so many; None: all.
    """
    top = Branch(sources.node(root))
    followed = {root}
    ahead = deque([top])
    while ahead:
        branch = ahead.popleft()
        for links in sources.links(branch.node.ref, direction, most):
            shown = links.refs[:most]
            for ref in shown:
                child = Branch(sources.node(ref), links.how, again=ref in followed)
                branch.branches.append(child)
                if ref not in followed:
                    followed.add(ref)
                    ahead.append(child)
            if links.total > len(shown):
                branch.more[links.how] = links.total - len(shown)
    return top
