"""Why an attempt failed, by rules over what was recorded of its topics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from xrollout_ros.core.episode import FailureJudgement, Outcome
from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.core.task import TaggingSpec
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.rules.base import Finding, Rule, Scene
from xrollout_ros.mining.rules.ends import Collision, OperatorAbort, SafetyAbort, SystemFault
from xrollout_ros.mining.rules.handling import (
    Dropped,
    GeneralizationFailure,
    GraspFailure,
    NeverReached,
    PoseError,
    RecoveryFailure,
    Timeout,
)
from xrollout_ros.mining.rules.successes import NearMiss, SuccessfulRecovery
from xrollout_ros.mining.signals import NotApplicableError
from xrollout_ros.mining.takes import Handling
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, FailureMode

__all__ = ["RULES", "Finding", "Report", "Rule", "Scene", "judge", "make_rules"]

RULES: tuple[type[Rule], ...] = (
    SafetyAbort,
    OperatorAbort,
    SystemFault,
    Collision,
    RecoveryFailure,
    Dropped,
    GeneralizationFailure,
    NeverReached,
    GraspFailure,
    PoseError,
    Timeout,
    SuccessfulRecovery,
    NearMiss,
)
"""By precedence: the first finding is the mode that counts."""
_HANDLING = "handling"
_REMEDY = "Mend `tagging.rules` in the TaskSpec; docs/failures.md lists every rule and threshold."


@dataclass(frozen=True)
class Report:
    """What the rules say of one episode."""

    judgements: tuple[FailureJudgement, ...]
    """Most telling first."""
    not_applied: dict[str, str]
    """Rule: why it says nothing, whatever happened."""


def make_rules(tagging: TaggingSpec) -> tuple[tuple[Rule, ...], Handling]:
    """The rules with a task's thresholds.

    Raises:
        SpecError: the task names an unknown rule or threshold, or a value that is not allowed.
    """
    known = {str(rule.MODE.value): rule for rule in RULES}
    unknown = sorted(set(tagging.rules) - set(known) - {_HANDLING})
    if unknown:
        raise SpecError(
            f"tagging.rules names {', '.join(map(repr, unknown))}, which is no rule",
            f"Known are {', '.join([*known, _HANDLING])}. {_REMEDY}",
        )
    name = _HANDLING
    try:
        handling = Handling.model_validate(tagging.rules.get(_HANDLING, {}))
        rules = []
        for name, rule in known.items():
            rules.append(rule.model_validate(tagging.rules.get(name, {})))
    except ValidationError as error:
        raise from_validation(error, "rule", repr(name), _REMEDY) from error
    return tuple(rules), handling


def judge(episode: EpisodeData, rules: tuple[Rule, ...] | None = None) -> Report:
    """Why the attempt failed, or what is worth knowing of its success.

    Args:
        episode: what was recorded.
        rules: by precedence; none given: all, with the task's thresholds.

    Raises:
        SpecError: the TaskSpec of the episode does not fit its robot, or its thresholds are not valid.
    """
    made, handling = make_rules(episode.task.tagging if episode.task is not None else TaggingSpec())
    scene = Scene(episode, handling)
    success = episode.meta.outcome is Outcome.SUCCESS
    judgements, not_applied = [], {}
    for rule in made if rules is None else rules:
        if (rule.MODE in IN_SUCCESSES) is not success:
            continue
        try:
            finding = rule.find(scene)
        except NotApplicableError as reason:
            not_applied[rule.MODE.value] = str(reason)
            continue
        if finding is not None:
            judgements.append(_judgement(episode, rule, finding))
    return Report(tuple(_at_what_shows(judgements, scene)), not_applied)


def _at_what_shows(judgements: Sequence[FailureJudgement], scene: Scene) -> Iterator[FailureJudgement]:
    """An unfamiliar start shows when something goes wrong, by another rule's word, or at the end."""
    for each in judgements:
        if each.mode != FailureMode.GENERALIZATION_FAILURE:
            yield each
            continue
        shows = next((other for other in judgements if other.mode != each.mode), None)
        moment_s, stage = (shows.moment_s, shows.stage) if shows else (scene.duration_s, each.stage)
        yield each.model_copy(update={"moment_s": moment_s, "stage": stage})


def _judgement(episode: EpisodeData, rule: Rule, finding: Finding) -> FailureJudgement:
    return FailureJudgement(
        episode_id=episode.meta.episode_id,
        mode=rule.MODE.value,
        stage=finding.stage,
        moment_s=finding.moment_s,
        severity=rule.severity if finding.severity is None else finding.severity,
        confidence=finding.confidence,
        evidence=finding.evidence,
        author=f"rule:{rule.MODE.value}",
    )
