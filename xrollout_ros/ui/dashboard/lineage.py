"""The lineage as a graph on a page: what something came from to its left, what it led to on its right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nicegui import events, ui

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.ui.dashboard.commands import Question, answer
from xrollout_ros.ui.dashboard.frame import card

_UNSAFE = re.compile(r"[^\w .,:/%()+-]")
"""Of labels: what means something to Mermaid."""
_FACTS, _SHORT, _MOST = 2, 12, 6
_LOOK = {
    "theme": "neutral", "securityLevel": "loose",
    "flowchart": {"nodeSpacing": 14, "rankSpacing": 60, "padding": 6, "wrappingWidth": 420},
}  # fmt: skip
_CLASSES = """
classDef episode fill:#d7ecf5,stroke:#555,color:#000
classDef clip fill:#f1dcf3,stroke:#555,color:#000
classDef policy fill:#dcefd8,stroke:#555,color:#000
classDef dataset fill:#fbeccb,stroke:#555,color:#000
classDef more fill:#f2f2f2,stroke:#999,color:#000
"""


class LineageCard:
    """Asks where something came from.

    Args:
        data: folder of the bags.
        findings: name the policy that is shown first.
    """

    def __init__(self, data: Path, findings: Question) -> None:
        self._data, self._findings = data, findings
        self._nodes: list[Mapping[str, Any]] = []
        with card("Lineage: what it came from, what it led to"):
            with ui.row().classes("items-end gap-3"):
                self._id = (
                    ui.input("policy, episode, dataset or clip: id or a part")
                    .props("dense outlined")
                    .classes("w-full max-w-md")
                )
                self._id.on("keydown.enter", self._show)
                ui.button("Show", icon="account_tree", on_click=self._show).props("color=blue-8")
                self._problem = ui.label().props('role="alert"')
            self._graph = ui.mermaid("flowchart LR", _LOOK,
                                     on_node_click=self._clicked).classes("w-full overflow-x-auto")  # fmt: skip
        self._first = ui.timer(0.5, self._newest)

    async def _newest(self) -> None:
        """The newest policy, once mining has said which it is."""
        found = self._findings.found
        if found is not None and found["policies"]:
            self._first.deactivate()
            if not self._id.value:
                self._id.set_value(found["policies"][-1])
                await self._show()

    async def _show(self) -> None:
        wanted = str(self._id.value or "").strip()
        if not wanted:
            return
        self._problem.set_text("…")
        try:
            found = await answer("lineage", wanted, "--limit", str(_MOST), "--data", str(self._data))
        except XRolloutError as error:
            self._problem.set_text(str(error))
            return
        self._problem.set_text("")
        self._nodes = found["nodes"]
        self._graph.set_content(flowchart(found))

    async def _clicked(self, event: events.MermaidNodeClickEventArguments) -> None:
        number = event.node_id.removeprefix("n")
        if not number.isdecimal() or int(number) >= len(self._nodes):
            return
        node = self._nodes[int(number)]
        if node["kind"] == "episode":
            ui.navigate.to(f"/episode/{node['id']}")
        else:
            self._id.set_value(node["id"])
            await self._show()


def flowchart(found: Mapping[str, Any]) -> str:
    """A flowchart in Mermaid's language of what ``xrollout lineage --json`` has found."""
    numbers = {(node["kind"], node["id"]): number for number, node in enumerate(found["nodes"])}
    lines = ["flowchart LR"]
    for (kind, _), number in numbers.items():
        lines.append(f'n{number}["{_label(found["nodes"][number])}"]:::{kind}')
    for link in found["links"]:
        begin, end = numbers[tuple(link["from"])], numbers[tuple(link["to"])]
        lines.append(f'n{begin} -->|"{_plain(link["how"])}"| n{end}')
    for number, left in enumerate(found["left_out"]):
        of = numbers[tuple(left["of"])]
        lines.append(f'more{number}["… {left["count"]} more"]:::more')
        back = left["direction"].startswith("came")
        ends = (f"more{number}", f"n{of}") if back else (f"n{of}", f"more{number}")
        lines.append(f'{ends[0]} -->|"{_plain(left["how"])}"| {ends[1]}')
    return "\n".join(lines) + _CLASSES


def _label(node: Mapping[str, Any]) -> str:
    name = node["id"][:_SHORT] if node["kind"] == "dataset" else node["id"]
    facts = [f"{value} {fact}" if isinstance(value, int) else str(value) for fact, value in node["facts"].items()
             if fact not in ("checkpoint", "file", "bag")]  # fmt: skip
    if node["missing"]:
        facts = [node["missing"]]
    return "<br/>".join(_plain(line) for line in (f"{node['kind']} {name}", ", ".join(facts[:_FACTS])) if line)


def _plain(text: str) -> str:
    return _UNSAFE.sub(" ", text)
