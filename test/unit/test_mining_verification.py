"""On whose word an outcome rests: the bag's, a person's, a program's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.episode import EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes.journal_entry import JournalEntry, Retracted, Reviewed, Tagged, effective
from xrollout_ros.episodes.layers import Layers
from xrollout_ros.mining.verification import BasisKind, outcome_basis

MODEL = "model:success"


def meta_of(source: OutcomeSource = OutcomeSource.NONE, outcome: Outcome = Outcome.UNKNOWN) -> EpisodeMeta:
    known: dict[str, Any] = {"kind": "attempt", "task": "t", "robot": "r", "start": "s", "strategy": "sentry"}
    return EpisodeMeta.model_validate(
        {**known, "episode_id": new_id(), "software_version": "0", "started_at": "", "outcome": outcome,
         "outcome_source": source}
    )  # fmt: skip


def entry(meta: EpisodeMeta, author: str, what: Any) -> JournalEntry:
    return JournalEntry(id=new_id(), time="", author=author, episode_id=meta.episode_id, what=what)


def said(meta: EpisodeMeta, author: str, outcome: Outcome) -> JournalEntry:
    source = OutcomeSource.HUMAN if author.startswith("human:") else OutcomeSource.MODEL
    return entry(meta, author, Reviewed(outcome=outcome, source=source))


@pytest.mark.parametrize(
    ("source", "kind", "verified"),
    [
        (OutcomeSource.ROBOT, BasisKind.ROBOT, True),
        (OutcomeSource.HUMAN, BasisKind.HUMAN_MARK, True),
        (OutcomeSource.TIME_LIMIT, BasisKind.TIME_LIMIT, False),
        (OutcomeSource.SAFETY, BasisKind.SAFETY, False),
        (OutcomeSource.SYSTEM, BasisKind.SYSTEM, False),
        (OutcomeSource.NONE, BasisKind.NONE, False),
    ],
)
def test_the_bags_own_word(source: OutcomeSource, kind: BasisKind, verified: bool) -> None:
    basis = outcome_basis(meta_of(source, Outcome.FAILURE), ())
    assert (basis.kind, basis.outcome, basis.verified, basis.author) == (kind, Outcome.FAILURE, verified, "")


def test_a_label_is_unverified_until_a_person_has_looked() -> None:
    meta = meta_of()
    label = said(meta, MODEL, Outcome.SUCCESS)
    basis = outcome_basis(meta, [label])
    assert (basis.kind, basis.outcome, basis.author) == (BasisKind.AUTO_LABEL, Outcome.SUCCESS, MODEL)
    assert basis.unverified_label
    reviewed = [said(meta, "human:ann", Outcome.FAILURE), entry(meta, "human:ann", Tagged(tag="human-verified"))]
    basis = outcome_basis(meta, [label, *reviewed])
    assert (basis.kind, basis.outcome, basis.verified) == (BasisKind.REVIEWED, Outcome.FAILURE, True)
    undone = [entry(meta, "human:ann", Retracted(entry=each.id)) for each in reviewed]
    assert outcome_basis(meta, [label, *reviewed, *undone]).unverified_label


def test_only_a_persons_tag_after_the_label_vouches_for_it() -> None:
    meta = meta_of()
    label = said(meta, MODEL, Outcome.SUCCESS)
    by_ann, by_model = (entry(meta, by, Tagged(tag="human-verified")) for by in ("human:ann", MODEL))
    off = entry(meta, "human:ann", Tagged(tag="human-verified", on=False))
    assert outcome_basis(meta, [label, by_ann]).verified
    assert not outcome_basis(meta, [by_ann, label]).verified
    assert not outcome_basis(meta, [label, by_model]).verified
    assert not outcome_basis(meta, [label, by_ann, off]).verified
    assert outcome_basis(meta_of(OutcomeSource.ROBOT, Outcome.SUCCESS), [by_ann, off]).verified


def test_a_layer_that_does_not_count_says_nothing() -> None:
    meta = meta_of(OutcomeSource.TIME_LIMIT)
    entries = [said(meta, MODEL, Outcome.SUCCESS)]
    assert outcome_basis(meta, entries, Layers(without=(MODEL,))).kind is BasisKind.TIME_LIMIT


def test_of_others_nothing_is_heard() -> None:
    other = meta_of()
    assert outcome_basis(meta_of(), [said(other, "human:ann", Outcome.SUCCESS)]).kind is BasisKind.NONE


@given(
    st.lists(
        st.tuples(
            st.sampled_from([MODEL, "human:ann", "human:bob", "script"]),
            st.sampled_from([Outcome.SUCCESS, Outcome.FAILURE]),
        ),
        max_size=6,
    ),
    st.sampled_from([OutcomeSource.NONE, OutcomeSource.HUMAN, OutcomeSource.TIME_LIMIT]),
)
def test_a_model_never_overrides_a_person(sayings: list[tuple[str, Outcome]], source: OutcomeSource) -> None:
    meta = meta_of(source, Outcome.ABORT)
    entries = [said(meta, author, outcome) for author, outcome in sayings]
    basis, holds = outcome_basis(meta, entries), effective(meta, entries)
    assert basis.outcome is holds.outcome
    if source is OutcomeSource.HUMAN or any(author.startswith("human:") for author, _ in sayings):
        assert not basis.author.startswith("model:")
        without = [each for each in entries if each.author != MODEL]
        assert holds == effective(meta, without)
