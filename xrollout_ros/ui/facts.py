"""Facts in two columns."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text


class Facts:
    """Labels and what is known; what is empty is left out."""

    def __init__(self) -> None:
        self.table = Table.grid(padding=(0, 2))
        self.table.add_column(style="dim", no_wrap=True)
        self.table.add_column(overflow="fold")

    def add(self, label: str, value: str | Text) -> None:
        """Another line. A string is drawn as it is: brackets in it are no markup."""
        if value:
            self.table.add_row(label, Text(value) if isinstance(value, str) else value)
