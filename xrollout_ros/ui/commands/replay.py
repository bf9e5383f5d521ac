"""`xrollout replay`."""

from __future__ import annotations

from pathlib import Path

import click

from xrollout_ros.core.files import check_writable
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.options import bag_of, data_option, episode_argument, json_option


@click.command(
    "replay",
    epilog=epilog(
        "xrollout replay 01M7X5 # the same states, bit for bit?",
        "xrollout replay 01M7X5 --model checkpoint.pt --picture differences.png # where a policy would differ",
        "xrollout replay 01M7X5 --model checkpoint.pt --reproduce 20 # 20 tries from that start",
    ),
)
@episode_argument
@click.option(
    "--model", type=click.Path(path_type=Path), metavar="FILE", help="Compare this policy with what was done."
)
@click.option(
    "--reproduce", type=click.IntRange(min=1), metavar="N", help="With --model: let it try N times from the same start."
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), metavar="PNG", help="Draw the differences over time."
)
@data_option
@json_option
def replay(
    episode: str, model: Path | None, reproduce: int | None, picture: Path | None, data: Path, as_json: bool
) -> None:
    """Replay an attempt in simulation or into a policy, and compare.

    Without --model the attempt's commands are sent to the simulated robot again, from the same start; in the stepped
    drive the same states must come, bit for bit. With --model its observations are fed into that policy, and what the
    policy would have done is compared with what was done; with --reproduce N the policy also drives N attempts from
    that very start, with the engine and the simulated inference delay of the attempt; of one that ran against the clock
    the delay is not reproduced. A real robot is never moved: of its episodes only the observations can be replayed.

    ID is an episode's id, of which the first or last characters are enough; PATH is that of a bag.
    """
    if reproduce is not None and model is None:
        raise click.UsageError("--reproduce needs --model: the policy that is to try again.")
    if picture is not None:
        check_writable(picture, "the picture")
    from xrollout_ros.ui import replay_output as shown
    from xrollout_ros.ui.replaying import replay as replayed

    found = replayed(bag_of(episode, data), model, reproduce)
    if picture is not None:
        from xrollout_ros.ui.replay_picture import draw_replay

        draw_replay(picture, found.recorded, found.actions, found.agreement)
    if as_json:
        print_json(shown.as_json(*found))
        return
    console = output()
    shown.show(console, *found)
    if picture is not None:
        console.print(f"picture: {picture}")
