"""The `xrollout` command."""

from __future__ import annotations

import click

import xrollout_ros
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.lazy import Entry, RootGroup

SECTIONS = {
    "Begin": {
        "demo": Entry(
            "xrollout_ros.ui.commands.demo:demo",
            "The whole loop in small: deploy, mine, collect, retrain, compare, promote or not.",
        ),
        "init": Entry("xrollout_ros.ui.commands.init:init", "Look at a running robot and write its RobotSpec."),
        "doctor": Entry(
            "xrollout_ros.ui.commands.doctor:doctor",
            "Say what is missing, unsafe, stale, uncalibrated or slow, before a robot moves.",
        ),
        "completion": Entry(
            "xrollout_ros.ui.commands.completion:completion",
            "Print what makes bash, zsh or fish complete what is typed.",
        ),
    },
    "Run a robot": {
        "up": Entry(
            "xrollout_ros.ui.commands.up:up",
            "Start a graph: `deploy` a policy, `record` demonstrations, or run the `flywheel`.",
        ),
        "record": Entry("xrollout_ros.ui.commands.record:record", "Record demonstrations through the graph."),
        "teleop": Entry(
            "xrollout_ros.ui.commands.teleop:teleop", "Take over in a running graph, mark attempts, stop it."
        ),
        "monitor": Entry(
            "xrollout_ros.ui.commands.monitor:monitor", "Watch a running graph, in the terminal or on a web page."
        ),
    },
    "Find out why": {
        "episodes": Entry(
            "xrollout_ros.ui.commands.episodes:episodes", "List, show, open, judge and repair recorded episodes."
        ),
        "query": Entry(
            "xrollout_ros.ui.commands.query:query",
            "Ask the catalog which attempts succeed how often, or which episodes there are.",
        ),
        "report": Entry(
            "xrollout_ros.ui.commands.report:report",
            "Write the report of a run, or of chosen episodes: a page with pictures, and its figures as JSON.",
        ),
        "trace": Entry("xrollout_ros.ui.commands.trace:show_trace", "Print where the time of one attempt went."),
        "replay": Entry(
            "xrollout_ros.ui.commands.replay:replay", "Replay an attempt in simulation or into a policy, and compare."
        ),
        "lineage": Entry(
            "xrollout_ros.ui.commands.lineage:lineage",
            "Walk from an episode, policy, dataset or clip to what it came from, and to what it led to.",
        ),
    },
    "Say what was seen": {
        "review": Entry(
            "xrollout_ros.ui.commands.review:review",
            "Look at ambiguous and sampled episodes, and decide; by keys in the terminal.",
        ),
        "label": Entry(
            "xrollout_ros.ui.commands.label:label",
            "Label the attempts whose outcome nobody has said: success or failure, where the classifier is sure.",
        ),
        "tag": Entry("xrollout_ros.ui.commands.tag:tag", "Put tags and properties on an episode, or on all that fit."),
        "untag": Entry(
            "xrollout_ros.ui.commands.tag:untag", "Take tags and properties off, or take back what was said."
        ),
    },
    "Learn from it": {
        "mine": Entry(
            "xrollout_ros.ui.commands.mine:mine", "Say what to collect next: which failure, from which starts, and why."
        ),
        "collect": Entry(
            "xrollout_ros.ui.commands.collect:collect",
            "Collect demonstrations from where attempts failed, or recoveries from failures that are about to happen.",
        ),
        "generate": Entry(
            "xrollout_ros.ui.commands.generate:generate",
            "Let a policy make rollouts in simulation, as new candidates for training.",
        ),
        "pyramid": Entry(
            "xrollout_ros.ui.commands.pyramid:pyramid", "Sort episodes into four levels, each a dataset to train from."
        ),
        "train": Entry(
            "xrollout_ros.ui.commands.train:train",
            "Train a policy from recorded episodes, or from a level of a pyramid.",
        ),
        "calibrate": Entry(
            "xrollout_ros.ui.commands.calibrate:calibrate",
            "Make an alarm of a policy's scores, from its own successful attempts.",
        ),
    },
    "Deploy what is better": {
        "compare": Entry(
            "xrollout_ros.ui.commands.compare:compare",
            "Say whether policy B is better than policy A: promote, reject or inconclusive.",
        ),
        "gate": Entry(
            "xrollout_ros.ui.commands.gate:gate",
            "Let a policy pass the gate of an environment level, so that it may be deployed at the next one.",
        ),
        "flywheel": Entry(
            "xrollout_ros.ui.commands.flywheel:flywheel",
            "Close the loop: deploy, mine, collect, curate, train, validate, promote or not; again and again.",
        ),
    },
    "Keep the data": {
        "index": Entry(
            "xrollout_ros.ui.commands.index:index", "Bring the catalog in line with the bags and the journal."
        ),
        "upload": Entry(
            "xrollout_ros.ui.commands.upload:upload",
            "Copy the closed bags of the folder DATA to URL, a folder or any fsspec URL.",
        ),
        "uploads": Entry(
            "xrollout_ros.ui.commands.uploads:uploads", "Show which bags were uploaded, which wait, and why."
        ),
    },
}
"""The commands, as the help shows them."""


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"xrollout {xrollout_ros.__version__}")
        ctx.exit()


@click.group(
    cls=RootGroup,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=epilog(
        "xrollout demo # the whole loop in small",
        "xrollout record --task pick_and_place",
        "xrollout train --output checkpoint.pt",
        "xrollout up deploy model:=checkpoint.pt",
        before="`xrollout COMMAND --help` tells more, docs/command_line.md of exit codes and JSON.",
    ),
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error (or set XROLLOUT_DEBUG=1).")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli(debug: bool) -> None:
    """Deploy a robot policy under supervision, record every attempt, and learn from the failures."""


def main() -> None:
    """Entry point of the `xrollout` command."""
    cli.main(prog_name="xrollout")


if __name__ == "__main__":
    main()
