"""What the report of a deployment says, as a document: ``report.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from xrollout_ros.core.document import Strict
from xrollout_ros.core.episode import EpisodeKind, InterventionSpan, Outcome, OutcomeSource, Result, SafetyRecord
from xrollout_ros.mining.statistics import SuccessRate

FORMAT: Literal["xrollout.deployment_report"] = "xrollout.deployment_report"


class Attempt(Strict):
    """One attempt, with every judgement on it applied."""

    number: int = Field(description="in the order made, from 1")
    episode_id: str
    open: str = Field(description="the command that opens it, where it went wrong")
    bag: Path
    kind: EpisodeKind
    started_at: str = Field(description="ISO 8601, UTC")
    start: str = Field(description="named start distribution")
    seed: int | None
    environment: str = Field(description="level and site")
    policy_id: str
    outcome: Outcome
    outcome_source: OutcomeSource
    outcome_reason: str
    helped: bool = Field(description="an operator drove for a while: a success is not the policy's")
    duration_s: float
    failure_mode: str = Field(description="empty: nobody has said why, or it is no failure")
    stage: str
    moment_s: float | None = Field(description="of the failure, since the attempt's first command")
    severity: float | None
    evidence: str
    judged_by: str
    tags: dict[str, str] = Field(description="tag: who put it on, and why")
    remarks: tuple[str, ...] = Field(description="tags of a success that are worth knowing")
    interventions: tuple[InterventionSpan, ...] = Field(description="spans in which an operator drove")
    safety_events: int = Field(description="that began")
    lost: int = Field(description="messages known to be missing from the bag")
    start_values: tuple[float, ...] | None = Field(
        default=None, description="what describes its start, by the report's `axes`; none: not looked at, or not known"
    )

    @property
    def result(self) -> Result:
        """What counts of it."""
        return Result(self.outcome, self.helped)


class Group(Strict):
    """Attempts that have something in common, and how often they succeed."""

    name: str
    description: str = ""
    rate: SuccessRate
    remarks: dict[str, int] = Field(default_factory=dict, description="of the successes: tag, and how many have it")
    episodes: tuple[str, ...] = Field(description="ids, in the order made")


class Policy(Group):
    """A policy that drove; ``name`` is its id."""

    checkpoint_hash: str = Field(description="SHA-256 of the file")
    checkpoint: str = Field(description="its file, as far as the data folder knows; empty: it does not")
    dataset_version: str


class Failure(Strict):
    """One way in which attempts failed."""

    mode: str
    meaning: str
    count: int
    low: float = Field(description="Wilson interval of its share of the attempts, 95 %")
    high: float
    severity: float = Field(description="mean, 0 to 1")
    score: float = Field(description="what it costs at the least: `low` times severity")
    episodes: tuple[str, ...]


class Help(Strict):
    """How much an operator drove in the place of the policy."""

    operator: str
    takeovers: int
    seconds: float
    episodes: tuple[str, ...]


class Safety(Strict):
    """A check of the supervisor that struck."""

    check: str
    severity: str
    times: int
    first: SafetyRecord
    episodes: tuple[str, ...]


class Loss(Strict):
    """Messages of a topic that are missing from the bags."""

    topic: str
    received: int
    lost: int
    episodes: tuple[str, ...] = Field(description="with losses, those with the most first")


class Stage(Strict):
    """How long one stage from observation to command took."""

    name: str
    meaning: str
    count: int
    p50_s: float
    p99_s: float
    longest_s: float
    longest_in: str = Field(description="episode id")


class Latency(Strict):
    """Where the time went, in the attempts that were looked into."""

    episodes: int
    commands: int
    from_policy: int
    late: int = Field(description="commands sent more than half a period after their time; in simulated time none are")
    stages: tuple[Stage, ...]


class NotRead(Strict):
    """A bag that cannot be read: if it was an attempt, it counts in nothing here."""

    path: Path
    problem: str


class Training(Strict):
    """How the policy was made."""

    checkpoint: Path
    checkpoint_hash: str = Field(description="SHA-256 of the file")
    policy: str
    episodes: int = Field(description="demonstrations learned from")
    rows: int = Field(description="observations learned from")
    losses: tuple[float | None, ...] = Field(description="mean training loss of each epoch; none: it was no number")
    duration_s: float
    left_out: dict[str, int] = Field(default_factory=dict, description="why episodes were not learned from: how many")


class Story(Strict):
    """How a deployment came about, as far as whoever asks for the report knows."""

    command: str = ""
    training: Training | None = None
    took_s: dict[str, float] = Field(default_factory=dict, description="stage: how long it took")


class DeploymentReport(Strict):
    """One run's attempts at one task, or those that were chosen."""

    format: Literal["xrollout.deployment_report"] = FORMAT
    version: Literal[1] = 1
    run: str = Field(description="id of the run; empty: episodes were chosen otherwise")
    made_at: str = Field(description="of this report: ISO 8601, UTC")
    data: Path
    task: str
    instruction: str
    robot: str
    made: Literal["attempts", "demonstrations"] = Field(
        description="attempts are a policy's; where there is no policy, demonstrations are what is rated"
    )
    began_at: str = Field(description="ISO 8601, UTC; empty: nothing was made")
    ended_at: str
    settings: dict[str, str] = Field(description="what all attempts have in common: drive, engine, operator, …")
    rate: SuccessRate
    by_start: tuple[Group, ...]
    by_environment: tuple[Group, ...]
    policies: tuple[Policy, ...]
    outcomes: dict[str, int]
    failures: tuple[Failure, ...] = Field(description="those that cost most first")
    help: tuple[Help, ...]
    safety: tuple[Safety, ...]
    losses: tuple[Loss, ...]
    latency: Latency | None
    axes: tuple[str, ...] = Field(description="of the starts' values, with units")
    attempts: tuple[Attempt, ...]
    demonstrations: tuple[Attempt, ...] = Field(description="beside the attempts")
    clips: int = Field(description="highlights that were saved; no attempts")
    looked_into: int = Field(description="bags that were opened for starts, curves and times")
    not_read: tuple[NotRead, ...]
    notes: tuple[str, ...] = Field(description="what is to be known of these figures")
    story: Story = Story()
    versions: dict[str, str] = Field(description="what a result may depend on")

    @property
    def unsuccessful(self) -> tuple[Attempt, ...]:
        """Attempts that did not succeed, in order."""
        return tuple(attempt for attempt in self.attempts if attempt.outcome is not Outcome.SUCCESS)
