"""The Sphinx extension: where a page says ``<!-- made: NAME -->``, what is made from the code stands there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docs.making.commands import commands
from docs.making.concepts import levels, modes
from docs.making.errors import areas, errors, for_search
from docs.making.interfaces import interfaces, services, topics
from docs.making.parameters import arguments, nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_MARK = re.compile(r"^<!-- made: (?P<name>\w+)(?: (?P<argument>\w+))? -->$", re.MULTILINE)
_FILE_AS_TEXT = re.compile(r"\[(\w+\.md)\]\(((?:\.\./)*(?:\w+/)*\1)(#[\w-]+)?\)")

MAKERS: Mapping[str, Callable[..., str]] = {
    "areas": areas,
    "arguments": arguments,
    "commands": commands,
    "errors": errors,
    "interfaces": interfaces,
    "levels": levels,
    "modes": modes,
    "nodes": nodes,
    "services": services,
    "topics": topics,
}


def made(text: str) -> str:
    """A page's text with what is made in the place of its marks; links named after files get the page's title."""

    def make(match: re.Match[str]) -> str:
        argument = match["argument"]
        return MAKERS[match["name"]](*([argument] if argument else []))

    return _FILE_AS_TEXT.sub(r"[](\2\3)", _MARK.sub(make, text))


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    source[0] = made(source[0])


def _attribute(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    # Napoleon would take what stands before a colon in the first line for a type.
    if what in ("attribute", "property", "data") and lines:
        lines[0] = lines[0].replace(": ", " – ", 1)


def _finished(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        (Path(app.outdir) / "_static" / "errors.js").write_text(for_search(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _attribute, priority=400)
    app.connect("build-finished", _finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
