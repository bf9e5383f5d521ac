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
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.place import Place
from xrollout_ros.cycle.record import CycleRecord, Trained
from xrollout_ros.cycle.reporting import durations
from xrollout_ros.episodes.runs import bags_of
from xrollout_ros.ui import text
from xrollout_ros.ui.console import heading
from xrollout_ros.ui.cycle_page import PAGE as CYCLE_PAGE
from xrollout_ros.ui.deployment import Attempt, DeploymentReport, Story, Training
from xrollout_ros.ui.flywheel_running import Asked, run_cycles
from xrollout_ros.ui.opening import how_to_open
from xrollout_ros.ui.report import PAGE, write_report
from xrollout_ros.ui.run_report import report_bags, told
from xrollout_ros.ui.running import require_ros

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
    took_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Print a heading, and keep how long the stage takes."""
        heading(self.console, f"{len(self.took_s) + 1}/{self.total} {title}")
        begin_s = time.monotonic()
        yield
        self.took_s[name] = time.monotonic() - begin_s


def run_demo(options: DemoOptions, console: Console) -> DeploymentReport:
    """Do it all. Whatever the verdict is, it is an honest one.

    Raises:
        XRolloutError: a stage failed; what was made until then stays.
        KeyboardInterrupt: Ctrl-C; a running graph has ended in order.
    """
    if options.folder.exists() and (not options.folder.is_dir() or any(options.folder.iterdir())):
        raise DataError(f"{options.folder} is there already and not an empty folder", "Name another with --output.")
    require_ros()
    stages = _Stages(console, 2)
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
        report = _report(options, records, stages.took_s)
        _tell(report, options.folder / PAGE, console)
        _tell_loop(place, records, console)
    spent = [f"{name} {text.duration(took_s)}" for name, took_s in stages.took_s.items()]
    slow = sorted(_states(records).items(), key=lambda item: -item[1])[:4]
    spent[0] += f" ({', '.join(f'{name} {text.duration(took)}' for name, took in slow)})"
    console.print(f"\n{text.duration(sum(stages.took_s.values()))} in all: {', '.join(spent)}")
    return report


def _states(records: list[CycleRecord]) -> dict[str, float]:
    found: dict[str, float] = {}
    for record in records:
        for state, took in durations(record).items():
            found[state] = found.get(state, 0.0) + took
    return found


def _report(options: DemoOptions, records: list[CycleRecord], took_s: dict[str, float]) -> DeploymentReport:
    """Write that of the first policy and its attempts: what the cycles began with."""
    first, began = records[0], records[1]
    assert first.trained is not None
    assert first.collected is not None
    assert began.deployed is not None
    story = Story(command=options.command, training=_training(first.trained), took_s=took_s)
    episodes = (*first.collected.episodes, *began.deployed.episodes)
    made = report_bags(options.data.resolve(), bags_of(options.data.resolve(), episodes), story=story)
    write_report(options.folder, made)
    return made.report


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
        left_out=dict(sorted(history.get("left_out", {}).items())),
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
        console.print(f"    {place.folder(record) / CYCLE_PAGE}", soft_wrap=True)
    deployed = place.deployed()
    assert deployed is not None
    console.print(f"  deployed now: {deployed.policy.checkpoint}", soft_wrap=True)
    data = shlex.quote(records[0].data)
    folder = shlex.quote(str(place.root))
    console.print(
        f"  xrollout lineage {deployed.policy.policy_id} --data {data}    # what it came from", soft_wrap=True
    )
    console.print(f"  xrollout flywheel run --folder {folder} --data {data}    # another cycle", soft_wrap=True)


def _tell(report: DeploymentReport, page: Path, console: Console) -> None:
    for line in told(report):
        console.print(line, soft_wrap=True)
    if report.unsuccessful:
        console.print("\nwhat did not succeed")
        console.print(_unsuccessful(report))
    console.print(f"\nbags:       {report.data}", soft_wrap=True)
    if report.story.training is not None:
        console.print(f"checkpoint: {report.story.training.checkpoint}", soft_wrap=True)
    console.print(f"report:     {page}", soft_wrap=True)
    example = next(iter(report.unsuccessful), report.attempts[0])
    console.print(f"\nhow to open a bag, for instance that of attempt {example.number}")
    for how, what in how_to_open(example.bag):
        console.print(f"  {how}: {what}", soft_wrap=True)
    console.print("\nwhat to ask next")
    for command, why in next_commands(report, example):
        console.print(f"  {command}    # {why}", soft_wrap=True)
    console.print("docs/find_out_why.md goes all the way, from failed attempts to what to collect next")


def _unsuccessful(report: DeploymentReport) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("no.", "start", "seed", "outcome", "tag", "evidence"):
        table.add_column(name, overflow="fold", no_wrap=name not in ("tag", "evidence"))
    for attempt in report.unsuccessful:
        tag = " in ".join(part for part in (attempt.failure_mode, attempt.stage) if part) or "none"
        seed = "none" if attempt.seed is None else str(attempt.seed)
        evidence = attempt.evidence or attempt.outcome_reason
        table.add_row(*map(Text, (str(attempt.number), attempt.start, seed, attempt.outcome.value, tag, evidence)))
    return table


def next_commands(report: DeploymentReport, example: Attempt) -> list[tuple[str, str]]:
    """What to type to find out more, as it stands, and what it is for."""
    data = f" --data {shlex.quote(str(report.data))}"
    least = f"--success-rate-lt 0.5 --min-attempts {MIN_ATTEMPTS}"
    return [
        (f"xrollout query --task {report.task} {least} --output failures.json{data}", "where does it fail?"),
        (f"xrollout query --by start,failure --outcome failure,abort{data}", "and why?"),
        (f"xrollout mine --task {report.task}{data}", "what is worth collecting next?"),
        (f"xrollout episodes show {example.episode_id}{data}", "one attempt"),
    ]
