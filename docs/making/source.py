"""Reads the package's source without running it: modules, constants, what they say of themselves."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import xrollout_ros

PACKAGE = Path(xrollout_ros.__file__).resolve().parent
ROOT = PACKAGE.parent


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def modules(folder: str = "") -> Iterator[tuple[str, ast.Module]]:
    """Dotted name and syntax tree of each module of the package, or of a part of it."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        yield ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)), tree(path)


def constants(module: ast.Module) -> dict[str, Any]:
    """The values of a module's names that can be known without ROS: what it imports from the package, its constants."""
    known: dict[str, Any] = {}
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE.name):
            known |= _imported(node)
        name, value = _assigned(node)
        if name and value is not None:
            found = evaluate(value, known)
            if found is not None:
                known[name] = found
    return known


def evaluate(node: ast.expr, known: dict[str, Any]) -> Any:
    """The value of an expression of constants and known names; None: it can't be known."""
    try:
        return eval(compile(ast.Expression(node), "<constant>", "eval"), {"__builtins__": {}}, known)  # noqa: S307
    except Exception:
        return None


def _imported(node: ast.ImportFrom) -> dict[str, Any]:
    try:
        module = importlib.import_module(node.module or "")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(PACKAGE.name):
            raise
        return {}  # ROS or PyTorch, which may be missing
    return {alias.asname or alias.name: getattr(module, alias.name, None) for alias in node.names}


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None
