"""`xrollout train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.ui.console import output
from xrollout_ros.ui.options import data_option, task_option


@click.command()
@data_option
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("checkpoint.pt"),
    show_default=True,
    help="Checkpoint to write; its loss curve and history are written beside it.",
)
@click.option("--base-model", type=click.Path(path_type=Path), help="Checkpoint to go on from.")
@click.option("--policy", metavar="flow|mlp|ensemble", help="Architecture.  [default: the base model's, or flow]")
@task_option("Train on this task's episodes only.")
@click.option(
    "--robot", help="RobotSpec whose processors the policy is trained with.  [default: as recorded in the newest bag]"
)
@click.option("--include", metavar="demonstrations|successes", help="Which episodes train.  [default: demonstrations]")
@click.option("--epochs", type=int, help="Passes over the data.  [default: by the amount of data]")
@click.option("--lr", type=float, help="Peak learning rate.")
@click.option("--batch-size", type=int, help="Samples in one step.")
@click.option("--seed", type=int, help="The same seed and data give the same weights on one machine.")
@click.option("--horizon", type=int, help="Actions in a chunk.")
@click.option("--execute", type=int, help="Actions played before the next inference.")
@click.option("--max-prefix", type=int, help="Rows that a flow policy learns to go on from; 0: none.  [default: half]")
@click.option("--held-out", type=float, help="Share of the episodes kept for validation.")
def train(**options: Any) -> None:
    """Train a policy from recorded episodes."""
    console = output()
    # PyTorch takes seconds to import, which `--help` and completion need not wait for.
    from xrollout_ros.learning.train_options import TrainOptions
    from xrollout_ros.ui.training import train_with_progress

    checked = TrainOptions.of(**{name: value for name, value in options.items() if value is not None})
    train_with_progress(checked, console)
