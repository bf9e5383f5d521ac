"""The whole way once: record demonstrations, train, deploy on two kinds of unseen starts, report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_task
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.graph.description import describe
from xrollout_ros.learning.training.options import TrainOptions
from xrollout_ros.learning.training.train import TrainResult
from xrollout_ros.mining.tagging import tag_missing
from xrollout_ros.ui import text
from xrollout_ros.ui.console import heading
from xrollout_ros.ui.deployment import Attempt, DeploymentSummary, StageTime, Training
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.report import write_report
from xrollout_ros.ui.running import require_ros, run_graph
from xrollout_ros.ui.summary import attempts_of, from_starts, split_by_kind, versions
from xrollout_ros.ui.training import train_with_progress

TASK = "pick_and_place"
DEMONSTRATED = "nominal"
STARTS = (DEMONSTRATED, "wide")
"""What was demonstrated, and wider than that, so that there is something to find out."""
MIN_ATTEMPTS = 10
"""Fewer say little about a rate."""
UNSEEN_SEEDS = 1000
"""The attempts' seeds lie this far from the demonstrations'."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demonstration is made of."""

    folder: Path
    """New or empty."""
    demonstrations: int = 8
    attempts: int = 20
    """From each kind of starts."""
    seed: int = 0

    @property
    def data(self) -> Path:
        """Folder of the bags."""
        return self.folder / "raw_rollouts"

    @property
    def command(self) -> str:
        """What to type to have the same again."""
        return f"xrollout demo --demonstrations {self.demonstrations} --episodes {self.attempts} --seed {self.seed}"


@dataclass
class _Stages:
    console: Console
    total: int
    times: list[StageTime] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Print a heading, and keep how long the stage takes."""
        heading(self.console, f"{len(self.times) + 1}/{self.total} {title}")
        begin_s = time.monotonic()
        yield
        self.times.append(StageTime(name, time.monotonic() - begin_s))


def run_demo(options: DemoOptions, console: Console) -> DeploymentSummary:
    """Do it all; every stage must succeed, whatever the policy's success rate is.

    Raises:
        XRolloutError: a stage failed; what was made until then stays.
        KeyboardInterrupt: Ctrl-C; a running graph has ended in order.
    """
    if options.folder.exists() and (not options.folder.is_dir() or any(options.folder.iterdir())):
        raise DataError(f"{options.folder} is there already and not an empty folder", "Name another with --output.")
    require_ros()
    task = load_task(TASK)
    stages = _Stages(console, 3 + len(STARTS))
    with stages.stage("record", f"Record {text.plural(options.demonstrations, 'scripted demonstration')} of {TASK}"):
        run_graph(describe("record", _record_arguments(options)), console)
    with stages.stage("train", "Train a policy from them"):
        trained = train_with_progress(_train_options(options), console)
    for start in STARTS:
        title = (
            f"Deploy it: {text.plural(options.attempts, 'attempt')}, {start} starts ({task.starts[start].description})"
        )
        with stages.stage(f"deploy {start}", title):
            run_graph(describe("deploy", _deploy_arguments(options, trained, start)), console)
    with stages.stage("report", "What came of it"):
        summary = _summarize(options, task, trained, tuple(stages.times), console)
        report = options.folder / "report.html"
        write_report(report, summary)
        _tell(summary, report, console)
    spent = ", ".join(f"{stage.name} {text.duration(stage.duration_s)}" for stage in stages.times)
    console.print(f"\n{text.duration(sum(stage.duration_s for stage in stages.times))} in all: {spent}")
    return summary


def _record_arguments(options: DemoOptions) -> dict[str, str]:
    return {
        "task": TASK,
        "episodes": str(options.demonstrations),
        "seed": str(options.seed),
        "start": DEMONSTRATED,
        "data": str(options.data),
    }


def _train_options(options: DemoOptions) -> TrainOptions:
    return TrainOptions.of(
        data=options.data, output=options.folder / "checkpoint.pt", task=TASK, seed=options.seed, held_out=0.0
    )


def _deploy_arguments(options: DemoOptions, trained: TrainResult, start: str) -> dict[str, str]:
    # Attempts, no evaluations: what failed here is to be learned from, and evaluations never train.
    return {
        "model": str(trained.output),
        "episodes": str(options.attempts),
        "seed": str(options.seed + UNSEEN_SEEDS),
        "start": start,
        "data": str(options.data),
    }


def _summarize(
    options: DemoOptions, task: TaskSpec, trained: TrainResult, times: tuple[StageTime, ...], console: Console
) -> DeploymentSummary:
    late = tag_missing(options.data, SystemClock())
    if late:
        console.print(f"{text.plural(late, 'attempt')} that the graph had not tagged: tagged now")
    demonstrations, attempts = split_by_kind(options.data)
    meta = trained.meta
    return DeploymentSummary(
        task=task.id,
        instruction=task.instruction,
        robot=meta.robot,
        policy_id=meta.policy_id,
        starts=from_starts(attempts, task),
        data=options.data,
        command=options.command,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        demonstrations=attempts_of(demonstrations),
        training=Training(
            checkpoint=trained.output,
            checkpoint_hash=trained.checkpoint_hash,
            policy=meta.architecture,
            episodes=len(meta.episodes),
            rows=trained.rows,
            losses=tuple(progress.train_loss for progress in trained.history),
            duration_s=meta.train_s,
            left_out=tuple(sorted(trained.left_out.items())),
        ),
        timings=times,
        versions=versions(),
    )


def _tell(summary: DeploymentSummary, report: Path, console: Console) -> None:
    for start in summary.starts:
        console.print(Text.assemble(f"success from {start.name} starts: ", (str(start.rate), "bold")))
    if summary.unsuccessful:
        console.print("\nwhat did not succeed")
        console.print(_unsuccessful(summary))
    console.print(f"\nbags:       {summary.data}", soft_wrap=True)
    if summary.training is not None:
        console.print(f"checkpoint: {summary.training.checkpoint}", soft_wrap=True)
    console.print(f"report:     {report}", soft_wrap=True)
    example = next(iter(summary.unsuccessful), summary.attempts[0])
    console.print(f"\nhow to open a bag, for instance that of attempt {example.number}")
    for how, what in how_to_open(example.bag):
        console.print(f"  {how}: {what}", soft_wrap=True)
    console.print("\nwhat to ask next")
    for command, why in next_commands(summary, example):
        console.print(f"  {command}    # {why}", soft_wrap=True)
    console.print("docs/find_out_why.md goes all the way, from failed attempts to what to collect next")


def _unsuccessful(summary: DeploymentSummary) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("no.", "start", "seed", "outcome", "tag", "evidence"):
        table.add_column(name, overflow="fold", no_wrap=name not in ("tag", "evidence"))
    for start in summary.starts:
        for attempt in start.attempts:
            if attempt.outcome is not Outcome.SUCCESS:
                tag = " in ".join(part for part in (attempt.failure_mode, attempt.stage) if part) or "none"
                seed = "none" if attempt.seed is None else str(attempt.seed)
                evidence = attempt.evidence or attempt.outcome_reason
                shown = (str(attempt.number), start.name, seed, attempt.outcome.value, tag, evidence)
                table.add_row(*map(Text, shown))
    return table


def next_commands(summary: DeploymentSummary, example: Attempt) -> list[tuple[str, str]]:
    """What to type to find out more, as it stands, and what it is for."""
    data = f" --data {shlex.quote(str(summary.data))}"
    least = f"--success-rate-lt 0.5 --min-attempts {MIN_ATTEMPTS}"
    return [
        (f"xrollout query --task {summary.task} {least} --output failures.json{data}", "where does it fail?"),
        (f"xrollout query --by start,failure --outcome failure,abort{data}", "and why?"),
        (f"xrollout mine --task {summary.task}{data}", "what is worth collecting next?"),
        (f"xrollout episodes show {example.episode_id}{data}", "one attempt"),
    ]
