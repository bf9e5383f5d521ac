"""What a reviewer decides about an episode, what of it goes into the journal, and how it is taken back. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from xrollout_ros.core.episode import FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError, check_name
from xrollout_ros.episodes.journal import Said
from xrollout_ros.episodes.journal_entry import (
    JournalEntry,
    Judged,
    Retracted,
    Reviewed,
    Tagged,
    retracted_ids,
)
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, MODES, FailureMode, check_mode, tag_of

LAYER = "review"
HUMAN = "human:"
VERIFIED = "human-verified"
"""Tag of an episode that a person has looked at."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
_REASON = 1000


def check_reviewer(name: str) -> str:
    """Return ``name`` if it may be a reviewer's.

    Raises:
        DataError: it may not.
    """
    allowed = "up to 64 letters, digits, dots, hyphens, underscores and @, e.g. `--reviewer ann`"
    return check_name("the reviewer", name, _NAME, allowed)


def author_of(reviewer: str) -> str:
    """How the journal names a reviewer."""
    return HUMAN + check_reviewer(reviewer)


@dataclass(frozen=True)
class Decision:
    """What a reviewer says of an episode."""

    outcome: Outcome
    why: FailureJudgement | None = None
    """Its author is the reviewer; None: nothing is said of why."""
    reason: str = ""


def decide(
    author: str,
    episode_id: str,
    duration_s: float,
    outcome_now: Outcome,
    known: Sequence[FailureJudgement],
    *,
    mode: str | None = None,
    outcome: Outcome | None = None,
    moment_s: float | None = None,
    stage: str | None = None,
    reason: str = "",
) -> Decision:
    """Make a decision out of what was said and what holds; what is not said stays as it is.

    Args:
        author: ``human:<name>``.
        episode_id: ULID.
        duration_s: of the episode.
        outcome_now: the one that the reviewer was shown.
        known: why it ended so, as far as the reviewer was told; the most telling first.
        mode: why it failed, or what is worth knowing of its success; None: as it is, where it is still a failure.
        outcome: None: as it is, or as the mode implies.
        moment_s: when it went wrong, s since the start; None: as it is, else the end.
        stage: of the task; None: as it is.
        reason: in the reviewer's words.

    Raises:
        DataError: mode and outcome contradict, or a value is not allowed.
    """
    reason = check_words("reason", reason)
    stage = None if stage is None else check_words("stage", stage)
    if mode is not None:
        check_mode(mode)
    ends = outcome or _implied(mode, outcome_now)
    _check_together(mode, ends)
    if moment_s is not None and not (math.isfinite(moment_s) and 0 <= moment_s <= max(duration_s, 0.0) + 1e-3):
        raise DataError(
            f"the moment {moment_s:g} s is outside of the episode",
            f"It lasted {duration_s:.2f} s; give 0 to that.",
        )
    words = reason or f"{'confirmed' if ends is outcome_now else 'said'} at review"
    before = _before(known, ends, mode)
    if before is None and mode is None:
        if moment_s is not None or stage is not None:
            raise DataError("a moment or stage is given without a mode", "Name the mode too, e.g. `--mode dropped`.")
        return Decision(ends, None, words)
    told = before or FailureJudgement(
        episode_id=episode_id,
        mode=mode or "",
        moment_s=next((each.moment_s for each in known if each.moment_s > 0), duration_s),
        severity=_severity(mode or ""),
        confidence=1.0,
        evidence=reason or "as seen at review",
        author=author,
    )
    changed = {"moment_s": moment_s, "stage": stage}
    why = told.model_copy(
        update={
            "author": author,
            "confidence": 1.0,
            **{name: value for name, value in changed.items() if value is not None},
        }
    )
    return Decision(ends, why, words)


def _implied(mode: str | None, now: Outcome) -> Outcome:
    if mode is None:
        return now
    if mode in IN_SUCCESSES:
        return Outcome.SUCCESS
    if now is Outcome.UNKNOWN and mode == FailureMode.OPERATOR_ABORT:
        return now  # a person ended it, and nobody knows how it would have gone on
    return now if now in (Outcome.FAILURE, Outcome.ABORT) else Outcome.FAILURE


def _check_together(mode: str | None, outcome: Outcome) -> None:
    if mode is None:
        return
    good = mode in IN_SUCCESSES
    if good and outcome is not Outcome.SUCCESS:
        raise DataError(
            f"mode {mode!r} is one of successes, and the outcome is to be {outcome.value}",
            "Say `--outcome success`, or another mode.",
        )
    if not good and outcome is Outcome.SUCCESS:
        raise DataError(
            f"mode {mode!r} says why it failed, and the outcome is to be {outcome.value}",
            "Say `--outcome failure`, or leave the mode out.",
        )


def _before(known: Sequence[FailureJudgement], outcome: Outcome, mode: str | None) -> FailureJudgement | None:
    """What was said before and is said again: the judgement of this mode, or the first that fits the outcome."""
    fits = (each for each in known if (each.mode in IN_SUCCESSES) is (outcome is Outcome.SUCCESS))
    return next((each for each in fits if mode in (None, each.mode)), None)


def _severity(mode: str) -> float:
    try:
        return MODES[FailureMode(mode)].severity
    except ValueError:
        return 0.5  # a mode of somebody's own


def check_words(what: str, words: str) -> str:
    """Return words without blanks around them, if the journal may hold them.

    Raises:
        DataError: it may not.
    """
    if len(words) > _REASON or not words.isprintable():
        raise DataError(f"the {what} {words[:40]!r} has control characters or more than {_REASON}", "Shorten it.")
    return words.strip()


# --- what the journal gets ------------------------------------------------------------------------------------------


def statements(decision: Decision, author: str, episode_id: str, entries: Sequence[JournalEntry]) -> list[Said]:
    """What is to be added to the journal, in one go: the decision, in the place of this reviewer's earlier one.

    Args:
        decision: the reviewer's.
        author: ``human:<name>``.
        episode_id: ULID.
        entries: the journal's about this episode, in the order said.
    """
    earlier = [entry for group in decisions_of(author, entries) for entry in group]
    # What an earlier decision took back stays taken back: undoing this one brings only that decision back.
    what: list[Retracted | Reviewed | Judged | Tagged] = [
        Retracted(entry=entry.id, reason="reviewed again") for entry in earlier if not isinstance(entry.what, Retracted)
    ]
    what.append(Reviewed(outcome=decision.outcome, source=OutcomeSource.HUMAN, reason=decision.reason))
    if decision.why is not None:
        what.append(Judged(judgement=decision.why))
        if decision.why.mode in IN_SUCCESSES:
            what.append(Tagged(tag=tag_of(decision.why.mode), reason=decision.why.evidence))
    what.append(Tagged(tag=VERIFIED, reason=decision.reason))
    return [Said(author, episode_id, each, LAYER) for each in what]


def decisions_of(author: str, entries: Sequence[JournalEntry]) -> list[list[JournalEntry]]:
    """A reviewer's decisions that hold, in the order said; each as the entries of the journal that make it up."""
    gone = retracted_ids(entries)
    groups: dict[str, list[JournalEntry]] = {}
    for entry in entries:
        if entry.author == author and entry.in_layer == LAYER and entry.id not in gone:
            groups.setdefault(entry.batch or entry.id, []).append(entry)
    return [group for group in groups.values() if any(isinstance(each.what, (Reviewed, Judged)) for each in group)]


def undoing(group: Sequence[JournalEntry], author: str, reason: str = "") -> list[Said]:
    """What takes a decision back, what it replaced included."""
    return [Said(author, each.episode_id, Retracted(entry=each.id, reason=reason), LAYER) for each in group]


@dataclass(frozen=True)
class Word:
    """What one reviewer says of an episode in the end."""

    outcome: Outcome
    mode: str = ""
    """Empty: nothing was said of why, or it is a success."""

    @property
    def label(self) -> str:
        """One name for it: the mode; else how it ended."""
        return self.mode or self.outcome.value

    @staticmethod
    def after(before: Word | None, kind: str, name: str) -> Word:
        """The word after one more statement.

        Args:
            before: what this reviewer said until then.
            kind: of the statement, ``outcome`` or ``failure``.
            name: the outcome, or the mode.
        """
        if kind == "outcome":
            return Word(Outcome(name))  # what was said of why belongs to the outcome that was said with it
        implied = Outcome.SUCCESS if name in IN_SUCCESSES else Outcome.FAILURE
        return replace(before, mode=name) if before else Word(implied, name)


def last_words(entries: Iterable[JournalEntry]) -> dict[str, Word]:
    """Each reviewer's own last word on one episode, by author.

    Args:
        entries: the journal's about it, in the order said, without those taken back.
    """
    words: dict[str, Word] = {}
    for entry in entries:
        if not entry.author.startswith(HUMAN) or entry.in_layer != LAYER:
            continue
        if isinstance(entry.what, Reviewed):
            words[entry.author] = Word.after(words.get(entry.author), "outcome", entry.what.outcome.value)
        elif isinstance(entry.what, Judged):
            words[entry.author] = Word.after(words.get(entry.author), "failure", entry.what.judgement.mode)
    return words
