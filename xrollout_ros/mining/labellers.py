"""Who may say why an attempt failed: the rules, and what other packages bring."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from xrollout_ros.core.episode import FailureJudgement
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.episodes.reader import EpisodeData
from xrollout_ros.mining.taxonomy import check_mode
from xrollout_ros.runtime import plugins

GROUP = "xrollout.labellers"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,57}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 2000


@dataclass(frozen=True)
class Label:
    """What a labeller says of one episode."""

    mode: str
    """One of ``taxonomy.FailureMode``, or another name of the same form."""
    moment_s: float
    """When, s since the start of the attempt."""
    severity: float
    """0 harmless to 1 dangerous."""
    confidence: float
    """0 to 1."""
    evidence: str
    """Figures and times, in words."""
    stage: str = ""


class Labeller(Protocol):
    """A class behind an entry point of the group ``xrollout.labellers``, made without arguments.

    It gets what was recorded. In simulation the scene topic, which is for people, draws things where they really are:
    what is to work on a robot does not read that.
    """

    def label(self, episode: EpisodeData) -> Iterable[Label]:
        """Why the attempt ended as it did, most telling first; nothing where it has nothing to say."""
        ...


@dataclass(frozen=True)
class Named:
    """A labeller under the name that its tags carry."""

    name: str
    labeller: Labeller

    @property
    def author(self) -> str:
        """As the journal knows it."""
        return f"model:{self.name}"

    def judge(self, episode: EpisodeData) -> list[FailureJudgement]:
        """Its labels as judgements.

        Raises:
            DataError: it failed, or said what may not be said.
        """
        try:
            labels = list(self.labeller.label(episode))
        except Exception as error:  # another package's code raises anything
            raise DataError(
                f"the labeller {self.name!r} failed on episode {episode.meta.episode_id} "
                f"({type(error).__name__}: {error})",
                "Mend or remove it; the other tags are kept.",
            ) from error
        return [self._judgement(episode, label) for label in labels]

    def _judgement(self, episode: EpisodeData, label: Any) -> FailureJudgement:
        try:
            check_mode(str(label.mode))
            for what, text in (("stage", label.stage), ("evidence", label.evidence)):
                if not isinstance(text, str) or _CONTROL.search(text) or len(text) > _LONGEST:
                    remedy = f"Give up to {_LONGEST} printable letters."
                    raise DataError(f"{what} {str(text)[:60]!r} is not allowed", remedy)
            if not math.isfinite(label.moment_s) or label.moment_s < 0:
                raise DataError(f"moment_s {label.moment_s} is not allowed", "Give s since the start of the attempt.")
            return FailureJudgement(
                episode_id=episode.meta.episode_id,
                mode=str(label.mode),
                stage=label.stage,
                moment_s=label.moment_s,
                severity=label.severity,
                confidence=label.confidence,
                evidence=label.evidence,
                author=self.author,
            )
        except (DataError, ValidationError, AttributeError, TypeError) as error:
            what = error.what if isinstance(error, DataError) else str(error).replace("\n", " ")
            raise DataError(
                f"the labeller {self.name!r} says what may not be said of episode {episode.meta.episode_id}: {what}",
                "Mend it; nothing of what it said was kept.",
            ) from error


def load_labellers(names: Sequence[str]) -> tuple[Named, ...]:
    """Labellers by the names of their entry points.

    Raises:
        SpecError: one is not installed, does not load, or is no labeller.
    """
    loaded = []
    for name in dict.fromkeys(names):
        if not _NAME.fullmatch(name):
            raise SpecError(
                f"labeller {name!r} is not a name", "Use lower-case letters, digits, dots, hyphens, underscores."
            )
        labeller = plugins.make(GROUP, name, {})
        if not callable(getattr(labeller, "label", None)):
            raise SpecError(
                f"the plug-in {name!r} of {GROUP!r} is no labeller: it has no method `label`",
                "xrollout_ros.mining.labellers says what one is.",
            )
        loaded.append(Named(name, labeller))
    return tuple(loaded)
