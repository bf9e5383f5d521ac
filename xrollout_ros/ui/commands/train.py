"""`xrollout train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from xrollout_ros.episodes.paths import DEFAULT_DATA, data_dir
from xrollout_ros.ui import candidates
from xrollout_ros.ui.candidates import Words
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import json_option, robot_option, task_option


def _up_weights(ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, float] | None:
    found = {}
    for each in given:
        mode, _, factor = each.partition("=")
        try:
            found[mode] = float(factor)
        except ValueError:
            raise click.BadParameter(f"{each!r}; allowed is MODE=FACTOR, e.g. never_reached=3") from None
    return found or None


@click.command(
    epilog=epilog(
        "xrollout train --data raw_rollouts --task pick_and_place --output checkpoint.pt",
        "xrollout train --data ./pyramid/level4 --output better.pt",
        "xrollout train --base-model checkpoint.pt --data ./pyramid/level4 --epochs 50 --lr 1e-5 --output better.pt",
        "xrollout train --policy act --camera wrist --precision bf16 --device cuda",
    )
)
@click.option(
    "--data",
    metavar="DIR",
    shell_complete=candidates.folders,
    callback=lambda ctx, parameter, value: data_dir(value),
    help=f"Folder of bags, or a level of a pyramid.  [default: $XROLLOUT_DATA, else ./{DEFAULT_DATA}]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("checkpoint.pt"),
    show_default=True,
    help="Checkpoint to write; its loss curve and history are written beside it.",
)
@click.option("--base-model", type=click.Path(path_type=Path), help="Checkpoint to go on from.")
@click.option(
    "--policy", type=Words("flow", "mlp", "ensemble", "act"),
    help="Architecture.  [default: the base model's, or flow]",
)  # fmt: skip
@task_option("Train on this task's episodes only.")
@robot_option(
    "", default=None, help="RobotSpec whose processors the policy is trained with.  [default: that of the newest bag]"
)
@click.option(
    "--include", type=Words("demonstrations", "successes"), help="Which episodes train.  [default: demonstrations]"
)
@click.option("--epochs", type=int, help="Passes over the data.  [default: by the amount of data]")
@click.option("--lr", type=float, help="Peak learning rate.")
@click.option("--batch-size", type=int, help="Samples in one step.")
@click.option("--seed", type=int, help="The same seed and data give the same weights on one machine.")
@click.option("--horizon", type=int, help="Actions in a chunk.")
@click.option("--execute", type=int, help="Actions played before the next inference.")
@click.option("--max-prefix", type=int, help="Rows that a flow policy learns to go on from; 0: none.  [default: half]")
@click.option("--held-out", type=float, help="Share of the episodes kept for validation.  [default: 0.1]")
@click.option("--patience", type=int, help="Stop after so many epochs without a better validation loss.")
@click.option(
    "--weights",
    type=Words("sirius", "iwr", "uniform"),
    help="How corrections weigh beside demonstrations and rollouts.  [default: sirius]",
)
@click.option(
    "--replay", type=Words("weighted", "prioritized"), help="Which rows are drawn, and how often.  [default: weighted]"
)
@click.option(
    "--curriculum",
    type=Words("none", "levels", "difficulty"),
    help="What comes first, and what fades in.  [default: none]",
)
@click.option(
    "--up-weight",
    multiple=True,
    callback=_up_weights,
    metavar="MODE=FACTOR",
    help="Let episodes of a failure mode count more; may be given several times.",
)
@click.option(
    "--augment",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML file that says how data are varied.  [default: as the dataset's recipe says]",
)
@click.option("--camera", "cameras", multiple=True, metavar="NAME", help="Let the policy see this camera, too.")
@click.option("--dropout", type=float, help="Share of hidden units left out; lets MC-dropout detect failures.")
@click.option(
    "--precision", type=Words("auto", "fp32", "bf16"), help="bf16: mixed precision.  [default: auto, bf16 on a GPU]"
)
@click.option("--device", type=Words("auto", "cpu", "cuda"), help="Where it is trained.  [default: auto]")
@click.option("--restart", is_flag=True, default=None, help="Begin anew where a training was interrupted.")
@json_option
def train(as_json: bool, **options: Any) -> None:
    """Train a policy from recorded episodes, or from a level of a pyramid.

    A training that was interrupted goes on where it was when the same command is given again.
    """
    console = output()
    # PyTorch takes seconds to import, which `--help` and completion need not wait for.
    from xrollout_ros.core.resources import load_yaml
    from xrollout_ros.learning.training.options import TrainOptions
    from xrollout_ros.ui.training import as_json as told
    from xrollout_ros.ui.training import train_with_progress

    if options["augment"] is not None:
        options["augment"] = load_yaml(options["augment"], "augmentation")
    checked = TrainOptions.of(**{name: value for name, value in options.items() if value is not None})
    result = train_with_progress(checked, console)
    if as_json:
        print_json(told(result))
