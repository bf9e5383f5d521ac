"""The end of each command's help: its own exit codes, and lines that one may type."""

from __future__ import annotations

import re

from xrollout_ros.ui.exit_codes import own

HEADING = "Examples:"
_COMMENT = re.compile(r" +# ")


def epilog(*examples: str, codes_of: str = "", before: str = "") -> str:
    """The epilog of a command or group.

    Args:
        examples: lines, each as one would type it; a comment after `` # `` is put below the others.
        codes_of: the command, below ``xrollout``, if it has exit codes of its own.
        before: paragraphs of its own, as click takes them.
    """
    codes = [f"  {each.code:<3} {each.meaning}" for each in own(codes_of)] if codes_of else []
    parts = [before] if before else []
    if codes:
        parts.append("\n".join(["\b", "Exit codes, besides those that all commands share:", *codes]))
    parts.append("\n".join(["\b", HEADING, *(f"  {line}" for line in _aligned(examples))]))
    return "\n\n".join(parts)


def _aligned(lines: tuple[str, ...]) -> list[str]:
    split = [_COMMENT.split(line, maxsplit=1) for line in lines]
    width = max((len(line) for line, *comment in split if comment), default=0)
    return [f"{line:<{width}}  # {comment[0]}" if comment else line for line, *comment in split]
