"""Review: who waits for whom, what a decision says, undoing, agreement."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeMeta, FailureJudgement, Outcome
from xrollout_ros.core.errors import DataError
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import parse
from xrollout_ros.episodes.catalog.rows import Said as Stated
from xrollout_ros.episodes.journal import Judged, Said
from xrollout_ros.episodes.journal_entry import JournalEntry, effective, retracted_ids
from xrollout_ros.mining.review.agreement import agreements, cohen_kappa
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.review.criteria import Criteria
from xrollout_ros.mining.review.decisions import (
    Word,
    author_of,
    decide,
    decisions_of,
    last_words,
    statements,
    undoing,
)
from xrollout_ros.mining.review.queue import Why, drawn

CLOCK = SystemClock()
EPISODE = "01M7Y4FQ9EP4WGGBQK1BVJFSDV"
ALL = Criteria(sample=1.0, double=0.0)


def record(bags: Any, **values: Any) -> EpisodeMeta:
    meta: EpisodeMeta = bags.meta(**{"outcome": "failure", "duration_s": 2.0, **values})
    folder = paths.episode_dir(bags.data, meta)
    bags.open(folder, meta).close(meta)
    return meta


def judgement(mode: str, confidence: float = 0.95, author: str = "", **values: Any) -> FailureJudgement:
    known: dict[str, Any] = {"episode_id": EPISODE, "moment_s": 1.0, "severity": 0.5, "evidence": "seen"}
    return FailureJudgement(**{**known, **values}, mode=mode, confidence=confidence, author=author or f"rule:{mode}")


def say(data: Path, meta: EpisodeMeta, *judgements: FailureJudgement) -> None:
    said = [each.model_copy(update={"episode_id": meta.episode_id}) for each in judgements]
    journal.append_all(
        data / paths.JOURNAL, [Said(each.author, meta.episode_id, Judged(judgement=each)) for each in said], CLOCK
    )


# --- the queue ----------------------------------------------------------------------------------------------------


def test_every_reason_to_wait_is_found_and_nothing_else(bags: Any) -> None:
    cases: dict[Why | None, list[FailureJudgement]] = {
        Why.UNEXPLAINED: [],
        Why.LOW_CONFIDENCE: [judgement("dropped", 0.6)],
        Why.SEVERAL_MODES: [judgement("grasp_failure", 0.85), judgement("never_reached", 0.8)],
        Why.DISAGREEMENT: [judgement("dropped"), judgement("pose_error", author="model:clip")],
        None: [judgement("grasp_failure", 0.85), judgement("timeout", 0.8)],  # a time limit explains nothing by itself
    }
    wanted = {record(bags, outcome="unknown").episode_id: Why.OUTCOME_UNKNOWN}
    for why, said in cases.items():
        meta = record(bags)
        say(bags.data, meta, *said)
        if why is not None:
            wanted[meta.episode_id] = why
    sure = [[judgement("dropped", 0.95), judgement("never_reached", 0.92)], [judgement("dropped", author="model:m")]]
    for said in sure:
        say(bags.data, record(bags), *said)
    record(bags, outcome="success")
    record(bags, kind="clip", outcome="unknown")
    record(bags, kind="demonstration", outcome="unknown")
    with Catalog(bags.data) as catalog:
        catalog.update()
        reviews = Reviews(catalog, "ann", Criteria(sample=0.0))
        assert {each.episode_id: each.why[0] for each in reviews.queue()} == wanted
        everything = Reviews(catalog, "ann", ALL)
        assert [each.why[0].ambiguous for each in everything.queue()] == [True] * 5 + [False] * 4
        assert len(everything.queue([parse("outcome=success")])) == 1
        assert len(everything.queue([parse("kind=demonstration")])) == 1
        assert everything.queue(limit=2) == everything.queue()[:2]
        assert everything.status().waiting[Why.SAMPLED] == 4


@given(st.lists(st.uuids(), min_size=1, max_size=40, unique=True), st.floats(0, 1), st.floats(0, 1), st.text())
def test_a_sample_is_the_same_each_time_and_within_every_larger_one(
    ids: list[Any], one: float, other: float, salt: str
) -> None:
    small, large = sorted((one, other))
    for name in map(str, ids):
        assert drawn(name, small, salt) == drawn(name, small, salt)
        assert drawn(name, large, salt) or not drawn(name, small, salt)
        assert drawn(name, 1.0, salt)
        assert not drawn(name, 0.0, salt)


def test_a_share_is_about_that_share() -> None:
    ids = [f"01M7Y4FQ9EP4WGGBQK{number:08d}" for number in range(4000)]
    assert 0.17 < sum(drawn(name, 0.2, "review") for name in ids) / len(ids) < 0.23


def test_the_catalog_draws_what_python_draws_and_the_queue_is_stable_while_it_is_worked_on(bags: Any) -> None:
    ids = [record(bags, outcome="success").episode_id for _ in range(30)]
    criteria = Criteria(sample=0.5, double=0.5, salt="a'b")
    with Catalog(bags.data) as catalog:
        catalog.update()
        reviews = Reviews(catalog, "ann", criteria)
        before = [each.episode_id for each in reviews.queue()]
        assert set(before) == {name for name in ids if drawn(name, 0.5, "a'b")}
        assert {each.episode_id for each in reviews.queue() if each.double} == {
            name for name in before if drawn(name, 0.5, "a'b:double")
        }
        while before:
            assert reviews.still_waits(before[0])
            reviews.decide(before[0], outcome=Outcome.SUCCESS)
            assert not reviews.still_waits(before.pop(0))
            assert [each.episode_id for each in reviews.queue()] == before


def test_what_one_has_decided_waits_for_nobody_but_what_two_are_to_see_does(bags: Any) -> None:
    single, twice = record(bags, outcome="unknown"), record(bags, outcome="unknown")
    salt = next(
        text
        for text in map(str, range(1000))
        if (drawn(twice.episode_id, 0.5, f"{text}:double"), drawn(single.episode_id, 0.5, f"{text}:double"))
        == (True, False)
    )
    criteria = Criteria(double=0.5, sample=0.0, salt=salt)
    with Catalog(bags.data) as catalog:
        catalog.update()
        ann, bob, eve = (Reviews(catalog, name, criteria) for name in ("ann", "bob", "eve"))
        for meta in (single, twice):
            ann.decide(meta.episode_id, mode="dropped", reason="slipped")
        assert ann.queue() == []
        (waits,) = bob.queue()
        assert (waits.episode_id, waits.why, waits.double) == (twice.episode_id, (Why.SECOND_LOOK,), True)
        assert (waits.outcome, waits.failure_mode) == ("", "")
        # Bob judges for himself: what Ann has said is shown when he has.
        case = bob.case(twice.episode_id)
        assert (case.hidden, case.holds.outcome, case.judgements) == (1, Outcome.UNKNOWN, ())
        done = bob.decide(twice.episode_id, mode="pose_error")
        assert done.others == {"human:ann": Word(Outcome.FAILURE, "dropped")}
        assert bob.case(twice.episode_id).hidden == 0
        assert (bob.queue(), eve.queue(), ann.queue()) == ([], [], [])
        (found,) = eve.agreement()
        assert (found.modes.n, found.modes.agreed, found.outcomes.agreed, found.enough) == (1, 0, 1, False)
        assert found.differing == (
            (twice.episode_id, Word(Outcome.FAILURE, "dropped"), Word(Outcome.FAILURE, "pose_error")),
        )
        bob.undo()
        assert [each.episode_id for each in bob.queue()] == [twice.episode_id]


def test_decisions_come_into_the_catalog_with_author_reason_and_tag(bags: Any) -> None:
    meta = record(bags)
    say(bags.data, meta, judgement("dropped", 0.6, stage="transport", evidence="lost it"))
    with Catalog(bags.data) as catalog:
        catalog.update()
        reviews = Reviews(catalog, "ann")
        before = reviews.case(meta.episode_id).holds
        reviews.decide(meta.episode_id, reason="slipped")
        (row,) = catalog.episodes([f"id={meta.episode_id}"]).to_pylist()
        assert (row["failure_mode"], row["failure_author"], row["outcome_source"]) == ("dropped", "human:ann", "human")
        assert (row["outcome_reason"], row["tags"], row["failure_confidence"]) == ("slipped", ["human-verified"], 1.0)
        without = catalog.episodes([f"id={meta.episode_id}"], layers=_without_review()).to_pylist()[0]
        assert (without["failure_author"], without["tags"]) == ("rule:dropped", [])
        reviews.decide(meta.episode_id, mode="near_miss")
        holds = reviews.case(meta.episode_id).holds
        assert (holds.outcome, set(holds.tags)) == (Outcome.SUCCESS, {"near-miss", "human-verified"})
        reviews.undo()
        assert reviews.case(meta.episode_id).holds.reason == "slipped"
        assert reviews.undo() == meta.episode_id
        assert reviews.case(meta.episode_id).holds == before
        with pytest.raises(DataError, match="nothing that could be taken back"):
            reviews.undo()
        with pytest.raises(DataError, match="decided nothing about"):
            reviews.undo(meta.episode_id)


def _without_review() -> Any:
    from xrollout_ros.episodes.layers import Layers

    return Layers(None, frozenset({"review"}))


# --- decisions ----------------------------------------------------------------------------------------------------

MODES = st.sampled_from([None, "dropped", "pose_error", "near_miss", "my_own"])
OUTCOMES = st.sampled_from([None, *Outcome])
PEOPLE = st.sampled_from(["human:ann", "human:bob"])
STEPS = st.lists(st.tuples(PEOPLE, MODES, OUTCOMES, st.booleans()), max_size=12)


class Paper:
    """A journal about one episode, in memory."""

    def __init__(self) -> None:
        self.bag = Stated(EPISODE, Outcome.FAILURE, bag_source(), "time", ["evaluation"])
        self.entries: list[JournalEntry] = []
        self.add([Said("rule:dropped", EPISODE, Judged(judgement=judgement("dropped")))])

    def add(self, said: list[Said]) -> None:
        batch = f"b{len(self.entries)}"
        for author, episode_id, what, layer in said:
            number = f"e{len(self.entries)}"
            self.entries.append(
                JournalEntry(
                    id=number, time="", author=author, episode_id=episode_id, what=what, layer=layer, batch=batch
                )
            )

    def holds(self) -> Any:
        return effective(self.bag, self.entries)

    def words(self) -> dict[str, Word]:
        gone = retracted_ids(self.entries)
        return last_words(entry for entry in self.entries if entry.id not in gone)


def bag_source() -> Any:
    from xrollout_ros.core.episode import OutcomeSource

    return OutcomeSource.TIME_LIMIT


@settings(max_examples=200)
@given(STEPS)
def test_undoing_again_and_again_restores_what_held_before_each_decision(steps: list[Any]) -> None:
    paper = Paper()
    seen: list[tuple[str, Any]] = []
    for author, mode, outcome, undo in steps:
        own = decisions_of(author, paper.entries)
        if undo:
            if own:
                paper.add(undoing(own[-1], author))
                at = max(number for number, (by, _) in enumerate(seen) if by == author)
                if seen[at][1] is not None and at == len(seen) - 1:  # nobody has said anything since
                    assert paper.holds() == seen[at][1]
                # What others saw when they said something later was not what holds without this.
                seen[at:] = [(by, None) for by, _ in seen[at + 1 :]]
            continue
        holds = paper.holds()
        try:
            made = decide(author, EPISODE, 2.0, holds.outcome, holds.judgements, mode=mode, outcome=outcome)
        except DataError:
            continue
        seen.append((author, holds))
        paper.add(statements(made, author, EPISODE, paper.entries))
        assert paper.holds().outcome is made.outcome
        assert paper.words()[author] == Word(made.outcome, made.why.mode if made.why else "")
        assert len(decisions_of(author, paper.entries)) == 1
    for author in ("human:ann", "human:bob"):
        while own := decisions_of(author, paper.entries):
            paper.add(undoing(own[-1], author))
    assert paper.holds() == Paper().holds()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mode": "near_miss", "outcome": Outcome.FAILURE}, "one of successes"),
        ({"mode": "dropped", "outcome": Outcome.SUCCESS}, "says why it failed"),
        ({"mode": "Drop it"}, "failure mode 'Drop it' is not allowed"),
        ({"moment_s": 3.0}, "outside of the episode"),
        ({"moment_s": math.nan}, "outside of the episode"),
        ({"outcome": Outcome.SUCCESS, "moment_s": 1.0}, "without a mode"),
        ({"reason": "a\x07b"}, "control characters"),
        ({"reason": "a" * 1001}, "control characters or more"),
    ],
)
def test_words_that_contradict_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        decide("human:ann", EPISODE, 2.0, Outcome.FAILURE, [judgement("dropped")], **arguments)


def test_what_is_not_said_stays_as_it_was() -> None:
    known = [judgement("dropped", stage="transport"), judgement("timeout", moment_s=2.0)]

    def made(**values: Any) -> Any:
        return decide("human:ann", EPISODE, 2.0, Outcome.ABORT, known, **values).why

    assert (made().mode, made().stage, made().evidence, made().author) == ("dropped", "transport", "seen", "human:ann")
    assert (made(mode="timeout").moment_s, made(mode="collision").moment_s) == (2.0, 1.0)
    assert (made(mode="collision").severity, made(mode="collision", reason="hit it").evidence) == (0.8, "hit it")
    assert made(mode="collision", moment_s=0.3).moment_s == 0.3
    assert decide("human:ann", EPISODE, 2.0, Outcome.ABORT, known).outcome is Outcome.ABORT
    assert decide("human:ann", EPISODE, 2.0, Outcome.UNKNOWN, (), mode="dropped").outcome is Outcome.FAILURE
    with pytest.raises(DataError, match="reviewer 'a b' is not allowed"):
        author_of("a b")


# --- agreement ----------------------------------------------------------------------------------------------------


def test_kappa_is_what_the_hand_computes() -> None:
    # 50 episodes: both yes 20, only the first 5, only the second 10, both no 15.
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second)
    # Agreement .7; by chance .5 * .6 + .5 * .4 = .5; kappa (.7 - .5) / (1 - .5).
    assert (found.n, found.agreed, found.value) == (50, 35, pytest.approx(0.4))
    # Fleiss, Cohen and Everitt: (.10972 + .36 * .283 - .1 ** 2) / (50 * .5 ** 2).
    error = math.sqrt((0.10972 + 0.10188 - 0.01) / 12.5)
    assert found.low == pytest.approx(0.4 - 1.959964 * error, abs=1e-6)
    assert found.high == pytest.approx(0.4 + 1.959964 * error, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=60))
def test_kappa_does_not_depend_on_who_is_first_and_stays_in_its_range(pairs: list[tuple[str, str]]) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found, turned = cohen_kappa(one, other), cohen_kappa(other, one)
    if found.value is None:
        assert len({*one, *other}) == 1
        return
    assert turned.value == pytest.approx(found.value)
    assert -1 <= found.value <= 1 + 1e-9
    if found.low is not None and found.high is not None:
        assert -1 <= found.low <= found.value <= found.high <= 1
    if one == other:
        assert (found.value, found.low) == (pytest.approx(1.0), None)


def test_agreement_takes_each_ones_own_last_word_of_what_both_have_seen() -> None:
    success, dropped = Word(Outcome.SUCCESS), Word(Outcome.FAILURE, "dropped")
    words = {
        "e1": {"human:ann": success, "human:bob": success},
        "e2": {"human:ann": dropped, "human:bob": success},
        "e3": {"human:ann": dropped},
        "e4": {"human:eve": dropped},
    }
    (found,) = agreements(words)
    assert (found.first, found.second, found.modes.n, found.modes.agreed) == ("human:ann", "human:bob", 2, 1)
    assert found.confusion == {("success", "success"): 1, ("dropped", "success"): 1}
    assert [name for name, *_ in found.differing] == ["e2"]


# --- two at once --------------------------------------------------------------------------------------------------

_WORK = """
import sys
from pathlib import Path
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.review.criteria import Criteria
with Catalog(Path(sys.argv[1])) as catalog:
    catalog.update()
    reviews = Reviews(catalog, sys.argv[2], Criteria(sample=1.0, double=1.0))
    for each in reviews.queue():
        reviews.decide(each.episode_id, mode=sys.argv[3], reason="seen")
"""


def test_two_processes_review_at_once_and_nothing_is_lost(bags: Any) -> None:
    ids = {record(bags).episode_id for _ in range(12)}
    with Catalog(bags.data) as catalog:
        catalog.update()
    workers = [
        subprocess.Popen([sys.executable, "-c", _WORK, str(bags.data), name, mode], cwd=Path(__file__).parents[2])
        for name, mode in (("ann", "dropped"), ("bob", "pose_error"))
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    read = journal.read(bags.data / paths.JOURNAL)
    assert read.problems == ()
    with Catalog(bags.data) as catalog:
        catalog.update()
        reviews = Reviews(catalog, "eve", ALL)
        assert {name: len(said) for name, said in reviews.words().items()} == dict.fromkeys(ids, 2)
        assert reviews.queue() == []
        assert catalog.disagreements() == []
