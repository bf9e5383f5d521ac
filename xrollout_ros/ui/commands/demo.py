"""`xrollout demo`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from xrollout_ros.ui.console import output as terminal
from xrollout_ros.ui.console import print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import json_option


@click.command(epilog=epilog("xrollout demo", "xrollout demo --output demo/mine --cycles 2 --seed 1"))
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="New folder for bags, checkpoint and report.  [default: ./demo/<time>]",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Attempts of the policy from each kind of starts.",
)
@click.option(
    "--demonstrations", type=click.IntRange(min=1), default=8, show_default=True, help="Scripted demonstrations."
)
@click.option(
    "--corrections", type=click.IntRange(min=1), default=15, show_default=True,
    help="Demonstrations in each cycle for what the policy failed at, at most.",
)  # fmt: skip
@click.option("--cycles", type=click.IntRange(min=1), default=1, show_default=True, help="Of the flywheel.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same demo.")
@json_option
def demo(
    output: Path | None, episodes: int, demonstrations: int, corrections: int, cycles: int, seed: int, as_json: bool
) -> None:  # fmt: skip
    """The whole loop in small: deploy, mine, collect, retrain, compare, promote or not.

    Scripted demonstrations of pick_and_place make a first policy. It is deployed on unseen starts: such as were
    demonstrated, and wider ones, where more attempts are expected to fail. What it failed at is demonstrated, a new
    policy is trained and compared with the first one, and promoted if it is shown to be better. Whatever the verdict
    is, it is an honest one. A few minutes on two cores.
    """
    # The demo needs everything, PyTorch included; its help does not.
    from xrollout_ros.ui.demo import DemoOptions, run_demo

    folder = output or Path("demo") / time.strftime("%Y%m%d-%H%M%S")
    options = DemoOptions(folder, demonstrations, episodes, corrections, cycles, seed)
    report = run_demo(options, terminal())
    if as_json:
        from xrollout_ros.ui import flywheel_output

        flywheel = flywheel_output.as_json(flywheel_output.opened(options.flywheel))
        print_json({"folder": folder, "report": report.model_dump(mode="json"), "flywheel": flywheel})
