"""`xrollout calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xrollout_ros.core.errors import CheckpointError
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, engine_option, json_option

if TYPE_CHECKING:
    from xrollout_ros.core.calibration import Calibration
    from xrollout_ros.learning.calibration.own_attempts import OwnAttempts
    from xrollout_ros.learning.policies import ChunkPolicy


@click.command(
    epilog=epilog(
        "xrollout calibrate --model checkpoint.pt",
        "xrollout calibrate --model checkpoint.pt --start nominal --alpha 0.05",
        "xrollout calibrate --model checkpoint.pt --audit",
    )
)
@click.option(
    "--model", type=click.Path(path_type=Path), required=True, help="Checkpoint; its calibration is written beside it."
)
@click.option("--alpha", type=float, default=0.1, show_default=True, help="Share of successes with a false alarm.")
@engine_option("Only attempts with this inference engine.  [default: that of most successes]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split of the successes into halves.")
@click.option("--most", type=click.IntRange(min=1), metavar="N", help="Read at most so many attempts.  [default: 500]")
@click.option("--audit", is_flag=True, help="Write nothing: count what the alarms were since the calibration.")
@filter_options(("start", "scene", "tag"))
@data_option
@json_option
def calibrate(
    data: Path, model: Path, alpha: float, engine: str | None, seed: int, most: int | None, audit: bool,
    as_json: bool, **filters: Any,
) -> None:  # fmt: skip
    """Make an alarm of a policy's scores, from its own successful attempts.

    One half of them says what each score usually is, the other how high the combined score may rise: a further success
    passes that with a probability of ALPHA at most. Demonstrations, helped attempts and those in which an alarm was
    acted on are left out. The checkpoint is not changed.
    """
    from xrollout_ros.learning.calibration.conformal import check_alpha
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.ui import calibration_output as shown

    check_alpha(alpha)
    if engine is not None:
        from xrollout_ros.runtime.engines import check_engine

        check_engine(engine)
    policy = load_policy(model, calibrated=audit)
    if audit:
        made = policy.info.calibration
        if made is None:
            raise CheckpointError(
                f"not_calibrated: there is no calibration beside {model} to audit",
                f"`xrollout calibrate --model {model}` makes one; deploy with it, then audit.",
            )
        _audit(made, _found(policy, data, most, filters), as_json)
        return
    from xrollout_ros.core.files import check_writable
    from xrollout_ros.learning.calibration.calibrating import calibrate as calibrated_on
    from xrollout_ros.learning.calibration.sidecar import sidecar_of, write_calibration

    check_writable(sidecar_of(model), "the calibration")
    found = calibrated_on(_found(policy, data, most, filters), policy.info, alpha=alpha, engine=engine, seed=seed)
    path = write_calibration(found.calibration, model)
    if as_json:
        print_json(shown.as_json(found, path))
    else:
        shown.show(output(), found, path)


def _found(policy: ChunkPolicy, data: Path, most: int | None, filters: dict[str, Any]) -> OwnAttempts:
    from xrollout_ros.learning.calibration.own_attempts import MOST, own_attempts
    from xrollout_ros.ui.progress import Bar

    with caught_up(data) as catalog, Bar("reading attempts") as bar:
        return own_attempts(catalog, policy, conditions_of(filters), most=most or MOST, progress=bar.show)


def _audit(made: Calibration, found: OwnAttempts, as_json: bool) -> None:
    from xrollout_ros.learning.calibration.audit import audit
    from xrollout_ros.ui import calibration_output as shown

    counted = audit(found, made)
    if as_json:
        print_json(shown.audit_as_json(counted))
    else:
        shown.show_audit(output(), counted)
