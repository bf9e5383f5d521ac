"""The record of one cycle: where it is, what each step found, how it ended. One JSON file, whole at every moment."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from xrollout_ros.core.document import Strict
from xrollout_ros.core.errors import DataError, first_problem
from xrollout_ros.core.files import write_texts
from xrollout_ros.cycle.comparing.result import Rate
from xrollout_ros.cycle.comparing.trials import PolicyRef
from xrollout_ros.cycle.recipe import FlywheelRecipe

FILE = "cycle.json"
FORMAT: Literal["xrollout.cycle"] = "xrollout.cycle"


D = TypeVar("D", bound=Strict)


class State(str, Enum):
    """Where a cycle is. What it does there begins after the state is on the disk."""

    DEPLOY = "DEPLOY"
    MINE = "MINE"
    COLLECT = "COLLECT"
    CURATE = "CURATE"
    TRAIN = "TRAIN"
    VALIDATE = "VALIDATE"
    PROMOTE = "PROMOTE"
    REJECT = "REJECT"
    INCONCLUSIVE = "INCONCLUSIVE"
    DONE = "DONE"


class Stage(str, Enum):
    """How far the policy is, which says what is collected."""

    BOOTSTRAP = "bootstrap"
    MINING = "mining"
    ACTIVE = "active"
    AUTO_LABELS = "auto_labels"


class Ending(str, Enum):
    """How a cycle ended."""

    PROMOTED = "promoted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"
    ROLLED_BACK = "rolled_back"
    NO_FAILURES = "no_failures"
    PLATEAUED = "plateaued"
    ABANDONED = "abandoned"


class StopName(str, Enum):
    """Why a cycle does not go on by itself; the same command goes on where it is."""

    STOPPED = "stopped"
    WAITING_FOR_ATTEMPTS = "waiting_for_attempts"
    WAITING_FOR_DEMONSTRATIONS = "waiting_for_demonstrations"
    WAITING_FOR_TRIALS = "waiting_for_trials"
    DISK_FULL = "disk_full"
    WORKER_KILLED = "worker_killed"
    NOTHING_TO_TRAIN_FROM = "nothing_to_train_from"
    DIVERGED = "diverged"
    WRONG_CHECKPOINT = "wrong_checkpoint"
    GRAPH_FAILED = "graph_failed"
    FAILED = "failed"


class Stop(Strict):
    """A state that a cycle is in until somebody does something."""

    name: StopName
    reason: str
    next_step: str
    at: str


class Tally(Strict):
    """Successes among attempts."""

    successes: int = 0
    attempts: int = 0

    @property
    def rate(self) -> Rate:
        """With its Wilson interval, 95 %."""
        return Rate.of(self.successes, self.attempts)


class Deployed(Strict):
    """DEPLOY."""

    policy_id: str
    by_start: dict[str, Tally]
    alarms: int = Field(description="attempts in which an alarm was raised")
    aborted: int
    helped: int = 0
    episodes: tuple[str, ...] = Field(description="ids")
    first_failure_at: str = Field(default="", description="when the first attempt began that failed")
    worse_e_value: float = Field(default=1.0, description="against: it does as well live as the one before did")

    @property
    def attempts(self) -> int:
        """With a known outcome."""
        return sum(each.attempts for each in self.by_start.values())

    @property
    def successes(self) -> int:
        """Of the policy by itself."""
        return sum(each.successes for each in self.by_start.values())

    @property
    def all(self) -> Tally:
        """From whatever start."""
        return Tally(successes=self.successes, attempts=self.attempts)

    @property
    def rate(self) -> float:
        """0 without attempts."""
        return self.successes / self.attempts if self.attempts else 0.0


class Ranked(Strict):
    """A failure mode, as mining ranks it."""

    mode: str
    count: int
    score: float
    course: str


class Mined(Strict):
    """MINE."""

    target: str = Field(description="failure mode that the cycle is for; empty: none")
    ranked: tuple[Ranked, ...]
    plateaued: tuple[str, ...] = Field(description="modes that are not collected for any more")
    plan: str = Field(description="file of the collection plan, beside this; empty: none")
    active_plan: str = Field(default="", description="file of a plan for starts chosen by the policy's scores")
    why_no_plan: str = ""
    covered: float | None = Field(
        default=None, description="share of the attempts' starts that lie within reach of a demonstrated one"
    )
    diversity: float = Field(default=0.0, description="entropy of the failure modes, in bits")


class Collected(Strict):
    """COLLECT."""

    way: str = Field(description="how the starts were chosen")
    demonstrations: int = Field(description="successful ones")
    failed: int = 0
    rollouts: int = Field(default=0, description="the policy's own, made for training")
    steps: int = Field(default=0, description="that the operator drove")
    episodes: tuple[str, ...] = ()
    spent_s: float = 0.0


class Curated(Strict):
    """CURATE."""

    dataset: str = Field(description="folder")
    dataset_version: str
    episodes: int
    rows: int
    levels: dict[str, int] = Field(description="episodes of each level")
    left_out: dict[str, int]


class Trained(Strict):
    """TRAIN."""

    policy: PolicyRef
    rows: int
    epochs: int
    train_s: float
    resumed: bool = False


class Validated(Strict):
    """VALIDATE."""

    verdict: Literal["promote", "reject", "inconclusive"]
    reason: str
    comparison: str = Field(default="", description="folder, beside this; empty: there was nothing to compare with")
    pairs: int = 0
    a: Tally = Tally()
    b: Tally = Tally()
    by_start: dict[str, tuple[Tally, Tally]] = Field(default_factory=dict, description="A and B")
    low: float = Field(default=-1.0, description="of B's rate less A's; with `high` valid at every time")
    high: float = 1.0
    e_value: float = 1.0


class Transition(Strict):
    """A state was entered."""

    state: State
    at: str
    why: str


class CycleRecord(Strict):
    """One cycle."""

    format: Literal["xrollout.cycle"] = FORMAT
    version: Literal[1] = 1
    cycle_id: str = Field(description="ULID")
    number: Annotated[int, Field(ge=0)] = Field(description="0: the one that makes the first policy")
    task: str
    robot: str
    data: str
    faults: str = ""
    operator: str
    level: str = "L0"
    recipe: FlywheelRecipe
    base: PolicyRef | None = Field(description="the policy that was deployed when it began")
    state: State
    stage: Stage | None = None
    target: str = Field(default="", description="failure mode that it is for")
    transitions: tuple[Transition, ...]
    deployed: Deployed | None = None
    mined: Mined | None = None
    collected: Collected | None = None
    curated: Curated | None = None
    trained: Trained | None = None
    validated: Validated | None = None
    stop: Stop | None = Field(default=None, description="set: it does not go on by itself")
    restarts: int = Field(default=0, description="times that its process was started again in the middle")
    ending: Ending | None = None
    reason: str = ""
    next_step: str = ""
    lessons: tuple[str, ...] = ()
    software_version: str

    @property
    def began_at(self) -> str:
        """ISO 8601, UTC."""
        return self.transitions[0].at

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.number:03d}"


class FlywheelState(Strict):
    """What is deployed: ``deployed.json``."""

    format: Literal["xrollout.deployed"] = "xrollout.deployed"
    version: Literal[1] = 1
    policy: PolicyRef
    since: str
    why: str
    before: PolicyRef | None = Field(default=None, description="that it was put in the place of")
    reference: dict[str, Tally] = Field(
        default_factory=dict, description="by start: what the one before did, which this one is held against live"
    )
    history: tuple[str, ...] = Field(default=(), description="what was deployed before and why, oldest first")


def write(document: Strict, path: Path) -> None:
    """Write a document, whole or not at all, and on the disk when this returns.

    Raises:
        DataError: the disk refuses; what was there stays.
    """
    write_texts({path: document.model_dump_json(indent=1) + "\n"})


def read_record(path: Path) -> CycleRecord:
    """Read a cycle's record.

    Raises:
        DataError: it is missing or damaged.
    """
    return _read(path, CycleRecord, "cycle")


def read_deployed(path: Path) -> FlywheelState:
    """Read what is deployed.

    Raises:
        DataError: it is missing or damaged.
    """
    return _read(path, FlywheelState, "deployed policy")


def _read(path: Path, kind: type[D], what: str) -> D:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the {what} {path} cannot be read ({error})", "`xrollout flywheel run` begins one.") from error
    except ValidationError as error:
        raise DataError(
            f"{path} is not the record of a {what}: {first_problem(error)}",
            "A newer version may have written it; else bring back a copy, or move the folder away to begin anew.",
        ) from error
