"""Exit codes: the one place that knows what each of them means. docs/command_line.md has them as a table."""

from __future__ import annotations

from typing import NamedTuple

from xrollout_ros.core import errors
from xrollout_ros.core.errors import INTERRUPTED

FOUND = 1
"""Something is amiss in what was looked at."""
REJECTED, INCONCLUSIVE, STOPPED, NOT_PASSED = 20, 21, 22, 23


class Meaning(NamedTuple):
    """What a code says."""

    code: int
    command: str
    """Whose code it is; empty: any command's."""
    meaning: str


_ERRORS: tuple[type[errors.XRolloutError], ...] = (
    errors.SpecError,
    errors.CheckpointError,
    errors.BagError,
    errors.DataError,
    errors.GraphError,
    errors.TrainingDivergedError,
)
MEANINGS = (
    Meaning(0, "", "It is done."),
    Meaning(FOUND, "doctor", "It found an error."),
    Meaning(FOUND, "episodes judge", "A labeller failed; what the others said is kept."),
    Meaning(
        errors.XRolloutError.exit_code, "", "Another error; one without a remedy but with a traceback is a defect."
    ),
    Meaning(2, "", "The command line is not understood."),
    *(Meaning(each.exit_code, "", (each.__doc__ or "").partition("\n")[0]) for each in _ERRORS),
    Meaning(REJECTED, "compare", "B is worse than A: reject."),
    Meaning(INCONCLUSIVE, "compare", "Nobody can tell which is better: inconclusive."),
    Meaning(STOPPED, "flywheel run", "A cycle does not go on by itself; its state, reason and next step are told."),
    Meaning(NOT_PASSED, "gate", "The policy has not passed."),
    Meaning(INTERRUPTED, "", "Ctrl-C; 128 + N in general: ended by signal N."),
)


def own(command: str) -> list[Meaning]:
    """Codes that this command alone has, or that mean something else there."""
    return [each for each in MEANINGS if each.command == command]
