"""Trials of two policies: which there are, from which starts, in which order, and a log of what came of them.

In the log the policies are called X and Y, and which is which is not told before the verdict: whoever watches it, or
judges trials on a real robot, does not know whose trial it was.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from xrollout_ros.core.document import Name, Strict
from xrollout_ros.core.episode import Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle.comparing.verdict import Rules
from xrollout_ros.episodes.lines import append_lines

Arm = Literal["A", "B"]
Where = Literal["process", "graph"]
LOG = "trials.jsonl"
EVALUATION = "evaluation"
"""Tag of trials that are recorded."""
FIRST_SEED = 700_000
"""Of the starts that policies are compared from: far from those that deployments, demonstrations and active selection
count up from."""


class PolicyRef(Strict):
    """A policy by its checkpoint."""

    checkpoint: str = Field(description="path of the file")
    checkpoint_hash: str = Field(description="SHA-256 of it")
    policy_id: str

    @classmethod
    def of(cls, checkpoint: Path) -> PolicyRef:
        """The policy of a checkpoint.

        Raises:
            CheckpointError: it is missing or damaged.
        """
        from xrollout_ros.learning.metadata import read_bytes, read_meta, sha256

        meta, found = read_meta(checkpoint), sha256(read_bytes(checkpoint))
        return cls(checkpoint=str(checkpoint.resolve()), checkpoint_hash=found, policy_id=meta.policy_id)


class ComparisonPlan(Strict):
    """What is compared, and how: the first line of the log."""

    comparison_id: str = Field(description="ULID")
    a: PolicyRef = Field(description="the one that is deployed")
    b: PolicyRef = Field(description="the new one")
    task: str
    robot: str
    starts: dict[Name, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        min_length=1, description="share of each named start distribution; each is a stratum"
    )
    first_seed: Annotated[int, Field(ge=0, lt=2**62)] = FIRST_SEED
    faults: str = Field(default="", description="JSON of what happens in each trial; empty: nothing")
    engine: str
    where: Where = Field(description="process: in the in-process loop; graph: each trial is a recorded episode")
    rules: Rules = Rules()
    created_at: str = Field(description="ISO 8601, UTC")
    software_version: str

    def same_as(self, other: ComparisonPlan) -> bool:
        """Whether trials of the other count for this one: all is the same but when it was begun."""
        begun = {"comparison_id": self.comparison_id, "created_at": self.created_at}
        return other.model_copy(update=begun | {"software_version": self.software_version}) == self

    def ref(self, arm: Arm) -> PolicyRef:
        """The policy of an arm."""
        return self.a if arm == "A" else self.b

    def coded(self, arm: Arm) -> str:
        """What an arm is called in the log."""
        odd = hashlib.sha256(self.comparison_id.encode()).digest()[0] % 2
        return "XY"[(arm == "B") ^ odd]

    def arm(self, code: str) -> Arm:
        """The arm that is called so."""
        return "A" if self.coded("A") == code else "B"


class PlannedPair(Strict):
    """Two trials to make."""

    number: int = Field(description="from 1")
    start: str
    seed: int
    order: tuple[Arm, Arm] = Field(description="who is tried first")


class Trial(Strict):
    """What came of one trial; a line of the log."""

    pair: int
    code: Literal["X", "Y"]
    start: str
    seed: int | None = Field(description="none: a real robot, put there by a person")
    outcome: Outcome
    steps: int = Field(description="policy steps until its end")
    episode_id: str = Field(default="", description="empty: not recorded; the seed gives the same attempt")

    @property
    def success(self) -> bool:
        """Whether the policy did it."""
        return self.outcome is Outcome.SUCCESS


def planned(plan: ComparisonPlan, number: int) -> PlannedPair:
    """The pair of this number, from 1: starts in turn by their shares, seeds counting up, the order by a coin."""
    coin = random.Random(f"{plan.first_seed}/{number}").random() < 0.5
    order: tuple[Arm, Arm] = ("A", "B") if coin else ("B", "A")
    return PlannedPair(
        number=number, start=in_turn(plan.starts, number)[-1], seed=plan.first_seed + number - 1, order=order
    )


def in_turn(shares: Mapping[str, float], count: int) -> list[str]:
    """So many starts, each as often as its share says: it is always the turn of the one furthest behind."""
    total, made, found = sum(shares.values()), dict.fromkeys(shares, 0), []
    for number in range(1, count + 1):
        chosen = max(shares, key=lambda name: number * shares[name] / total - made[name])
        made[chosen] += 1
        found.append(chosen)
    return found


class Log:
    """The log of one comparison, in a folder of its own; whole lines, each on the disk before the next trial."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG

    def begin(self, plan: ComparisonPlan) -> ComparisonPlan:
        """Begin it, or go on with what an interrupted run of the same comparison has left.

        Returns:
            The plan that holds: the one that was begun.

        Raises:
            DataError: another comparison lies here, or the log cannot be read or written.
        """
        lines = self._lines()
        # Whoever was killed while the first line was written has left a part of it, and no trial.
        if not lines or (len(lines) == 1 and self._valid(lines[0]) is None):
            self._append(plan.model_dump_json())
            return plan
        begun = self.read_plan()
        if not plan.same_as(begun):
            different = [name for name in type(plan).model_fields if getattr(plan, name) != getattr(begun, name)]
            told = ", ".join(sorted(set(different) - {"comparison_id", "created_at", "software_version"}))
            raise DataError(
                f"{self.path.parent} holds another comparison (different: {told})", "Name another folder with --output."
            )
        return begun

    def add(self, trials: tuple[Trial, ...]) -> None:
        """Add trials, all or none.

        Raises:
            DataError: the disk refuses.
        """
        self._append(*(each.model_dump_json() for each in trials))

    def trials(self) -> Iterator[Trial]:
        """Those that were made. A line that was torn by a kill is passed over: its trial is made again.

        Raises:
            DataError: the log cannot be read.
        """
        for line in self._lines():
            try:
                yield Trial.model_validate_json(line)
            except ValidationError:
                continue

    def read_plan(self) -> ComparisonPlan:
        """What is compared.

        Raises:
            DataError: there is no log, or it is damaged.
        """
        lines = self._lines()
        if not lines:
            raise DataError(f"there is no comparison in {self.path.parent}", "`xrollout compare A B` makes one.")
        for line in lines[:2]:
            found = self._valid(line)
            if found is not None:
                return found
        raise DataError(f"{self.path} is no log of a comparison", "Name another folder with --output.")

    @staticmethod
    def _valid(line: str) -> ComparisonPlan | None:
        try:
            return ComparisonPlan.model_validate_json(line)
        except ValidationError:
            return None

    def _lines(self) -> list[str]:
        try:
            return [line for line in self.path.read_text(encoding="utf-8").split("\n") if line]
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path} cannot be read ({error})", "Name another folder with --output.") from error

    def _append(self, *lines: str) -> None:
        try:
            append_lines(self.path, "".join(line + "\n" for line in lines).encode())
        except OSError as error:
            raise DataError(f"{self.path} cannot be written ({error})", "Free the disk or mend its rights.") from error
