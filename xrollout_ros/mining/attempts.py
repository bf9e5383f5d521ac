"""Which attempts are mined: those of one policy at one task on one robot, and what was demonstrated for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xrollout_ros.core.episode import EpisodeKind, Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import Condition, Operator, equal, parse
from xrollout_ros.episodes.catalog.query import Question
from xrollout_ros.episodes.lineage.records import read as read_records

MOST = 2000
"""So many attempts are read, the newest; reading a bag takes some ms."""
UNTAGGED = "untagged"
"""Stands for the mode of a failure that nobody has judged."""
UNJUDGED_SEVERITY = 0.5
"""The severity of a failure that nobody has judged."""
_FAILED = frozenset({Outcome.FAILURE.value, Outcome.ABORT.value})
_JUDGED = frozenset({"outcome", "outcome_source", "outcome_reason", "attempt", "success", "helped", "kind"})
_TRAINING = frozenset({"task", "robot"})
"""Filters that hold for demonstrations too."""
_WITHIN_POLICY = frozenset({"policy_id", "checkpoint_hash", "dataset_version", "started_at"})
"""Filters that do not hold for the policies before."""


@dataclass(frozen=True)
class Row:
    """One episode, as the catalog has it now."""

    episode_id: str
    path: str
    """Below the data folder."""
    kind: str
    start: str
    seed: int | None
    policy_id: str
    started_at: str
    outcome: str
    attempt: bool
    success: bool
    helped: bool
    failure_mode: str
    failure_moment_s: float | None
    failure_severity: float | None
    failure_author: str

    @property
    def failed(self) -> bool:
        """An attempt that came to nothing; one that was helped to a success is no failure and no success."""
        return self.attempt and self.outcome in _FAILED

    @property
    def mode(self) -> str:
        """Of a failure."""
        return self.failure_mode or UNTAGGED

    @property
    def severity(self) -> float:
        """0 to 1."""
        return UNJUDGED_SEVERITY if self.failure_severity is None else self.failure_severity

    @property
    def shows(self) -> bool:
        """Whether a person or a script showed in it how the task is done, from its start to the end."""
        done = self.outcome == Outcome.SUCCESS.value
        return done and (self.kind == EpisodeKind.DEMONSTRATION.value or self.helped)


_FIELDS = tuple(Row.__dataclass_fields__)


@dataclass(frozen=True)
class Population:
    """What is mined. All rows are sorted by time, the oldest first."""

    task: str
    robot: str
    policies: tuple[str, ...]
    """The policy or, where several were asked for, policies, oldest first."""
    attempts: tuple[Row, ...]
    """With a known outcome."""
    demonstrations: tuple[Row, ...]
    """Successful ones of the task on the robot, and attempts that an operator helped to a success."""
    history: tuple[Row, ...]
    """Attempts of every policy that the other filters allow."""
    unknown: int
    """Attempts whose outcome nobody knows; they are left out."""
    older: int
    """Attempts that were left out because there are more than are read."""
    trained_from: Mapping[str, frozenset[str]]
    """Policy: the episodes that it was trained from, where training has told the data folder."""
    newest_policy: bool
    """Whether the policy was not asked for, and is the newest of several."""

    @property
    def failures(self) -> tuple[Row, ...]:
        """Attempts that came to nothing."""
        return tuple(row for row in self.attempts if row.failed)

    @property
    def learned_known(self) -> bool:
        """Whether it is known what the policies were trained from."""
        return all(policy in self.trained_from for policy in self.policies)

    @property
    def learned(self) -> tuple[Row, ...]:
        """Demonstrations that the policies were trained from; all there are where that is not known."""
        if not self.learned_known:
            return self.demonstrations
        known = frozenset[str]().union(*(self.trained_from[policy] for policy in self.policies))
        return tuple(row for row in self.demonstrations if row.episode_id in known)

    @property
    def successes(self) -> int:
        """How many succeeded by themselves."""
        return sum(row.success for row in self.attempts)


def population(catalog: Catalog, where: Sequence[Condition] = (), *, most: int = MOST) -> Population:
    """Attempts for which all conditions hold.

    Without a condition on the policy it is the one that made the newest attempt.

    Raises:
        DataError: there is no attempt, they are of several tasks or robots, or a condition is about how they ended: a
            frequency needs all attempts.
    """
    for condition in where:
        if condition.name in _JUDGED or condition.name.startswith("failure_"):
            raise DataError(
                f"the filter on {condition.name!r} leaves some of the attempts out by how they ended",
                "How frequent a failure is needs all of them: leave it out, or choose a failure by --mode.",
            )
    task, robot = _one(catalog, where)
    within = (*where, equal("task", task), equal("robot", robot))
    tried = [*within, parse("attempt=true"), Condition("policy_id", Operator.UNEQUAL, ("",))]
    newest = _rows(catalog, tried, limit=1)
    if not newest:
        raise DataError(
            f"no attempt at {task} by a policy fits the filters",
            "Deploy one: `xrollout up deploy model:=checkpoint.pt`.",
        )
    chosen = any(condition.name == "policy_id" for condition in where)
    if not chosen:
        tried.append(Condition("policy_id", Operator.EQUAL, (newest[0].policy_id,)))
    found = _rows(catalog, tried, limit=most + 1)
    older = catalog.groups(Question(where=tuple(tried), by=(), ids=False))[0].attempts - most if found[most:] else 0
    attempts = tuple(reversed(found[:most]))
    past = [condition for condition in within if condition.name not in _WITHIN_POLICY]
    past += [parse("attempt=true"), Condition("policy_id", Operator.UNEQUAL, ("",))]
    shown = [condition for condition in within if condition.name in _TRAINING]
    # Fewer attempts to read are no reason to know less of what was demonstrated and done before.
    known = max(most, MOST)
    history = tuple(reversed(_rows(catalog, past, limit=10 * known)))
    rated = parse("kind=" + ",".join(kind.value for kind in EpisodeKind if kind.rated))
    unknown = [*(each for each in tried if each.name != "attempt"), rated, parse("outcome=unknown")]
    return Population(
        task=task,
        robot=robot,
        policies=tuple(dict.fromkeys(row.policy_id for row in attempts)),
        attempts=attempts,
        demonstrations=_shown(catalog, shown, known),
        history=history,
        unknown=len(_rows(catalog, unknown, limit=most)),
        older=older,
        trained_from={each.policy_id: frozenset(each.episodes) for each in read_records(catalog.data)[0]},
        newest_policy=not chosen and len({row.policy_id for row in history}) > 1,
    )


def _one(catalog: Catalog, where: Sequence[Condition]) -> tuple[str, str]:
    """The task and robot that fit."""
    question = Question(where=tuple(where), by=("task", "robot"), ids=False)
    found = [(str(each.group["task"]), str(each.group["robot"])) for each in catalog.groups(question)]
    if not found:
        everything = catalog.groups(Question(by=("task",), ids=False))
        known = ", ".join(sorted(str(each.group["task"]) for each in everything))
        if not known:
            raise DataError(
                f"{catalog.data} holds no attempt with a known outcome",
                "Deploy a policy first: `xrollout up deploy model:=checkpoint.pt`, or `xrollout demo`.",
            )
        raise DataError("no attempt fits the filters", f"There are attempts at {known}; `xrollout query` lists them.")
    tasks, robots = sorted({task for task, _ in found}), sorted({robot for _, robot in found})
    if len(tasks) > 1:
        raise DataError(
            f"there are attempts at several tasks: {', '.join(tasks)}", "A plan is for one: choose it with --task."
        )
    if len(robots) > 1:
        raise DataError(
            f"there are attempts at {tasks[0]} on several robots: {', '.join(robots)}",
            "A plan is for one: choose it with --robot.",
        )
    return found[0]


def _shown(catalog: Catalog, where: Iterable[Condition], most: int) -> tuple[Row, ...]:
    demonstrated = _rows(catalog, [*where, parse("kind=demonstration"), parse("outcome=success")], limit=most)
    helped = _rows(catalog, [*where, parse("helped=true"), parse("outcome=success")], limit=most)
    every = {row.episode_id: row for row in (*demonstrated, *helped) if row.shows}
    return tuple(sorted(every.values(), key=lambda row: (row.started_at, row.episode_id)))


def _rows(catalog: Catalog, where: Sequence[Condition], *, limit: int) -> list[Row]:
    """The newest first."""
    found = catalog.episodes(where, limit=limit).select(list(_FIELDS)).to_pylist()
    return [_row(each) for each in found]


def _row(values: dict[str, Any]) -> Row:
    return Row(**values)
