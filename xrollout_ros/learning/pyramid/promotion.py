"""Into which levels an episode belongs: by rules, a reviewer's word, and the filter of each level. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xrollout_ros.learning.pyramid.cases import LEVEL_PROPERTY, Case
from xrollout_ros.learning.pyramid.conditions import Spread, spread_of
from xrollout_ros.learning.pyramid.figures import FIGURES, Kind, Value, figures_of
from xrollout_ros.learning.pyramid.recipe import LEVELS, Recipe, Rule
from xrollout_ros.learning.pyramid.stages.filtering import FILTERS, Candidate, Passed
from xrollout_ros.learning.pyramid.starts import Place

TOP = 4
UNVERIFIED = (
    "its outcome is a program's word, and nobody has verified it: level 4 does not take that; look at it with "
    "`xrollout review`"
)


@dataclass(frozen=True)
class Ruled:
    """What became of a rule."""

    rule: str
    level: int
    held: bool
    words: str
    """Each condition with its figure."""


@dataclass(frozen=True)
class Membership:
    """Whether an episode is in a level, and why."""

    level: int
    wanted: bool
    """A rule or a reviewer put it there."""
    why: str
    """The rule or reviewer that put it there; else why it is not there."""
    gates: tuple[Passed, ...] = ()
    """What the level's filter says of it."""
    refused: str = ""
    """Why it is left out, although it is wanted there; empty: it is in."""

    @property
    def taken(self) -> bool:
        """Whether it is in the level."""
        return self.wanted and not self.refused


@dataclass(frozen=True)
class Judged:
    """An episode, and what the recipe makes of it."""

    case: Case
    place: Place
    figures: Mapping[str, Value]
    rules: tuple[Ruled, ...]
    members: tuple[Membership, ...]
    """Of levels 1 to 4."""

    def member(self, level: int) -> Membership:
        """Of one level."""
        return self.members[level - 1]

    @property
    def level(self) -> int:
        """The highest that it has reached; 0: none."""
        return max((each.level for each in self.members if each.taken), default=0)


def judge(cases: Sequence[Case], places: Mapping[str, Place], recipe: Recipe) -> tuple[Judged, ...]:
    """What the recipe makes of each episode, in the order given."""
    figures = {case.id: figures_of(case, places[case.id]) for case in cases}
    usual = usual_of([figures[case.id] for case in cases if case.demonstrated and case.outcome.value == "success"])
    return tuple(_judge_one(case, places[case.id], figures[case.id], usual, recipe) for case in cases)


def usual_of(demonstrations: Sequence[Mapping[str, Value]]) -> dict[str, Spread]:
    """What is usual among the successful demonstrations, by fact that is a number."""
    found = {}
    for name, figure in FIGURES.items():
        if figure.kind is Kind.NUMBER:
            spread = spread_of(
                [float(value) for each in demonstrations if isinstance(value := each[name], (int, float))]
            )
            if spread is not None:
                found[name] = spread
    return found


def _judge_one(
    case: Case, place: Place, figures: Mapping[str, Value], usual: Mapping[str, Spread], recipe: Recipe
) -> Judged:
    rules = tuple(_apply(rule, figures, usual) for rule in recipe.rules)
    members = []
    for level in LEVELS:
        wanted, why = _wanted(case, level, rules)
        if not wanted:
            members.append(Membership(level, False, why))
            continue
        stage = recipe.levels[level]
        gates = tuple(FILTERS[stage.filter].judge(Candidate(case, figures), stage, usual))
        members.append(Membership(level, True, why, gates, _refused(case, level, gates)))
    return Judged(case, place, figures, rules, tuple(members))


def _apply(rule: Rule, figures: Mapping[str, Value], usual: Mapping[str, Spread]) -> Ruled:
    verdicts = [condition.judge(figures, usual) for condition in rule.when]
    failed = [each.words for each in verdicts if not each.passed]
    words = "; ".join(failed or [each.words for each in verdicts])
    return Ruled(rule.name, rule.level, not failed, words)


def _wanted(case: Case, level: int, rules: Sequence[Ruled]) -> tuple[bool, str]:
    """Whether a rule or a reviewer wants it there, and why, or why not."""
    said = case.reviewer
    if said is not None:
        words = f"{said.author} said {LEVEL_PROPERTY} {said.level}" + (f": {said.reason}" if said.reason else "")
        if level == said.level:
            return True, words
        if level > said.level:
            return False, words
    if level == 1:
        return True, "every episode that may train"
    own = [rule for rule in rules if rule.level == level]
    held = next((rule for rule in own if rule.held), None)
    if held is not None:
        return True, f"{held.rule}: {held.words}"
    return False, f"no rule of level {level} holds"


def _refused(case: Case, level: int, gates: Sequence[Passed]) -> str:
    if level == TOP and case.basis.unverified_label:
        return UNVERIFIED
    # A reviewer has looked at the episode itself, which says more than a gate's figure.
    if case.reviewer is not None and case.reviewer.level == level:
        return ""
    failed = [gate for gate in gates if not gate.passed]
    return "; ".join(f"gate {gate.gate}: {gate.words}" for gate in failed)


def reason_of(membership: Membership) -> str:
    """Why an episode is not in a level, without its own figures: what is counted."""
    if not membership.wanted:
        return membership.why if membership.why.startswith("no rule") else "a reviewer said so"
    if membership.refused == UNVERIFIED:
        return "its outcome is a program's word that nobody has verified"
    failed = [gate.gate for gate in membership.gates if not gate.passed]
    return "gate " + ", ".join(failed)
