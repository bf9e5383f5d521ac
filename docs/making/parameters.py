"""The arguments of the graphs and the parameters of their nodes, as tables."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from docs.making.markdown import code, prose, table
from docs.making.source import PACKAGE, constants, evaluate, tree
from xrollout_ros.graph.arguments import ARGUMENTS

DECLARE = "declare_parameter"
NODES = ("policy", "recovery_policy", "supervisor", "teleop", "recorder", "uploader", "tagger", "sim_robot", "manager")
_BASES = {
    "policy": ("node", "inference"), "recovery_policy": ("node", "inference"), "supervisor": ("node",),
    "teleop": ("node",), "recorder": ("node",), "tagger": ("node",), "sim_robot": ("node",),
}  # fmt: skip
"""The modules of ``graph/`` in which what a node builds on is declared."""
_SAME = {"cameras": "camera", "url": "upload", "mbit": "upload_mbit"}
"""Parameters that are arguments of another name."""
_OWN = {
    "acting": "control and temperature of the policy, as JSON, kept with each episode",
    "flywheel": "folder of the flywheel",
    "model_hash": "SHA-256 that the checkpoint must have; empty: any",
    "nodes": "names of the nodes that the manager brings up, comma-separated",
    "private_log": "folder of what the simulator alone knows, for tests and benchmarks",
    "queue_mib": "most memory for messages that wait for the disk, MiB",
    "recovery_hash": "SHA-256 of the recovery policy's checkpoint",
    "recovery_policy": "id of the recovery policy; empty: none",
    "run": "id of the run, kept with each episode",
    "terminal": "the terminal that the keyboard is read from",
}
"""What only the starters give."""


def arguments() -> str:
    """The arguments of each graph."""
    out = []
    for graph, found in ARGUMENTS.items():
        out += [f"## {graph}\n", f"`xrollout up {graph}`, `ros2 launch xrollout {graph}.launch.py`\n"]
        rows = [
            [code(each.name), _type(each.default), code(each.default) if each.default else "–", prose(each.help)]
            for each in found
        ]
        out.append(table(["argument", "type", "default", "meaning"], rows))
    return "\n".join(out)


def nodes() -> str:
    """The parameters of each node."""
    out = []
    for node in NODES:
        rows = [
            [code(name), type(default).__name__, code(str(default)) if default != "" else "–", meaning(name)]
            for name, default in declared(node).items()
        ]
        out += [f"### {node}\n", table(["parameter", "type", "default", "meaning"], rows)]
    return "\n".join(out)


def declared(node: str) -> dict[str, Any]:
    """Name and default of each parameter that a node declares."""
    found: dict[str, Any] = {}
    for module in (*(f"{base}.py" for base in _BASES.get(node, ())), f"nodes/{node}.py"):
        parsed = tree(PACKAGE / "graph" / module)
        known = constants(parsed)
        found |= dict(_declarations(parsed, known))
    return found


def meaning(name: str) -> str:
    """What a parameter means, as the argument of its name says, or as only starters know.

    Raises:
        KeyError: nothing says it; describe it here.
    """
    for graph in ARGUMENTS.values():
        for each in graph:
            if each.name == _SAME.get(name, name):
                return prose(each.help)
    return _OWN[name]


def _declarations(parsed: ast.Module, known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for node in ast.walk(parsed):
        if isinstance(node, ast.For) and any(map(_declares, node.body)):
            values = evaluate(node.iter, known)
            assert values is not None, f"line {node.lineno}: {ast.unparse(node.iter)} is not known without ROS"
            for value in values:
                bound = {ast.unparse(node.target): value}
                if isinstance(node.target, ast.Tuple):
                    bound = {ast.unparse(each): part for each, part in zip(node.target.elts, value, strict=True)}
                yield from (_pair(each, known | bound) for each in node.body if _declares(each))
        elif isinstance(node, ast.FunctionDef):
            yield from (_pair(each, known) for each in node.body if _declares(each))


def _declares(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == DECLARE


def _pair(node: ast.stmt, known: dict[str, Any]) -> tuple[str, Any]:
    assert isinstance(node, ast.Expr)
    assert isinstance(node.value, ast.Call)
    name, default = (evaluate(each, known) for each in node.value.args)
    assert name is not None, f"line {node.lineno}: the parameter's name is not known without ROS"
    assert default is not None, f"line {node.lineno}: the default of {name} is not known without ROS"
    return name, default


def _type(default: str) -> str:
    """What kind of text an argument takes, as its default tells."""
    if default in ("true", "false"):
        return "true or false"
    try:
        float(default)
    except ValueError:
        return "text"
    return "number"
