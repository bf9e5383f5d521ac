"""Training on a data folder, labels in its journal, the blind sample, and every way in which the work is stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from xrollout_ros.core.episode import EpisodeMeta, FailureJudgement, Outcome, OutcomeSource
from xrollout_ros.core.resources import load_robot
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.catalog.filters import parse
from xrollout_ros.episodes.journal import Judged, Reviewed, Said
from xrollout_ros.mining.review.api import Reviews
from xrollout_ros.mining.review.criteria import Criteria
from xrollout_ros.mining.review.queue import Why, to_check
from xrollout_ros.mining.success import checks, labelling, training
from xrollout_ros.mining.success.checks import SALT
from xrollout_ros.mining.success.classifier import load, place_of, save
from xrollout_ros.mining.success.examples import Source, episodes_of
from xrollout_ros.mining.success.label import AUTHOR, AUTO_LABELED
from xrollout_ros.mining.success.labelling import label, take_back
from xrollout_ros.mining.success.rule import Rule, RuleState
from xrollout_ros.mining.success.stops import Stop, StoppedError
from xrollout_ros.mining.success.training import Trained, train
from xrollout_ros.mining.verification import BasisKind, outcome_basis
from xrollout_ros.ui.label_output import trained_json

from .success_data import attempt, marked

SURE: dict[str, Any] = {"confidence": 0.7, "trees": 20}
"""So few short attempts make nothing surer; and quick."""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, messages: Any) -> tuple[Path, dict[str, bool], Trained]:
    """44 marked attempts and 30 that nobody judged, with their truth, and a classifier."""
    from .conftest import Bags

    bags = Bags(tmp_path_factory.mktemp("recorded") / "data", messages)
    marked(bags, 44)
    truth = {attempt(bags, number, number % 3 != 0).episode_id: number % 3 != 0 for number in range(100, 130)}
    with Catalog(bags.data) as catalog:
        catalog.update()
        made = train(catalog, **SURE)
    save(place_of(bags.data, "pick_and_place", "metaworld_sawyer"), made.classifier)
    return bags.data, truth, made


@pytest.fixture
def folder(recorded: tuple[Path, dict[str, bool], Trained], tmp_path: Path) -> Path:
    shutil.copytree(recorded[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def catalog(folder: Path) -> Any:
    with Catalog(folder) as opened:
        opened.update()
        yield opened


def stopped(state: Stop, act: Any) -> StoppedError:
    with pytest.raises(StoppedError) as error:
        act()
    assert error.value.state is state, str(error.value)
    assert error.value.reason
    assert error.value.next_step
    return error.value


# --- training -----------------------------------------------------------------------------------------------------


def test_it_learns_from_what_people_said_and_the_seed_decides(
    recorded: tuple[Path, dict[str, bool], Trained], catalog: Catalog
) -> None:
    made = recorded[2]
    assert made.sources == {"person": {"failure": 22, "success": 22}}
    assert made.quality.auc > 0.95
    assert made.quality.brier < made.quality.brier_of_rate
    assert set(made.held_out) == set(made.classifier.meta.episodes)
    told = trained_json(made, Path("c.npz"))
    assert json.loads(json.dumps(told)) == told | {"band": list(made.classifier.band)}
    assert sum(each["episodes"] for each in told["reliability"]) == 44
    assert train(catalog, **SURE).classifier.id == made.classifier.id
    assert train(catalog, **SURE, seed=1).classifier.id != made.classifier.id


@pytest.mark.parametrize(
    ("source", "outcome", "robot_works", "vouched"),
    [
        ("robot", "success", False, Source.ROBOT),
        ("human", "failure", False, Source.PERSON),
        ("human", "unknown", False, None),
        ("time_limit", "failure", True, Source.SILENCE),
        ("time_limit", "failure", False, None),
        ("time_limit", "unknown", True, None),
        ("safety", "abort", True, None),
        ("none", "unknown", True, None),
    ],
)
def test_who_vouches_for_an_outcome(
    bags: Any, source: str, outcome: str, robot_works: bool, vouched: Source | None
) -> None:
    meta = attempt(bags, 0, True, outcome=outcome, outcome_source=source)
    if robot_works:
        attempt(bags, 1, True, outcome="success", outcome_source="robot")
    with Catalog(bags.data) as catalog:
        catalog.update()
        found = next(each for each in episodes_of(catalog).examples if each.episode_id == meta.episode_id)
    assert found.source is vouched
    unjudged = (source, outcome) in {("time_limit", "unknown"), ("none", "unknown")}
    assert found.wanted is (unjudged or (source == "time_limit" and not robot_works))


def test_what_is_missing_for_training_is_a_named_state(bags: Any) -> None:
    def told(*where: str, **options: Any) -> Any:
        with Catalog(bags.data) as catalog:
            catalog.update()
            return train(catalog, [parse(each) for each in where], trees=10, **options)

    bags.data.mkdir()
    stopped(Stop.NO_EPISODES, told)
    attempt(bags, 900, True)
    assert "0 successes and 0 failures" in stopped(Stop.TOO_FEW, told).reason
    made = marked(bags, 12)
    stopped(Stop.NO_SUCCESSES, lambda: told("outcome=failure"))
    stopped(Stop.NO_FAILURES, lambda: told("outcome=success"))
    assert "6 successes and 6 failures" in stopped(Stop.TOO_FEW, told).reason
    made += marked(bags, 30, 100)
    assert told().sources == {"person": {"failure": 21, "success": 21}}
    assert "counted are those of robot" in stopped(Stop.TOO_FEW, lambda: told(sources=[Source.ROBOT])).reason
    for meta in made[:10]:
        next(paths.episode_dir(bags.data, meta).glob("*.mcap")).write_bytes(b"torn")
    assert "10 cannot" in stopped(Stop.UNREADABLE, told).reason
    attempt(bags, 901, True, task="push", started_at="2026-02-01T00:00:00+00:00")
    assert "push" in stopped(Stop.SEVERAL, told).reason
    stopped(Stop.NO_EPISODES, lambda: told("task=peg_insert"))


def test_what_shows_nothing_trains_nothing(bags: Any) -> None:
    for number in range(44):
        said = {"outcome": "success" if number % 2 else "failure", "outcome_source": "human"}
        attempt(bags, number, number % 4 < 2, **said)
    with Catalog(bags.data) as catalog:
        catalog.update()
        assert "not plainly better than chance" in stopped(Stop.UNINFORMATIVE, lambda: train(catalog, trees=20)).reason


# --- labels -------------------------------------------------------------------------------------------------------


def test_labels_are_said_in_one_go_and_can_be_taken_back(
    recorded: tuple[Path, dict[str, bool], Trained], catalog: Catalog
) -> None:
    truth = recorded[1]
    before = catalog.episodes()["outcome"].to_pylist()
    assert not label(catalog, dry=True).batch
    assert catalog.episodes()["outcome"].to_pylist() == before
    found = label(catalog)
    sure = {each.episode_id: each.outcome for each in found.labels if each.outcome is not None}
    assert {each.episode_id for each in found.labels} == set(truth)
    assert len(sure) > 20
    right = sum((outcome is Outcome.SUCCESS) is truth[name] for name, outcome in sure.items())
    assert right >= 0.9 * len(sure)
    rows = {row["episode_id"]: row for row in catalog.episodes(["outcome_source=model"]).to_pylist()}
    assert set(rows) == set(sure)
    for name, outcome in sure.items():
        row = rows[name]
        assert row["outcome"] == outcome.value
        assert AUTO_LABELED in row["tags"]
        assert "probability of success" in row["outcome_reason"]
    unsure = {each.episode_id for each in found.labels} - set(sure)
    properties = {name: given for name, _, given in catalog.said_of(list(truth))}
    assert all(0 < properties[name]["success_probability"] < 1 for name in truth)
    assert all(properties[name]["success_classifier"] == found.classifier.id for name in truth)
    waits = {each.episode_id: each.why[0] for each in Reviews(catalog, "ann", Criteria(sample=0)).queue()}
    assert {name for name, why in waits.items() if why is Why.CLASSIFIER_UNSURE} == unsure
    assert {name for name, why in waits.items() if why is Why.CHECK_OF_LABEL} == {
        name for name in sure if to_check(name, found.classifier.id, 0.2, SALT)
    }
    again = label(catalog)
    assert (again.labels, again.already) == ((), len(truth))
    layers = {entry.in_layer for entry in catalog.entries(found.batch)}
    assert layers == {AUTHOR}
    assert take_back(catalog, "human:ann") == len(truth)
    assert catalog.episodes()["outcome"].to_pylist() == before
    assert not catalog.episodes([f"tag={AUTO_LABELED}"]).num_rows


def test_people_come_first_whoever_spoke_last(catalog: Catalog) -> None:
    name = episodes_of(catalog).wanted()[0].episode_id
    ann = Reviews(catalog, "ann")
    said = ann.decide(name, outcome=Outcome.UNKNOWN, reason="out of sight")
    found = label(catalog)
    assert name not in {each.episode_id for each in found.labels}
    # Another program may say it all the same; it changes nothing.
    catalog.say([Said("model:other", name, Reviewed(outcome=Outcome.SUCCESS, source=OutcomeSource.MODEL))])
    assert ann.case(name).holds.outcome is Outcome.UNKNOWN
    assert said.decision.outcome is Outcome.UNKNOWN


def test_a_person_who_decides_meanwhile_is_not_overruled(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    name = episodes_of(catalog).wanted()[0].episode_id
    describe = labelling.describe

    def slowly(*arguments: Any) -> Any:
        found = describe(*arguments)
        with Catalog(catalog.data) as other:
            other.update()
            Reviews(other, "ann").decide(name, outcome=Outcome.FAILURE)
        return found

    monkeypatch.setattr(labelling, "describe", slowly)
    assert name not in {each.episode_id for each in label(catalog).labels}


def checked(catalog: Catalog, share_wrong: float) -> None:
    """A person decides about every label of the sample, without seeing it."""
    ann = Reviews(catalog, "ann", Criteria(sample=0, double=0))
    waits = [each for each in ann.queue() if each.why[0] is Why.CHECK_OF_LABEL]
    for number, each in enumerate(waits):
        case = ann.case(each.episode_id)
        assert case.label is not None
        label_of = case.label.outcome
        wrong = number < share_wrong * len(waits)
        other = Outcome.FAILURE if label_of is Outcome.SUCCESS else Outcome.SUCCESS
        ann.decide(each.episode_id, outcome=other if wrong else label_of)


def test_the_reviewer_sees_nothing_of_the_label_until_it_is_decided(
    recorded: tuple[Path, dict[str, bool], Trained], catalog: Catalog
) -> None:
    label(catalog)
    ann, bob = (Reviews(catalog, name, Criteria(sample=0, double=1.0)) for name in ("ann", "bob"))
    waits = next(each for each in ann.queue() if each.why[0] is Why.CHECK_OF_LABEL)
    # The tagger has looked since, and knows of the label.
    late = FailureJudgement(
        episode_id=waits.episode_id, mode="near_miss", moment_s=0.1, severity=0.1, confidence=0.95, evidence="seen",
        author="rule:near_miss",
    )  # fmt: skip
    catalog.say([Said(late.author, waits.episode_id, Judged(judgement=late))])
    waits = next(each for each in ann.queue() if each.episode_id == waits.episode_id)
    assert (waits.why, waits.outcome, waits.failure_mode) == ((Why.CHECK_OF_LABEL,), "", "")
    case = ann.case(waits.episode_id)
    assert case.sealed
    assert case.judgements == ()
    shown = (case.holds.outcome, case.holds.source, case.holds.reason, case.holds.tags, case.holds.properties)
    assert shown == (Outcome.UNKNOWN, OutcomeSource.TIME_LIMIT, "", {}, {})
    assert case.label is not None
    meant = case.label.outcome
    done = ann.decide(waits.episode_id, outcome=Outcome.FAILURE if meant is Outcome.SUCCESS else Outcome.SUCCESS)
    assert done.label == case.label
    assert not ann.case(waits.episode_id).sealed
    second = next(each for each in bob.queue() if each.episode_id == waits.episode_id)
    assert (second.why, second.outcome) == ((Why.SECOND_LOOK,), "")
    assert bob.case(waits.episode_id).sealed
    ann.undo(waits.episode_id)
    assert ann.case(waits.episode_id).sealed


def test_people_who_agree_make_the_sample_smaller(catalog: Catalog) -> None:
    found = label(catalog)
    (status,) = checks.standings(catalog)
    assert (status.standing.state, status.current) == (RuleState.GATHERING, True)
    count = status.standing.tally.drawn
    assert count == found.drawn > 0
    checked(catalog, 0.0)
    rule = Rule(least=count, beyond=0.9)
    (status,) = checks.standings(catalog, rule)
    assert status.standing.state is RuleState.WIDEN
    assert status.unverified == sum(each.outcome is not None for each in found.labels) - count
    with catalog.connect() as connection:
        assert checks.asked_of(connection, rule).classifiers == (found.classifier.id,)
        assert checks.asked_of(connection).classifiers == ()


def test_people_who_disagree_stop_the_labels_until_it_is_trained_anew(catalog: Catalog) -> None:
    label(catalog)
    checked(catalog, 1.0)
    (status,) = Reviews(catalog, "ann").status().labels
    assert status.standing.state is RuleState.RETRAIN
    stop = stopped(Stop.RETRAIN, lambda: label(catalog))
    assert stop.reason == status.standing.reason
    assert "label train" in stop.next_step


def test_a_new_classifier_replaces_what_nobody_has_checked(
    recorded: tuple[Path, dict[str, bool], Trained], catalog: Catalog
) -> None:
    first = label(catalog)
    checked(catalog, 0.0)
    verified = {row["episode_id"] for row in catalog.episodes(["outcome_source=human"]).to_pylist()}
    fresh = train(catalog, **SURE, seed=5)
    assert fresh.sources["person"]["success"] > 22
    save(place_of(catalog.data, "pick_and_place", "metaworld_sawyer"), fresh.classifier)
    second = label(catalog)
    assert second.standing.state is RuleState.GATHERING
    said = {each.episode_id for each in second.labels}
    assert said == {each.episode_id for each in first.labels} - verified
    with catalog.connect() as connection:
        found = checks.labels_of(connection)
    own = {each.episode_id for each in found if each.classifier == second.classifier.id}
    assert own == {each.episode_id for each in second.labels if each.outcome is not None}
    # Those that were not drawn of the first may be of the second.
    assert second.drawn > 0
    standings = {each.classifier: each.current for each in checks.standings(catalog)}
    assert standings[second.classifier.id] and not standings[first.classifier.id]


def test_a_label_rests_on_a_program_until_a_person_has_looked(catalog: Catalog) -> None:
    name = next(each.episode_id for each in label(catalog).labels if each.outcome is not None)
    meta = EpisodeMeta.model_validate(
        {"episode_id": name, "kind": "attempt", "task": "t", "robot": "r", "start": "s", "strategy": "sentry",
         "software_version": "0", "started_at": "", "outcome_source": "time_limit"}
    )  # fmt: skip
    entries = journal.read(catalog.data / paths.JOURNAL).entries
    basis = outcome_basis(meta, entries)
    assert (basis.kind, basis.verified, basis.author) == (BasisKind.AUTO_LABEL, False, AUTHOR)
    Reviews(catalog, "ann").decide(name, outcome=basis.outcome)
    basis = outcome_basis(meta, journal.read(catalog.data / paths.JOURNAL).entries)
    assert (basis.kind, basis.verified) == (BasisKind.REVIEWED, True)


def test_what_is_wrong_with_a_classifier_stops_the_labels(folder: Path, catalog: Catalog, bags: Any) -> None:
    path = place_of(folder, "pick_and_place", "metaworld_sawyer")
    kept = path.read_bytes()
    path.write_bytes(kept[:1000])
    stopped(Stop.DAMAGED, lambda: label(catalog))
    (status,) = Reviews(catalog, "ann").status().labels
    assert "damaged" in status.problem
    path.unlink()
    assert str(path) in stopped(Stop.NO_CLASSIFIER, lambda: label(catalog)).reason
    path.write_bytes(kept)
    before = (folder / paths.JOURNAL).read_bytes() if (folder / paths.JOURNAL).exists() else b""
    other = load(path)
    changed = other.meta.model_copy(update={"interface_hash": "of another robot"})
    save(path, type(other)(changed, other.forest))
    stopped(Stop.OTHER_ROBOT, lambda: label(catalog))
    changed = other.meta.model_copy(update={"task": "push"})
    save(path, type(other)(changed, other.forest))
    stopped(Stop.OTHER_TASK, lambda: label(catalog))
    save(path, other)
    for mcap in folder.rglob("*.mcap"):
        mcap.write_bytes(b"torn")
    stopped(Stop.UNREADABLE, lambda: label(catalog))
    after = (folder / paths.JOURNAL).read_bytes() if (folder / paths.JOURNAL).exists() else b""
    assert after == before


def test_a_bag_that_cannot_be_read_keeps_none_from_being_labelled(folder: Path, catalog: Catalog) -> None:
    wanted = episodes_of(catalog).wanted()
    torn = wanted[0]
    next((folder / torn.path).glob("*.mcap")).write_bytes(b"torn")
    found = label(catalog)
    assert set(found.unreadable) == {torn.episode_id}
    assert len(found.labels) == len(wanted) - 1


def test_training_reads_no_more_bags_than_it_may(catalog: Catalog) -> None:
    found = train(catalog, **SURE, most=40)
    assert found.older == 4
    assert found.quality.episodes == 40
    assert training.LEAST == 40
    assert load_robot("metaworld_sawyer").interface_hash() == found.classifier.meta.interface_hash
