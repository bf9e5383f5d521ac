"""Tells at the end how many of the documentation's commands were run, and why the others were not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .walking import Tally

TALLY = pytest.StashKey[Tally]()


@pytest.fixture(scope="session")
def tally(pytestconfig: pytest.Config) -> Iterator[Tally]:
    """What came of the commands so far."""
    pytestconfig.stash[TALLY] = found = Tally()
    yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = config.stash.get(TALLY, None)
    if tally is None:
        return
    left_out = sum(count for _, count, _ in tally.skipped)
    terminalreporter.write_sep("-", f"commands of the documentation: {tally.ran} run, {left_out} left out")
    for where, count, reason in tally.skipped:
        terminalreporter.write_line(f"{where}: {count} left out: {reason}")
