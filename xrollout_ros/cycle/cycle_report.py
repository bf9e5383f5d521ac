"""What the report of a cycle says, as a document: ``report.json`` in the cycle's folder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from xrollout_ros.core.document import Strict
from xrollout_ros.cycle.comparing.result import Rate
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.record import Collected, Curated, Ending, Ranked, Stage, Stop, Transition

FORMAT: Literal["xrollout.cycle_report"] = "xrollout.cycle_report"


class Failures(Strict):
    """Why the deployed policy failed."""

    unique_modes: int
    modes: tuple[Ranked, ...]
    new_modes: tuple[str, ...] = Field(description="that no cycle before has seen")
    gone_modes: tuple[str, ...] = Field(description="that cycles before have seen and this one has not")
    diversity_bits: float | None
    plateaued: tuple[str, ...]


class Live(Strict):
    """What the deployed policy did."""

    policy_id: str
    all: Rate
    by_start: dict[str, Rate]
    alarms: int = Field(description="attempts in which an alarm was raised")
    aborted: int
    helped: int
    episodes: tuple[str, ...] = Field(description="ids")


class BeforeAfter(Strict):
    """Both policies from one kind of starts."""

    before: Rate
    after: Rate


class HeldOut(BeforeAfter):
    """Both policies, from starts that neither was trained from."""

    difference: tuple[float, float] = Field(description="of the rates, 95 %, valid at every time")
    failure_rate_reduction: float | None
    verdict: str
    pairs: int
    e_value: float
    by_start: dict[str, BeforeAfter]


class LevelCount(Strict):
    """Episodes of each level of the pyramid after a cycle."""

    cycle: int
    levels: dict[str, int]


class CycleRate(Rate):
    """The deployed policy's success in a cycle."""

    cycle: int


class Convergence(Strict):
    """Success from cycle to cycle, and what a gained point cost."""

    deployed: tuple[CycleRate, ...]
    demonstrations: int
    points_gained: float | None
    demonstrations_per_point: float | None


class CycleReport(Strict):
    """One cycle."""

    format: Literal["xrollout.cycle_report"] = FORMAT
    version: Literal[1] = 1
    cycle_id: str
    number: int
    task: str
    robot: str
    faults: str
    level: str
    stage: Stage | None
    target: str | None = Field(description="failure mode that it is for")
    ending: Ending | None
    stop: Stop | None = Field(description="set: it does not go on by itself")
    reason: str
    next_step: str
    policy_before: PolicyRef | None
    policy_new: PolicyRef | None
    failures: Failures
    edge_case_coverage: float | None = Field(description="share of the starts within reach of a demonstrated one")
    deployed: Live | None
    held_out: HeldOut | None
    collected: Collected | None
    annotation_per_hour: float | None
    failure_to_dataset_s: float | None
    dataset: Curated | None
    level_progression: tuple[LevelCount, ...]
    convergence: Convergence
    durations_s: dict[str, float]
    restarts: int
    decisions: tuple[Transition, ...]
    lessons: tuple[str, ...]
