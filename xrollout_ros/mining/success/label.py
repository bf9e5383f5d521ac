"""What a success classifier says of an episode in the journal, and what of it is in force. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xrollout_ros.core.episode import Outcome, OutcomeSource
from xrollout_ros.episodes.journal import Said
from xrollout_ros.episodes.journal_entry import (
    JournalEntry,
    PropertySet,
    Retracted,
    Reviewed,
    Tagged,
    retracted_ids,
)

NAME = "success"
AUTHOR = f"model:{NAME}"
LAYER = AUTHOR
"""What a model says is kept in a layer of its name."""
AUTO_LABELED = "auto-labeled"
"""Tag of an episode whose outcome a classifier has said."""
PROBABILITY = "success_probability"
CLASSIFIER = "success_classifier"
"""Properties: what the classifier found, and which one it was."""


@dataclass(frozen=True)
class Label:
    """What a classifier says of one episode."""

    episode_id: str
    outcome: Outcome | None
    """None: it is unsure, and a person is to say."""
    probability: float
    """Of success."""
    classifier: str
    """Its id."""


def statements(label: Label, confidence: float, entries: Sequence[JournalEntry]) -> list[Said]:
    """What is to be added to the journal, in one go: the label, in the place of an earlier one.

    Args:
        label: what is to be said.
        confidence: the least probability of an outcome that is labelled.
        entries: the journal's about this episode, in the order said.
    """
    # Nearer to 0 or 1 than the digits show is not certain.
    probability = min(max(round(label.probability, 4), 0.0001), 0.9999)
    why = f"probability of success {probability:.4g}, unsure from {1 - confidence:.2g} to {confidence:.2g}"
    what: list[Retracted | Reviewed | Tagged | PropertySet] = [
        Retracted(entry=entry.id, reason="labelled again") for entry in in_force(entries)
    ]
    if label.outcome is not None:
        what.append(Reviewed(outcome=label.outcome, source=OutcomeSource.MODEL, reason=why))
        what.append(Tagged(tag=AUTO_LABELED, reason=f"{label.outcome.value}: {why}"))
    what.append(PropertySet(name=PROBABILITY, value=probability, reason=why))
    what.append(PropertySet(name=CLASSIFIER, value=label.classifier, reason=why))
    return [Said(AUTHOR, label.episode_id, each, LAYER) for each in what]


def taking_back(entries: Sequence[JournalEntry], author: str, reason: str) -> list[Said]:
    """What takes back all that classifiers say of one episode."""
    return [Said(author, each.episode_id, Retracted(entry=each.id, reason=reason)) for each in in_force(entries)]


def in_force(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """What classifiers say of one episode and nobody has taken back."""
    gone = retracted_ids(entries)
    return [
        entry
        for entry in entries
        if entry.author == AUTHOR and entry.id not in gone and not isinstance(entry.what, Retracted)
    ]


def label_in(entries: Sequence[JournalEntry]) -> Label | None:
    """What a classifier says of one episode, as it is in force; None: nothing.

    Args:
        entries: the journal's about it, in the order said.
    """
    outcome, probability, classifier, episode_id = None, None, "", ""
    for entry in in_force(entries):
        what, episode_id = entry.what, entry.episode_id
        if isinstance(what, Reviewed):
            outcome = what.outcome
        elif isinstance(what, PropertySet) and what.name == PROBABILITY and isinstance(what.value, float):
            probability = what.value
        elif isinstance(what, PropertySet) and what.name == CLASSIFIER:
            classifier = str(what.value)
    if probability is None:
        return None
    return Label(episode_id, outcome, probability, classifier)
