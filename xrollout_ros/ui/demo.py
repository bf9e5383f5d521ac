"""The whole loop in small: a first policy, deployed, its failures mined and demonstrated, a better one compared,
promoted.
"""

from __future__ import annotations

import json
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
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord, Trained
from xrollout_ros.cycle.reporting import durations
from xrollout_ros.mining.tagging import tag_missing
from xrollout_ros.ui import text
from xrollout_ros.ui.console import heading
from xrollout_ros.ui.cycle_page import PAGE
from xrollout_ros.ui.deployment import Attempt, DeploymentSummary, StageTime, Training
from xrollout_ros.ui.flywheel_running import Asked, run_cycles
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.report import write_report
from xrollout_ros.ui.running import require_ros
from xrollout_ros.ui.summary import attempts_of, from_starts, split_by_kind, versions

TASK = "pick_and_place"
STARTS = ("nominal", "wide")
"""What was demonstrated, and wider than that, so that there is something to find out."""
MIN_ATTEMPTS = 10
"""Fewer say little about a rate."""


@dataclass(frozen=True)
class DemoOptions:
    """What the demonstration is made of."""

    folder: Path
    """New or empty."""
    demonstrations: int = 8
    """That the first policy is trained from."""
    attempts: int = 20
    """Of the first policy, from each kind of starts."""
    corrections: int = 15
    """Demonstrations for what it failed at, at most."""
    cycles: int = 1
    seed: int = 0

    @property
    def data(self) -> Path:
        """Folder of the bags."""
        return self.folder / "raw_rollouts"

    @property
    def flywheel(self) -> Path:
        """Folder of the cycles."""
        return self.folder / "flywheel"

    @property
    def command(self) -> str:
        """What to type to have the same again."""
        return (
            f"xrollout demo --demonstrations {self.demonstrations} --episodes {self.attempts} "
            f"--corrections {self.corrections} --cycles {self.cycles} --seed {self.seed}"
        )

    @property
    def recipe(self) -> dict[str, object]:
        """Of its cycles."""
        return {
            "seed": self.seed,
            "deploy": {"attempts": len(STARTS) * self.attempts, "starts": list(STARTS)},
            "collect": {"first": self.demonstrations, "demonstrations": self.corrections},
            # From failed starts at once, whatever the rate: there is one cycle to show it.
            "stages": {"mining": 0.0, "active": 0.9, "auto_labels": 0.95},
        }


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
    """Do it all. Whatever the verdict is, it is an honest one.

    Raises:
        XRolloutError: a stage failed; what was made until then stays.
        KeyboardInterrupt: Ctrl-C; a running graph has ended in order.
    """
    if options.folder.exists() and (not options.folder.is_dir() or any(options.folder.iterdir())):
        raise DataError(f"{options.folder} is there already and not an empty folder", "Name another with --output.")
    require_ros()
    task, stages = load_task(TASK), _Stages(console, 2)
    recipe = options.folder / "recipe.yaml"
    recipe.parent.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    recipe.write_text(json.dumps(options.recipe, indent=1) + "\n", encoding="utf-8")
    place = Place(options.flywheel.resolve(), SystemClock())
    first = text.plural(options.demonstrations, "demonstration")
    title = f"The loop: a first policy of {first}, then {text.plural(options.cycles, 'cycle')} of the flywheel"
    with stages.stage("loop", title):
        asked = Asked(
            folder=place.root, data=options.data.resolve(), cycles=options.cycles, task=TASK, recipe=str(recipe)
        )
        if not run_cycles(asked, console):
            newest = place.newest()
            told = newest.stop.reason if newest is not None and newest.stop is not None else "it did not end"
            raise DataError(f"the loop has stopped: {told}", f"`xrollout flywheel status --folder {place.root}` tells.")
    with stages.stage("report", "What came of it"):
        records = place.records()
        summary = _summarize(options, task, records, tuple(stages.times), console)
        report = options.folder / "report.html"
        write_report(report, summary)
        _tell(summary, report, console)
        _tell_loop(place, records, console)
    spent = [f"{stage.name} {text.duration(stage.duration_s)}" for stage in stages.times]
    slow = sorted(_states(records).items(), key=lambda item: -item[1])[:4]
    spent[0] += f" ({', '.join(f'{name} {text.duration(took)}' for name, took in slow)})"
    console.print(f"\n{text.duration(sum(stage.duration_s for stage in stages.times))} in all: {', '.join(spent)}")
    return summary


def _states(records: list[CycleRecord]) -> dict[str, float]:
    found: dict[str, float] = {}
    for record in records:
        for state, took in durations(record).items():
            found[state] = found.get(state, 0.0) + took
    return found


def _summarize(
    options: DemoOptions, task: TaskSpec, records: list[CycleRecord], times: tuple[StageTime, ...], console: Console
) -> DeploymentSummary:
    """The first policy and its attempts: what the cycles began with."""
    late = tag_missing(options.data, SystemClock())
    if late:
        console.print(f"{text.plural(late, 'attempt')} that the graph had not tagged: tagged now")
    first, began = records[0], records[1]
    assert first.trained is not None
    assert first.collected is not None
    assert began.deployed is not None
    own = {*first.collected.episodes, *began.deployed.episodes}
    demonstrations, attempts = split_by_kind(options.data)
    return DeploymentSummary(
        task=task.id,
        instruction=task.instruction,
        robot=first.robot,
        policy_id=first.trained.policy.policy_id,
        starts=from_starts([each for each in attempts if each.meta.episode_id in own], task),
        data=options.data,
        command=options.command,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        demonstrations=attempts_of([each for each in demonstrations if each.meta.episode_id in own]),
        training=_training(first.trained),
        timings=times,
        versions=versions(),
    )


def _training(trained: Trained) -> Training:
    from xrollout_ros.learning.metadata import read_meta

    checkpoint = Path(trained.policy.checkpoint)
    meta = read_meta(checkpoint)
    history = json.loads(checkpoint.with_name(checkpoint.name + ".json").read_text(encoding="utf-8"))
    return Training(
        checkpoint=checkpoint,
        checkpoint_hash=trained.policy.checkpoint_hash,
        policy=meta.architecture,
        episodes=len(meta.episodes),
        rows=trained.rows,
        losses=tuple(each["train_loss"] for each in history["history"]),
        duration_s=meta.train_s,
        left_out=tuple(sorted(history.get("left_out", {}).items())),
    )


def _tell_loop(place: Place, records: list[CycleRecord], console: Console) -> None:
    """Before and after, and where to look."""
    console.print("\nthe loop")
    for record in records[1:]:
        assert record.ending is not None
        told = f"  cycle {record.number} for {record.target or 'nothing'}: "
        console.print(Text.assemble(told, (record.ending.value.replace("_", " "), "bold")))
        found = record.validated
        if found is not None and found.b.attempts:
            console.print(f"    before {found.a.rate}, after {found.b.rate}, from starts that neither was trained from")
            console.print(f"    difference {100 * found.low:+.0f} to {100 * found.high:+.0f} points (95 %)")
        console.print(f"    {place.folder(record) / PAGE}", soft_wrap=True)
    deployed = place.deployed()
    assert deployed is not None
    console.print(f"  deployed now: {deployed.policy.checkpoint}", soft_wrap=True)
    data = shlex.quote(records[0].data)
    folder = shlex.quote(str(place.root))
    console.print(
        f"  xrollout lineage {deployed.policy.policy_id} --data {data}    # what it came from", soft_wrap=True
    )
    console.print(f"  xrollout flywheel run --folder {folder} --data {data}    # another cycle", soft_wrap=True)


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
