"""Boxes, arrows and words as SVG."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape

INK, FAINT, ACCENT, SOFT, PAPER, WARM, WARM_SOFT = (
    "#1d2733", "#7d8894", "#0b6e4f", "#e6f3ed", "#ffffff", "#b3441f", "#fbeae3",
)  # fmt: skip
_HEAD = (
    '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
    f'<path d="M0,1 L9,5 L0,9" fill="none" stroke="{FAINT}" stroke-width="1.6"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A box with some lines of text, about its middle."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    fill: str = SOFT
    edge: str = ACCENT

    def rim(self, towards: tuple[float, float]) -> tuple[float, float]:
        """Where the straight line to a point leaves the box."""
        dx, dy = towards[0] - self.x, towards[1] - self.y
        scale = min(
            (self.width / 2 + 4) / abs(dx) if dx else math.inf, (self.height / 2 + 4) / abs(dy) if dy else math.inf
        )
        return self.x + dx * scale, self.y + dy * scale


@dataclass
class Drawing:
    """A picture on paper of its own, so that it reads alike on light and dark pages."""

    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def words(self, x: float, y: float, text: str, *, size: int = 13, fill: str = INK, weight: str = "400") -> None:
        """A line of text about its middle."""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" font-weight="{weight}" '
            f'text-anchor="middle" dominant-baseline="central">{escape(text)}</text>'
        )

    def box(self, box: Box) -> None:
        """The first line stands out."""
        self.parts.append(
            f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" width="{box.width:.1f}" '
            f'height="{box.height:.1f}" rx="9" fill="{box.fill}" stroke="{box.edge}" stroke-width="1.4"/>'
        )
        top = box.y - 8.5 * (len(box.lines) - 1)
        for place, line in enumerate(box.lines):
            self.words(
                box.x, top + 17 * place, line, size=13 if place == 0 else 11, weight="600" if place == 0 else "400",
                fill=INK if place == 0 else "#4a5561",
            )  # fmt: skip

    def arrow(self, begin: Box, end: Box, label: tuple[str, ...] = (), bend: float = 0.0) -> None:
        """From rim to rim; bent to the left of its way by so much."""
        middle = ((begin.x + end.x) / 2, (begin.y + end.y) / 2)
        dx, dy = end.x - begin.x, end.y - begin.y
        length = math.hypot(dx, dy)
        over = (middle[0] + dy / length * bend, middle[1] - dx / length * bend)
        a, b = begin.rim(over), end.rim(over)
        self.parts.append(
            f'<path d="M{a[0]:.1f},{a[1]:.1f} Q{over[0]:.1f},{over[1]:.1f} {b[0]:.1f},{b[1]:.1f}" fill="none" '
            f'stroke="{FAINT}" stroke-width="1.4" marker-end="url(#head)"/>'
        )
        x, y = (a[0] + 2 * over[0] + b[0]) / 4, (a[1] + 2 * over[1] + b[1]) / 4
        for place, line in enumerate(label):
            self._label(x, y + 13 * (place - (len(label) - 1) / 2), line)

    def _label(self, x: float, y: float, text: str) -> None:
        width = 5.6 * len(text) + 6
        self.parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{y - 7:.1f}" width="{width:.1f}" height="14" fill="{PAPER}"/>'
        )
        self.words(x, y, text, size=11, fill="#4a5561")

    def svg(self) -> str:
        """All of it."""
        inside = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" role="img" '
            f'font-family="system-ui, sans-serif"><title>{escape(self.title)}</title><defs>{_HEAD}</defs>\n'
            f'<rect width="{self.width:g}" height="{self.height:g}" rx="12" fill="{PAPER}"/>\n{inside}\n</svg>\n'
        )
