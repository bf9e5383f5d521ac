"""`xrollout gate`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.ui.candidates import levels
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.exit_codes import NOT_PASSED
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option
from xrollout_ros.ui.people import reviewer_option


@click.command(
    epilog=epilog(
        "xrollout gate checkpoint.pt --level L0",
        "xrollout gate checkpoint.pt --level L0 --comparison comparison",
        "xrollout gate checkpoint.pt --level L1 --asked 0.9",
        'xrollout gate checkpoint.pt --level L0 --waive "there is no simulation of this cell"',
        codes_of="gate",
    )
)
@click.argument("model", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--level", required=True, metavar="LEVEL", shell_complete=levels, help="Whose gate: L0 simulation to L4 production."
)
@click.option("--asked", type=click.FloatRange(0, 1), help="Lower bound of success.  [default: by the level]")
@click.option(
    "--comparison", type=click.Path(path_type=Path, exists=True),
    help="Count its trials in a comparison made in process, too (L0).",
)  # fmt: skip
@click.option("--waive", metavar="REASON", help="Pass it over, and write down why and who.")
@data_option
@reviewer_option
@json_option
@click.pass_context
def gate(
    ctx: click.Context, model: Path, level: str, asked: float | None, comparison: Path | None, waive: str | None,
    data: Path, reviewer: str, as_json: bool,
) -> None:  # fmt: skip
    """Let a policy pass the gate of an environment level, so that it may be deployed at the next one.

    Counted are its attempts at that level, evaluations too. The certificate lies beside the checkpoint.
    """
    from xrollout_ros.core.clock import SystemClock
    from xrollout_ros.core.levels import check_level
    from xrollout_ros.core.wilson import wilson
    from xrollout_ros.cycle import gates
    from xrollout_ros.learning.metadata import read_bytes, sha256

    known, checkpoint_hash = check_level(level), sha256(read_bytes(model))
    bound = gates.asked_of(known) if asked is None else asked
    successes, attempts = _counted(data, checkpoint_hash, level)
    if comparison is not None:
        more = _compared(comparison, checkpoint_hash)
        successes, attempts = successes + more[0], attempts + more[1]
    why_not = "" if waive else gates.judge(known, successes, attempts, bound)
    if not why_not:
        gates.certify(
            model, checkpoint_hash, known, successes, attempts, bound, reviewer, SystemClock(), waived=waive or ""
        )
    low, high = wilson(successes, attempts)
    if as_json:
        print_json(
            {
                "level": level, "passed": not why_not, "waived": waive or "", "successes": successes,
                "attempts": attempts, "low": low, "high": high, "asked": bound, "why_not": why_not,
            }
        )  # fmt: skip
    else:
        console = output()
        console.print(
            f"{successes} of {attempts} attempts at {level} succeeded ({low:.0%} to {high:.0%}); asked {bound:.0%}"
        )
        if why_not:
            console.print(f"not passed: {why_not}")
            console.print(f"  → more attempts at {level}, or a better policy", soft_wrap=True)
        else:
            how = f"waived by {reviewer}: {waive}" if waive else "passed"
            console.print(f"{how}; wrote {gates.sidecar_of(model)}", soft_wrap=True)
    if why_not:
        ctx.exit(NOT_PASSED)


def _counted(data: Path, checkpoint_hash: str, level: str) -> tuple[int, int]:
    from xrollout_ros.episodes.catalog.filters import equal, parse
    from xrollout_ros.episodes.catalog.query import Question

    if not data.is_dir():
        return 0, 0
    with caught_up(data) as catalog:
        where = (equal("checkpoint_hash", checkpoint_hash), equal("level", level), parse("attempt=true"))
        found = catalog.groups(Question(where=where, by=(), ids=False))
    return (found[0].successes, found[0].attempts) if found else (0, 0)


def _compared(folder: Path, checkpoint_hash: str) -> tuple[int, int]:
    from xrollout_ros.core.errors import DataError
    from xrollout_ros.cycle.comparing.result import read_result

    result = read_result(folder)
    if result.plan.where != "process":
        return 0, 0  # its trials are episodes, and counted
    for arm, ref in (("a", result.plan.a), ("b", result.plan.b)):
        if ref.checkpoint_hash == checkpoint_hash:
            rate = getattr(result.overall, arm)
            return rate.successes, rate.trials
    raise DataError(f"the comparison {folder} is not of this checkpoint", "Give the one that it was tried in.")
