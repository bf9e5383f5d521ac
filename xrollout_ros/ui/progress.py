"""A line on standard error that says how far something is."""

from __future__ import annotations

import sys
from types import TracebackType

import click

_WIDTH = 30


class Bar:
    """Shown on a terminal, for work that is long enough; a context manager."""

    def __init__(self, what: str, *, at_least: int = 1) -> None:
        """
        Args:
            what: what is being done.
            at_least: fewer steps than these are not worth a line.
        """
        self._what, self._at_least = what, at_least
        self._shown = False

    def __enter__(self) -> Bar:  # noqa: PYI034 (Python 3.10 has no typing.Self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown:
            click.echo(err=True)

    def show(self, done: int, total: int) -> None:
        """So much is done."""
        if total < self._at_least or not sys.stderr.isatty():
            return
        self._shown = True
        full = round(_WIDTH * done / total)
        click.echo(f"\r{self._what} [{'#' * full}{'.' * (_WIDTH - full)}] {done}/{total}", nl=False, err=True)
