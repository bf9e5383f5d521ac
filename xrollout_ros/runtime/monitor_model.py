"""What an observer of the graph knows at one moment: filled by the graph's observer, drawn by the terminal view."""

from __future__ import annotations

from dataclasses import dataclass

from xrollout_ros.core.modes import Mode, Phase, Source

HEARTBEAT_LATE_S = 0.8
"""Four periods of the 5 Hz heartbeat: a node silent for longer than this is shown as late."""


@dataclass(frozen=True)
class NodeHealth:
    """One node, as its heartbeats tell."""

    name: str
    incarnation: str
    """ULID of the process."""
    lifecycle: str
    """``active``, ``inactive``, …; ``plain`` for a node without a life cycle."""
    heartbeat_age_s: float
    """Since the last heartbeat, on the observer's steady clock."""
    uptime_s: float
    """As of the last heartbeat."""
    worst_tick_s: float
    restarts: int = 0
    """Incarnations seen after the first one."""

    @property
    def late(self) -> bool:
        """Whether heartbeats have ceased to come."""
        return self.heartbeat_age_s > HEARTBEAT_LATE_S


@dataclass(frozen=True)
class TopicRate:
    """How often messages of one topic arrive."""

    topic: str
    rate_hz: float
    """Over the last seconds; 0 when none came."""


@dataclass(frozen=True)
class EpisodeView:
    """The attempt, as the manager tells it."""

    episode_id: str
    phase: Phase
    kind: str
    task: str
    robot: str
    start: str
    seed: int | None
    number: int
    """From 1."""
    total: int
    """0: no end."""
    outcome: str = ""
    """Empty while it runs."""
    outcome_source: str = ""
    outcome_reason: str = ""


@dataclass(frozen=True)
class PolicyView:
    """The policy, as its status tells it."""

    policy_id: str
    engine: str
    latency_s: float
    queue_left: int
    """Rows of the last chunk that are not yet due."""
    chunks_discarded: int = 0
    errors: int = 0
    last_error: str = ""


@dataclass(frozen=True)
class RecorderView:
    """The recorder, as its status tells it."""

    bag: str
    recording: bool
    bytes_written: int
    received: int
    """Messages in the open bag."""
    lost: int
    """Messages known to be missing from it."""
    disk_free: int
    """Bytes."""
    error: str = ""
    ring_s: float = 0.0
    """How far back a highlight would reach."""
    upload_queue: int = -1
    """Bags that wait to be uploaded; -1: nothing is uploaded."""
    upload_error: str = ""


@dataclass(frozen=True)
class SafetyLine:
    """One change of a safety check."""

    age_s: float
    check: str
    severity: str
    began: bool
    action_taken: str


@dataclass(frozen=True)
class FailureLine:
    """One failure tag."""

    episode_id: str
    mode: str
    stage: str
    evidence: str


@dataclass(frozen=True)
class ActionView:
    """One action dimension of the last command."""

    name: str
    value: float
    """As sent, units of the RobotSpec."""
    lower: float
    upper: float
    clipped: bool = False


@dataclass(frozen=True)
class ScoreView:
    """One detector score of the last inference."""

    name: str
    value: float
    threshold: float | None = None
    """Above it the robot's own RobotSpec is alarmed; None: it names none."""


@dataclass(frozen=True)
class FlywheelView:
    """What the cycle does, as the manager tells it."""

    number: int
    state: str
    doing: str
    done: int
    total: int
    """0: not known."""


@dataclass(frozen=True)
class MonitorModel:
    """Everything that the terminal view shows. The defaults mean "nothing heard yet"."""

    namespace: str = "/xrollout"
    waiting_s: float = 0.0
    """Seconds since the observer started, or since the last message of the graph."""
    mode: Mode | None = None
    mode_age_s: float = 0.0
    reason: str = ""
    operator: str = ""
    """Who is in control in TELEOP."""
    help_wanted: str = ""
    """Why somebody should take over; empty: nobody need."""
    episode: EpisodeView | None = None
    attempt_s: float = 0.0
    """How long the attempt has been running, on the observer's steady clock; 0: none is."""
    recent: tuple[str, ...] = ()
    """Outcomes of the attempts that were closed while the observer looked on, newest last."""
    closed: int = 0
    """Attempts of this run that are closed."""
    successes: int = 0
    """Closed attempts of this run that succeeded."""
    command_rate_hz: float = 0.0
    command_source: Source | None = None
    """Source of the last command of this attempt; none: none was heard."""
    action: tuple[ActionView, ...] = ()
    """The last command."""
    scores: tuple[ScoreView, ...] = ()
    flywheel: FlywheelView | None = None
    """None: the graph runs no cycles."""
    policy: PolicyView | None = None
    recorder: RecorderView | None = None
    nodes: tuple[NodeHealth, ...] = ()
    missing: tuple[str, ...] = ()
    """Nodes that the observer expects and has never heard."""
    rates: tuple[TopicRate, ...] = ()
    safety: tuple[SafetyLine, ...] = ()
    """Newest first."""
    failures: tuple[FailureLine, ...] = ()
    """Newest first."""

    @property
    def counted(self) -> int:
        """Attempts in the success rate. A success is known a moment before its bag is closed."""
        return max(self.closed, self.successes)

    @property
    def heard(self) -> bool:
        """Whether anything of the graph has been heard."""
        return self.mode is not None or self.episode is not None or bool(self.nodes)
