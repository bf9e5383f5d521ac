"""Every error that the code can tell, with its remedy: the texts where they are raised, what varies as ``…``."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from docs.making.markdown import code, prose
from docs.making.source import ROOT, constants, evaluate, modules, tree

SLOT = "…"
AREAS = {
    "core": "Specs, names, files",
    "runtime": "Driving: policies, operators, checks",
    "episodes": "Bags, catalog, uploads",
    "mining": "Failures, reviews, labels, plans",
    "learning": "Datasets, pyramid, training, checkpoints",
    "sim": "Simulated robots",
    "cycle": "Comparisons, flywheel, gates",
    "graph": "The graph",
    "ui": "Commands, reports, dashboard",
    "setup": "Setting up",
}
"""Parts of the package, and the scripts behind ``make``."""
_BASE = "XRolloutError"
_LINE = ("UsageError", "BadParameter", "BadOptionUsage")
_PREFIX, _WHAT, _REMEDY = ("state",), ("what", "reason"), ("remedy", "next_step")


@dataclass(frozen=True)
class Entry:
    """One error."""

    area: str
    module: str
    kind: str
    what: str
    """The text with ``…`` for what varies."""
    remedy: str
    """Empty: the text says it all; ``…`` alone: it depends on the case."""
    exit_code: int

    @property
    def anchor(self) -> str:
        """Where it stands on its page; the same as long as its text is."""
        return f"error-{hashlib.sha256(self.what.encode()).hexdigest()[:10]}"


@cache
def entries() -> tuple[Entry, ...]:
    """All errors, each text once."""
    found: dict[str, Entry] = {}
    for entry in (*_of_package(), *_of_setup()):
        if len(re.sub(r"[^A-Za-z]", "", entry.what)) >= 4:
            known = found.get(entry.what)
            if known is None or (entry.remedy and not known.remedy):
                found[entry.what] = entry
    return tuple(found.values())


def errors(area: str) -> str:
    """The errors of one part, module by module."""
    out, last = [], ""
    for entry in (each for each in entries() if each.area == area):
        if entry.module != last:
            out.append(f"## {_title(entry.module)}\n")
            last = entry.module
        remedy = prose(entry.remedy) or "The text itself says what to do."
        if entry.remedy == SLOT:
            remedy = "What to do is told below it, for the case at hand."
        out += [f"({entry.anchor})=", f"{code(entry.what)}\n: {remedy} *Exit code {entry.exit_code}.*\n"]
    return "\n".join(out)


def areas() -> str:
    """The pages, with how many errors each has."""
    counts = {area: sum(entry.area == area for entry in entries()) for area in AREAS}
    return "\n".join(f"- [{title}](errors/{area}.md): {counts[area]}" for area, title in AREAS.items()) + "\n"


def for_search() -> str:
    """The errors as a script, for the box that looks for a text that was pasted."""
    found = [
        {"what": each.what, "remedy": each.remedy, "at": f"errors/{each.area}.html#{each.anchor}"} for each in entries()
    ]
    return f"window.XROLLOUT_ERRORS = {json.dumps(found, ensure_ascii=False)};\n"


def _title(module: str) -> str:
    path = ROOT / f"{module.replace('.', '/')}.py"
    first = (ast.get_docstring(tree(path)) or module).partition("\n")[0]
    return prose(re.split(r"(?<=[a-z`])[.:;] ", first + " ")[0].rstrip(". "))


@cache
def _classes() -> dict[str, tuple[int, tuple[str, ...]]]:
    """Exit code, and names of the arguments, of each class of errors."""
    nodes = {
        node.name: node
        for _, module in modules()
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }

    def described(name: str) -> tuple[int, tuple[str, ...]] | None:
        node = nodes.get(name)
        if node is None:
            return None
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        inherited = next(filter(None, map(described, bases)), None)
        if inherited is None and name != _BASE:
            return None
        exit_code, names = inherited or (1, ())
        for each in node.body:
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "exit_code":
                exit_code = ast.literal_eval(each.value)
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                names = tuple(argument.arg for argument in each.args.args[1:])
        return exit_code, names

    return {name: found for name in nodes if (found := described(name)) is not None}


def _of_package() -> Iterator[Entry]:
    classes = _classes()
    for name, module in modules():
        area = name.split(".")[1]
        known = constants(module)
        for call, within in _calls(module):
            kind = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            exit_code, names = classes.get(kind, (2, ("what",)) if kind in _LINE else (0, ()))
            if not names:
                continue
            given = dict(zip(names, call.args, strict=False)) | {each.arg or "": each.value for each in call.keywords}
            texts = {name: _text(node, known, within) for name, node in given.items()}
            what = ": ".join(texts[each] for wanted in (_PREFIX, _WHAT) for each in wanted if texts.get(each))
            remedy = next((texts[each] for each in _REMEDY if each in texts), "").replace(f"{SLOT}.", SLOT)
            if kind in _LINE:
                remedy = "`--help` after the command tells what is allowed."
            yield Entry(area if area in AREAS else "graph", name, kind, what, remedy, exit_code)


def _of_setup() -> Iterator[Entry]:
    for path in sorted((ROOT / "tools").glob("*.py")):
        module = tree(path)
        for call, within in _calls(module):
            if isinstance(call.func, ast.Name) and call.func.id in ("SetupError", "NothingDoneError"):
                text = _text(call.args[0], constants(module), within)
                yield Entry("setup", f"tools.{path.stem}", "SetupError", text, "", 1)


def _calls(module: ast.Module) -> Iterator[tuple[ast.Call, ast.AST]]:
    """Each call, with the function that it stands in."""

    def visit(node: ast.AST, within: ast.AST) -> Iterator[tuple[ast.Call, ast.AST]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Call):
                yield child, within
            yield from visit(child, child if isinstance(child, ast.FunctionDef) else within)

    return visit(module, module)


def _text(node: ast.expr, known: dict[str, Any], within: ast.AST) -> str:
    """What an expression says, ``…`` where it can't be known."""
    if isinstance(node, ast.JoinedStr):
        parts = [_text(each, known, within) if isinstance(each, ast.Constant) else SLOT for each in node.values]
        parts = [
            _text(each.value, known, within) if isinstance(each, ast.FormattedValue) and _plain(each.value) else part
            for each, part in zip(node.values, parts, strict=True)
        ]
        return _tidy("".join(parts))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _tidy(_text(node.left, known, within) + _text(node.right, known, within))
    if isinstance(node, ast.Name) and node.id not in known:
        values = [
            each.value
            for each in ast.walk(within)
            if isinstance(each, ast.Assign) and [ast.unparse(target) for target in each.targets] == [node.id]
        ]
        return _text(values[0], {}, ast.Module([], [])) if len(values) == 1 and _worded(values[0]) else SLOT
    value = evaluate(node, known)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}"
    return SLOT


def _plain(node: ast.expr) -> bool:
    """A constant of the module, which the text may well show."""
    return isinstance(node, ast.Name) and node.id.lstrip("_").isupper()


def _worded(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr | ast.Constant)


def _tidy(text: str) -> str:
    return re.sub(rf"{SLOT}(\s*{SLOT})+", SLOT, text)
