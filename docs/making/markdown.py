"""Text that comes from the code, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_ACTIVE = re.compile(r"([\\*_<>\[\]{}|$#~^])")
_CODE = re.compile(r"(`[^`]+`)")
_OPTION = re.compile(r"(?<![\w`-])(--[a-z][a-z0-9-]*)")
_PAGE = re.compile(r"\bdocs/(\w+)\.md\b")


def code(text: str) -> str:
    """Text as inline code, whatever is in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def prose(text: str) -> str:
    """Text that people write: what stands between backticks is code, options too; pages that it names are links."""
    parts = _CODE.split(" ".join(text.split()))
    parts = [part for each in parts for part in ([each] if each.startswith("`") else _options(each))]
    for place, part in enumerate(parts):
        if not part.startswith("`"):
            pieces = _PAGE.split(part)
            for index, piece in enumerate(pieces):
                pieces[index] = f"[](/{piece}.md)" if index % 2 else _ACTIVE.sub(r"\\\1", piece)
            parts[place] = "".join(pieces)
    return "".join(parts)


def _options(text: str) -> list[str]:
    return [f"`{part}`" if part.startswith("--") else part for part in _OPTION.split(text)]


def block(text: str, language: str = "text") -> str:
    """A code block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown without line breaks."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("\n", " ") or " " for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
