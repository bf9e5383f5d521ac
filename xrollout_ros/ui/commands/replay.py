"""`xrollout replay`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from xrollout_ros.core.episode import TEMPERATURE
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.files import check_writable
from xrollout_ros.episodes.reader import EpisodeData, read_episode
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.options import bag_of, data_option, json_option
from xrollout_ros.ui.progress import Bar

if TYPE_CHECKING:
    from xrollout_ros.learning.agreement import Agreement
    from xrollout_ros.learning.policies import ChunkPolicy
    from xrollout_ros.sim.replay import ActionReplay, Reproduction

WORST_STEPS = 5


@click.command("replay", epilog="Example: xrollout replay 01M7X5 --model checkpoint.pt --reproduce 20")
@click.argument("episode", metavar="ID|PATH")
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

    EPISODE is the path of a bag, or an episode's id; its first or last characters are enough.
    """
    if reproduce is not None and model is None:
        raise click.UsageError("--reproduce needs --model: the policy that is to try again.")
    if picture is not None:
        check_writable(picture, "the picture")
    recorded = read_episode(bag_of(episode, data))
    actions, agreement, reproduction = None, None, None
    if model is None:
        from xrollout_ros.sim.replay import replay_actions

        with Bar("sending its commands again"):
            actions = replay_actions(recorded)
    else:
        policy = _policy(model, recorded)
        from xrollout_ros.learning.agreement import compare_with_recorded

        with Bar("asking the policy what it would have done"):
            agreement = compare_with_recorded(recorded, policy)
        if reproduce is not None:
            reproduction = _reproduce(recorded, policy, reproduce)
    if picture is not None:
        from xrollout_ros.ui.replay_picture import draw_replay

        draw_replay(picture, recorded, actions, agreement)
    if as_json:
        print_json(_as_json(recorded, actions, agreement, reproduction))
        return
    console = output()
    if actions is not None:
        _show_actions(console, recorded, actions)
    if agreement is not None:
        _show_agreement(console, recorded, agreement)
    if reproduction is not None:
        _show_reproduction(console, recorded, reproduction)
    if picture is not None:
        console.print(f"picture: {picture}")


def _policy(model: Path, recorded: EpisodeData) -> ChunkPolicy:
    from xrollout_ros.learning.checkpoint import load_policy
    from xrollout_ros.learning.metadata import read_bytes, sha256

    if recorded.task is None:
        raise DataError(f"episode {recorded.meta.episode_id} names no task", "No policy can be compared with it.")
    temperature = recorded.meta.parameters.get(TEMPERATURE, 1.0)
    if temperature != 1.0 and sha256(read_bytes(model)) != recorded.meta.checkpoint_hash:
        temperature = 1.0  # that was another policy's
    return load_policy(model, recorded.robot, recorded.task, temperature=temperature)


def _reproduce(recorded: EpisodeData, policy: ChunkPolicy, attempts: int) -> Reproduction:
    from xrollout_ros.sim.replay import reproduce

    made = itertools.count(1)
    with Bar("attempts from the same start") as bar:
        return reproduce(recorded, policy, attempts, lambda outcome: bar.show(next(made), attempts, outcome.value))


def _show_actions(console: Console, recorded: EpisodeData, found: ActionReplay) -> None:
    steps = len(found.difference)
    if found.same:
        console.print(f"commands sent again: all {steps} states are the recorded ones, bit for bit")
    else:
        at = found.diverges_at or 0
        console.print(
            f"commands sent again: states differ from step {at} of {steps} on "
            f"({found.time_s[at]:.2f} s into the attempt)"
        )
        table = _table("observation", "largest difference", "at step")
        for each in found.deviations:
            table.add_row(each.name, f"{each.largest:.3g} {each.unit}", str(each.at_step) if each.largest else "–")
        console.print(table)
    meta = recorded.meta
    told = f"outcome: {found.outcome.value}; recorded: {meta.outcome.value}, said by {meta.outcome_source.value}"
    console.print(told + ("" if found.comparable else ", which a simulator cannot repeat"))
    _remark(console, found.remarks)


def _show_agreement(console: Console, recorded: EpisodeData, found: Agreement) -> None:
    console.print(f"policy against what was done, at {len(found.row)} steps (mean absolute error)")
    table = _table("action", "next action", "whole chunk", "share of range", "most", "at")
    for index, name in enumerate(found.names):
        unit, error = found.units[index], found.chunk[:, index]
        worst = int(error.argmax())
        table.add_row(
            name,
            f"{found.first[:, index].mean():.3g} {unit}",
            f"{error.mean():.3g} {unit}",
            f"{error.mean() / found.span[index]:.1%}",
            f"{error[worst]:.3g} {unit}",
            f"{found.time_s[worst]:.2f} s",
        )
    console.print(table)
    console.print("\nwhere it diverges most (mean over the actions, as a share of their ranges)")
    worst_steps = _table("step", "time", "error", "drove")
    for index in _worst(found):
        row = int(found.row[index])
        worst_steps.add_row(
            str(row), f"{found.time_s[index]:.2f} s", f"{found.overall[index]:.1%}", _source(recorded, row)
        )
    console.print(worst_steps)


def _show_reproduction(console: Console, recorded: EpisodeData, found: Reproduction) -> None:
    meta = recorded.meta
    console.print(f"\nfrom the same start (seed {meta.seed}, {meta.start}): {found.rate}")
    if found.identical:
        console.print("all of them were the same, command for command: this policy does not vary, one attempt says all")
    _remark(console, found.remarks)


def _remark(console: Console, remarks: tuple[str, ...]) -> None:
    for remark in remarks:
        console.print(f"note: {remark}")


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _worst(found: Agreement) -> list[int]:
    return [int(index) for index in found.overall.argsort(kind="stable")[::-1][:WORST_STEPS]]


def _source(recorded: EpisodeData, row: int) -> str:
    from xrollout_ros.core.modes import Source

    return Source(int(recorded.source[row])).name.lower()


def _as_json(
    recorded: EpisodeData, actions: ActionReplay | None, agreement: Agreement | None, found: Reproduction | None
) -> dict[str, Any]:
    document: dict[str, Any] = {"episode": recorded.meta.episode_id, "seed": recorded.meta.seed}
    if actions is not None:
        document["actions"] = {
            "steps": len(actions.difference),
            "same": actions.same,
            "diverges_at": actions.diverges_at,
            "largest": {each.name: each.largest for each in actions.deviations},
            "largest_at_step": {each.name: each.at_step for each in actions.deviations},
            "outcome": actions.outcome.value,
            "recorded_outcome": actions.recorded.value,
            "same_outcome": actions.same_outcome,
            "remarks": list(actions.remarks),
        }
    if agreement is not None:
        document["policy"] = {
            "steps": len(agreement.row),
            "actions": {
                name: {
                    "unit": agreement.units[index],
                    "next_action": float(agreement.first[:, index].mean()),
                    "chunk": float(agreement.chunk[:, index].mean()),
                    "chunk_most": float(agreement.chunk[:, index].max()),
                }
                for index, name in enumerate(agreement.names)
            },
            "worst": [
                {
                    "step": int(agreement.row[index]),
                    "time_s": float(agreement.time_s[index]),
                    "error": float(agreement.overall[index]),
                    "source": _source(recorded, int(agreement.row[index])),
                }
                for index in _worst(agreement)
            ],
        }
    if found is not None:
        document["reproduction"] = {
            "attempts": len(found.outcomes),
            "outcomes": [outcome.value for outcome in found.outcomes],
            "steps": list(found.steps),
            "successes": found.rate.successes,
            "rate": found.rate.rate,
            "low": found.rate.low,
            "high": found.rate.high,
            "confidence": found.rate.confidence,
            "identical": found.identical,
            "remarks": list(found.remarks),
        }
    return document
