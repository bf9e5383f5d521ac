"""The code blocks of a page, and the notes to the test that runs them: comments in the page's source, not on the page.

A note stands alone, before the block that it is for:

``<!-- walk -->``
    once, on a page whose commands are run in order; on any other page they are only parsed. ``walk: in FOLDER``: where
    that is, with the environment sourced, on a page that does not say so itself.
``<!-- file: NAME -->``
    the block, of whatever language, is that file's text.
``<!-- skip: REASON -->``
    the block can't be run by a test.
``<!-- bind: TEXT = OTHER -->``
    from here on OTHER stands for TEXT in this page's blocks; ``$(…)`` in OTHER is asked of the shell, once.
``<!-- run: WORDS -->``
    how the block is run. The words, any of them: ``background until "TEXT"`` (it goes on while what follows is run; the
    text comes first, and a ``pause``), ``within SECONDS`` (900 otherwise), ``exit "CODES"`` (0 otherwise),
    ``keys "TEXT" after "OTHER"`` (in a terminal of its own, these keys are typed once the other text is there, and
    ``pause SECONDS`` later; several).
``<!-- beside: COMMAND until "TEXT" -->``
    something that the reader has running: it is started, and the text comes first.
``<!-- stop -->``
    what runs in the background gets Ctrl-C, as at the end of the page.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

_NOTE = re.compile(r"<!--\s*(walk|file|skip|bind|run|beside|stop)(?::\s*(.*?))?\s*-->", re.DOTALL)
SHELL, PYTHON = "bash", "python"
PAUSE_S = 0.3
"""As people do."""


@dataclass(frozen=True)
class Note:
    """One note."""

    kind: str
    text: str


@dataclass(frozen=True)
class Block:
    """One code block, with the notes before it."""

    page: Path
    line: int
    language: str
    text: str
    notes: tuple[Note, ...] = ()

    @property
    def where(self) -> str:
        """Page and line, for people."""
        return f"{self.page.name}:{self.line}"

    @property
    def skip(self) -> str:
        """Why it can't be run; empty: it can."""
        return next((note.text for note in self.notes if note.kind == "skip"), "")


@dataclass
class Manner:
    """How a block is run."""

    background_until: str | None = None
    """The text that comes before what follows is run; None: it ends before that."""
    pause_s: float = 0.0
    """Between that text and what follows, s."""
    within_s: float = 900.0
    exit_codes: frozenset[int] = frozenset({0})
    keys: list[tuple[str, str, float]] = field(default_factory=list)
    """What is typed, the text that comes first, and the pause after that, s."""


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page; notes after the last one come with an empty block."""
    found: list[Block] = []
    notes: list[Note] = []
    text = page.read_text(encoding="utf-8")
    for token in MarkdownIt().parse(text):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            notes += [Note(kind, " ".join((text or "").split())) for kind, text in _NOTE.findall(token.content)]
        elif token.type in ("fence", "code_block"):
            language = (token.info.split() or [""])[0]
            found.append(Block(page, line, language, token.content, tuple(notes)))
            notes = []
    if notes:
        found.append(Block(page, len(text.splitlines()), "", "", tuple(notes)))
    return found


def is_walk(page: Path) -> bool:
    """Whether a test runs the page's commands."""
    return any(note.kind == "walk" for block in blocks(page) for note in block.notes)


def manner(block: Block) -> Manner:
    """What a block's notes say of how it is run.

    Raises:
        ValueError: a word is not known.
    """
    how = Manner()
    for note in block.notes:
        words = iter(shlex.split(note.text)) if note.kind == "run" else iter(())
        for word in words:
            if word == "background":
                _expect(words, "until", block)
                how.background_until = next(words)
            elif word == "within":
                how.within_s = float(next(words))
            elif word == "exit":
                how.exit_codes = frozenset(map(int, next(words).split()))
            elif word == "keys":
                typed = next(words)
                _expect(words, "after", block)
                how.keys.append((typed, next(words), PAUSE_S))
            elif word == "pause" and how.keys:
                how.keys[-1] = (*how.keys[-1][:2], float(next(words)))
            elif word == "pause":
                how.pause_s = float(next(words))
            else:
                raise ValueError(f"{block.where}: {word!r} says nothing of how to run it")
    return how


def commands(text: str) -> Iterator[str]:
    """The command lines of a block, without comments, continued lines joined; a here-document is part of one."""
    lines = iter(text.replace("\\\n", " ").splitlines())
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        document = re.search(r"<<\s*'?(\w+)'?", line)
        if document:
            for each in lines:
                if each.strip() == document[1]:
                    break
        yield line.strip()


def _expect(words: Iterator[str], wanted: str, block: Block) -> None:
    found = next(words, "")
    if found != wanted:
        raise ValueError(f"{block.where}: {found!r} stands where {wanted!r} is wanted")
