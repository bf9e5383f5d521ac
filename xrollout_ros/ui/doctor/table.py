"""Findings as people and programs read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from xrollout_ros.ui import text
from xrollout_ros.ui.doctor.finding import Finding, Level

_STYLES = {Level.ERROR: "bold red", Level.WARNING: "yellow", Level.OK: "green", Level.SKIPPED: "dim"}
_WIDTH = max(len(level.value) for level in Level)


def tell(console: Console, finding: Finding) -> None:
    """One finding; what is allowed and what to do stand below it."""
    level = Text(f"{finding.level.value:<{_WIDTH}}  ", style=_STYLES[finding.level])
    console.print(Text.assemble(level, (finding.thing, "bold"), f": {finding.value}"), soft_wrap=True)
    indent = " " * (_WIDTH + 2)
    if finding.allowed:
        console.print(f"{indent}allowed: {finding.allowed}", soft_wrap=True)
    if finding.remedy:
        console.print(f"{indent}→ {finding.remedy}", soft_wrap=True)


def verdict(findings: Sequence[Finding]) -> str:
    """One line about all of them."""
    counts = Counter(finding.level for finding in findings)
    wrong = [text.plural(counts[level], level.value) for level in (Level.ERROR, Level.WARNING) if counts[level]]
    looked = f"{counts[Level.OK]} ok" + (f", {counts[Level.SKIPPED]} not checked" if counts[Level.SKIPPED] else "")
    return f"{', '.join(wrong)}; {looked}" if wrong else f"all is well: {looked}"


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """All of them, and whether a robot may be started."""
    return {
        "passed": all(finding.level is not Level.ERROR for finding in findings),
        "findings": [{**asdict(finding), "level": finding.level.value} for finding in findings],
    }
