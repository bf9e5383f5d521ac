"""`xrollout demo`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from xrollout_ros.ui.console import output as terminal


@click.command()
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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same demo.")
def demo(output: Path | None, episodes: int, demonstrations: int, seed: int) -> None:
    """Record, train, deploy and report: the whole way, once.

    Scripted demonstrations of pick_and_place are recorded through the graph, a policy is trained from them and
    deployed on unseen starts: such as were demonstrated, and wider ones, where more attempts are expected to fail.
    About a minute on two cores.
    """
    # The demonstration needs everything, PyTorch included; its help does not.
    from xrollout_ros.ui.demo import DemoOptions, run_demo

    folder = output or Path("demo") / time.strftime("%Y%m%d-%H%M%S")
    run_demo(DemoOptions(folder, demonstrations, episodes, seed), terminal())
