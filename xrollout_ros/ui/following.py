"""Opens a data folder's catalog, caught up with the bags and the journal, and says what was in the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog


@contextmanager
def caught_up(data: Path) -> Iterator[Catalog]:
    """The catalog as bags and journal have it now; one that cannot be written is given as it is, with a warning.

    Raises:
        DataError: there is no data folder, or its catalog cannot be used.
    """
    with Catalog(data) as catalog:
        if catalog.read_only:
            warn(f"the catalog of {data} cannot be written: newer bags and journal entries are not in this answer")
        else:
            try:
                _catch_up(catalog)
            except DataError as error:
                if catalog.fresh:
                    raise
                warn(f"this answer is of what the catalog knew before: {error}")
        yield catalog


def _catch_up(catalog: Catalog) -> None:
    from xrollout_ros.ui.progress import Bar

    with Bar("reading bags") as bar:
        report = catalog.update(progress=bar.show)
    if catalog.fresh and report.problems:
        warn(f"{len(report.problems)} bags could not be read; `xrollout index` names them")


def warn(text: str) -> None:
    """A line on standard error."""
    from xrollout_ros.ui.progress import aside

    with aside():
        click.echo(click.style("warning: ", fg="yellow") + text, err=True)
