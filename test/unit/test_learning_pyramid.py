"""The pyramid over real bags: which level each episode reaches and why, which rows train, what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.mirror import MirrorSpec
from xrollout_ros.core.modes import Mode
from xrollout_ros.episodes import journal, paths
from xrollout_ros.episodes.journal import PropertySet, Tagged
from xrollout_ros.learning.augment.spec import AugmentSpec
from xrollout_ros.learning.frames import Frame
from xrollout_ros.learning.pyramid.build import Built
from xrollout_ros.learning.pyramid.opening import HISTORY, read_episodes, read_history, read_report
from xrollout_ros.learning.pyramid.place import exchange
from xrollout_ros.learning.pyramid.promotion import UNVERIFIED
from xrollout_ros.learning.pyramid.recipe import Recipe
from xrollout_ros.learning.shards.reader import open_dataset

from .judgements import dropped
from .pyramid_data import HOLD, OPERATOR, POLICY, attempt, built, demonstrate, help_out, outcome, record, say, shipped


def levels_of(found: Built, episode_id: str) -> list[int]:
    return [each.number for each in found.levels if episode_id in {e.episode_id for e in each.manifest.episodes}]


def why(found: Built, level: int, episode_id: str) -> str:
    (episode,) = [each for each in found.levels[level - 1].manifest.episodes if each.episode_id == episode_id]
    return episode.why


def with_level(recipe: Recipe, level: int, **values: Any) -> Recipe:
    levels = {**recipe.levels, level: recipe.levels[level].model_copy(update=values)}
    return recipe.model_copy(update={"levels": levels})


@pytest.fixture
def pyramid(tmp_path: Path) -> Path:
    return tmp_path / "pyramid"


# --- levels -----------------------------------------------------------------------------------------------------------


def test_each_kind_of_episode_reaches_its_level(bags: Any, pyramid: Path) -> None:
    clean = demonstrate(bags)
    success, failure = attempt(bags), attempt(bags, "failure")
    near_miss = attempt(bags, tags=["near-miss"])
    strange = attempt(bags, place=(0.4, 0.65))
    recovery, in_vain = help_out(bags), help_out(bags, "failure")
    collected = demonstrate(bags, (0.05, 0.62), parameters={"plan_id": "01K", "plan_mode": "dropped"})
    unknown = attempt(bags, "unknown")
    evaluation, clip = attempt(bags, kind="evaluation"), attempt(bags, kind="clip")
    found = built(bags.data, pyramid)
    reached = (
        (clean, [1, 4], "verified_demonstration: demonstrated yes"),
        (success, [1], "every episode"),
        (failure, [1, 2], "failure: by_policy yes; outcome failure"),
        (near_miss, [1, 2], "near_miss: "),
        (strange, [1, 2], "unfamiliar_start: "),
        (recovery, [1, 2, 3, 4], "expert_recovery: recovered yes; verified yes; passed"),
        (in_vain, [1, 2], "failure: "),
        (collected, [1, 2, 4], "collected_demonstration: "),
        (unknown, [1], "every episode"),
        (evaluation, [], ""),
        (clip, [], ""),
    )
    for meta, levels, words in reached:
        assert levels_of(found, meta.episode_id) == levels, (meta, words)
        if levels:
            assert why(found, levels[-1], meta.episode_id).startswith(words)
    assert found.left_out == {
        "evaluation episodes never train": {evaluation.episode_id: "evaluation"},
        "highlights are no attempts": {clip.episode_id: "clip"},
    }
    (entry,) = [each for each in found.levels[3].manifest.episodes if each.episode_id == collected.episode_id]
    assert (entry.cluster, entry.level, entry.outcome_basis) == ("dropped", 4, "robot")
    assert [level.manifest.missing for level in found.levels] == [""] * 4
    for level in found.levels:
        assert open_dataset(pyramid / level.folder).training_set().rows == level.manifest.rows > 0


def test_which_rows_train(bags: Any, pyramid: Path) -> None:
    # Half a second before the operator took over is what had to be mended.
    before = round(0.5 * bags.robot.control_rate_hz)
    sources = [POLICY] * (before + 5) + [HOLD] + [OPERATOR] * 6 + [POLICY] * 4
    span = [{"operator": "ann", "begin_s": 0.1, "end_s": 0.2}]
    recovery = record(bags, sources, interventions=span)
    failure = record(bags, sources, interventions=span, outcome="failure")
    aborted = record(bags, sources, interventions=span, outcome="abort")
    failed_demonstration = demonstrate(bags, outcome="failure")
    built(bags.data, pyramid)

    def trained(level: int, meta: Any) -> list[tuple[str, int]]:
        episodes = open_dataset(pyramid / f"level{level}").manifest.episodes
        (found,) = [each for each in episodes if each.episode_id == meta.episode_id]
        return [(span.frame, span.end - span.begin) for span in found.spans if span.trains]

    assert trained(1, recovery) == [("rollout", 6), ("intervention", 6), ("rollout", 4)]
    assert trained(4, recovery) == [("intervention", 6)]
    assert trained(1, failure) == trained(2, failure) == [("intervention", 6)]
    assert trained(1, aborted) == trained(1, failed_demonstration) == []
    (episode, *_) = [
        each
        for each in open_dataset(pyramid / "level1").training_set().episodes
        if each.episode_id == recovery.episode_id
    ]
    assert (episode.classes == Frame.PRE_INTERVENTION).sum() == before - 1
    assert not episode.usable[episode.classes == Frame.PRE_INTERVENTION].any()
    assert not episode.usable[episode.classes == Frame.OTHER].any()


def test_gates_refuse_with_their_figure(bags: Any, pyramid: Path) -> None:
    kept = demonstrate(bags)
    refused = {
        demonstrate(bags, stretch=20).episode_id: "gate no_gap: gap 20 is above 5",
        demonstrate(bags, clipped=True).episode_id: "gate not_clipped: clipped_share 1 is above 0.05",
        record(
            bags, [OPERATOR] * 200, kind="demonstration", policy_id="", scale=0.0
        ).episode_id: "gate not_idle: idle_s 2.475 is above 2",
        demonstrate(
            bags, topics={"/xrollout/command": {"lost": 10}}
        ).episode_id: "gate recorded: lost_share 0.4545 is above 0.01",
    }
    handed_over = demonstrate(bags, clipped=True, mode=Mode.HANDOVER)  # which changes values on purpose
    nan = demonstrate(bags, nan=True)
    found = built(bags.data, pyramid)
    taken = [each.episode_id for each in found.levels[3].manifest.episodes]
    assert taken == sorted([kept.episode_id, handed_over.episode_id])
    for judged in found.judged:
        if judged.case.id in refused:
            assert judged.member(4).refused == refused[judged.case.id]
    assert found.left_out["values that are not finite"] == {nan.episode_id: "1 of 12 rows"}
    left_out = {reason: count for reason, count in found.levels[3].manifest.left_out.items() if "gate" in reason}
    assert left_out == {"gate no_gap": 1, "gate not_clipped": 1, "gate not_idle": 1, "gate recorded": 1}
    assert len(found.levels[0].manifest.episodes) == 6


def test_swapping_the_filter_changes_what_is_trained_on(bags: Any, pyramid: Path) -> None:
    metas = [demonstrate(bags), demonstrate(bags, stretch=20), help_out(bags)]
    failed = demonstrate(bags, outcome="failure")
    say(bags, "human:ann", failed.episode_id, Tagged(tag="near-miss"))
    rules = shipped().model_copy(
        update={"rules": (*shipped().rules, shipped().rules[0].model_copy(
            update={"name": "demonstrated", "level": 4, "when": (shipped().rules_of(4)[0].when[0],)}))}
    )  # fmt: skip
    trained, versions = {}, set()
    for name in ("gates", "successes", "all"):
        found = built(bags.data, pyramid, with_level(rules, 4, filter=name))
        data = open_dataset(pyramid / "level4")
        trained[name] = {each.episode_id for each in data.manifest.episodes}
        versions.add(data.manifest.dataset_version)
        assert found.stages["filtering"][f"level 4: {name}"] == len(trained[name])
        assert found.read == (4 if name == "gates" else 0)
    ids = {meta.episode_id for meta in metas}
    assert trained == {
        "gates": ids - {metas[1].episode_id}, "successes": ids, "all": ids | {failed.episode_id}
    }  # fmt: skip
    assert len(versions) == 3


def test_what_a_program_says_of_an_outcome_enters_level_4_only_once_a_person_vouches_for_it(
    bags: Any, pyramid: Path
) -> None:
    label = demonstrate(bags, outcome="unknown", outcome_source="none")
    helped = help_out(bags, "failure")
    for meta in (label, helped):
        say(bags, "model:classifier", meta.episode_id, outcome("success", "model:classifier"))
    for recipe in (shipped(), with_level(shipped(), 4, filter="all")):
        found = built(bags.data, pyramid, recipe)
        assert levels_of(found, label.episode_id) == [1]
        assert levels_of(found, helped.episode_id) == [1, 2]
    # Not even a rule that does not ask for it, or a reviewer's word on the level alone, lets it in.
    say(bags, "human:ann", label.episode_id, PropertySet(name="pyramid_level", value=4))
    loose = recipe.model_copy(update={"rules": tuple(
        rule.model_copy(update={"when": rule.when[:1]}) for rule in recipe.rules)})  # fmt: skip
    found = built(bags.data, pyramid, loose)
    for meta in (label, helped):
        (judged,) = [each for each in found.judged if each.case.id == meta.episode_id]
        assert judged.member(4).refused == UNVERIFIED
    assert "a program's word" in found.levels[3].manifest.missing
    say(bags, "human:ann", label.episode_id, Tagged(tag="human-verified"))
    say(bags, "human:ann", helped.episode_id, outcome("success", "human:ann"))
    found = built(bags.data, pyramid)
    assert levels_of(found, label.episode_id) == [1, 4]
    assert levels_of(found, helped.episode_id) == [1, 2, 3, 4]


def test_a_reviewer_promotes_and_demotes_and_is_the_reason(bags: Any, pyramid: Path) -> None:
    jerky, plain, bad, none = demonstrate(bags, stretch=20), attempt(bags), demonstrate(bags), demonstrate(bags)
    for meta, level in ((jerky, 4), (plain, 3), (bad, 1), (none, 0)):
        say(bags, "human:ann", meta.episode_id, PropertySet(name="pyramid_level", value=level, reason="as seen"))
    found = built(bags.data, pyramid)
    assert levels_of(found, jerky.episode_id) == [1, 4]
    assert why(found, 4, jerky.episode_id).startswith("human:ann said pyramid_level 4: as seen")
    assert levels_of(found, plain.episode_id) == [1, 3]
    assert levels_of(found, bad.episode_id) == [1]
    assert found.levels[3].manifest.left_out["a reviewer said so"] == 2
    assert found.left_out["a reviewer left it out"] == {none.episode_id: "human:ann: as seen"}
    # A program's word on a level does not count, nor does one that is none; taken back, the rules hold again.
    say(bags, "model:judge", bad.episode_id, PropertySet(name="pyramid_level", value=2))
    say(bags, "human:ann", plain.episode_id, PropertySet(name="pyramid_level", value="high"))
    say(bags, "human:ann", jerky.episode_id, PropertySet(name="pyramid_level", value=None))
    found = built(bags.data, pyramid)
    assert [levels_of(found, meta.episode_id) for meta in (bad, plain, jerky)] == [[1], [1, 3], [1]]
    lines = {line["episode_id"]: line for line in read_episodes(pyramid)}
    assert "which is for people to say" in lines[bad.episode_id]["ignored"]
    assert "which is no level" in lines[plain.episode_id]["ignored"]


def test_failures_of_a_mode_are_clusters_and_difficulty_is_that_of_the_start(bags: Any, pyramid: Path) -> None:
    for number in range(8):
        attempt(bags, place=(0.001 * number, 0.65))
    failures = [attempt(bags, "failure", place=(0.4 + 0.001 * number, 0.65)) for number in range(8)]
    for meta in failures:
        say(bags, "rule:dropped", meta.episode_id, journal.Judged(judgement=dropped(meta.episode_id, 0.05)))
    near, far = demonstrate(bags, (0.0, 0.65)), demonstrate(bags, (0.4, 0.65))
    found = built(bags.data, pyramid)
    known = {each.episode_id: each for each in found.levels[0].manifest.episodes}
    assert known[failures[0].episode_id].cluster == "dropped"
    assert known[near.episode_id].difficulty == pytest.approx((2 + 1) / 12)  # 8 of the 10 nearest succeeded
    assert known[far.episode_id].difficulty == pytest.approx((8 + 1) / 12)
    assert levels_of(found, far.episode_id) == [1, 2, 4]
    assert read_report(pyramid)["levels"][1]["failure_modes"] == {"dropped": 8}


def test_mutual_information_may_be_asked_for(bags: Any, pyramid: Path) -> None:
    for number in range(4):
        demonstrate(bags, (0.05 * number, 0.65))
    assert all(each.figures["mutual_information"] is None for each in built(bags.data, pyramid).judged)
    found = built(bags.data, pyramid, shipped().model_copy(update={"mutual_information": True}))
    assert all(isinstance(each.figures["mutual_information"], float) for each in found.judged)


def test_no_window_reaches_over_a_hole(bags: Any, pyramid: Path) -> None:
    whole, holed = demonstrate(bags), demonstrate(bags, stretch=20)
    kept = demonstrate(bags, stretch=20, kept=[{"begin_s": 0, "end_s": 0.1}, {"begin_s": 0.3, "end_s": 0.4}])
    found = built(bags.data, pyramid)
    spans = {each.episode_id: each.spans for each in found.levels[0].manifest.episodes}
    assert [(span.begin, span.end, span.trains) for span in spans[whole.episode_id]] == [(0, 12, True)]
    for meta in (holed, kept):
        assert [(s.begin, s.end, s.trains) for s in spans[meta.episode_id]] == [(0, 11, True), (11, 12, False)]
    # What lies between the kept parts of an attempt is no gap in its recording.
    assert [levels_of(found, meta.episode_id) for meta in (holed, kept)] == [[1], [1, 4]]


MIRROR = MirrorSpec.model_validate(
    {"observations": {name: {"signs": [-1, 1, 1]} for name in ("hand_position", "object_position", "goal_position")},
     "actions": {"dx": {"sign": -1}}}
)  # fmt: skip


def test_how_data_are_varied_travels_with_the_dataset(
    bags: Any, pyramid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demonstrate(bags)
    augment = AugmentSpec(mirror=True, state_noise=0.01)
    recipe = shipped().model_copy(update={"augment": augment})
    plain, mirrored = (bags.task.model_copy(update={"mirror": mirror}) for mirror in (None, MIRROR))
    monkeypatch.setattr("xrollout_ros.learning.pyramid.build._task", lambda name, kept: plain)
    with pytest.raises(SpecError, match=r"augment.mirror: the TaskSpec does not say.*docs/specs.md"):
        built(bags.data, pyramid, recipe)
    monkeypatch.setattr("xrollout_ros.learning.pyramid.build._task", lambda name, kept: mirrored)
    found = built(bags.data, pyramid, recipe)
    data = open_dataset(pyramid / "level4").training_set()
    assert (data.augment, data.mirror) == (augment, MIRROR)
    unvaried = built(bags.data, pyramid)
    assert open_dataset(pyramid / "level4").training_set().mirror is None
    assert unvaried.levels[3].manifest.dataset_version != found.levels[3].manifest.dataset_version


# --- the same data, the same hash -------------------------------------------------------------------------------------


def test_the_same_episodes_and_recipe_have_the_same_hash_however_they_were_built(bags: Any, tmp_path: Path) -> None:
    metas = [
        *(demonstrate(bags, (0.02 * number, 0.65)) for number in range(4)),
        help_out(bags), attempt(bags, "failure"), attempt(bags, place=(0.3, 0.7)),
    ]  # fmt: skip
    at_once = built(bags.data, tmp_path / "a")
    later = tmp_path / "later"
    for meta in metas[::-1]:  # one after the other, from the last, and elsewhere
        folder = paths.episode_dir(bags.data, meta)
        shutil.copytree(folder, later / folder.relative_to(bags.data))
        bit_by_bit = built(later, tmp_path / "b")
    for one, other in zip(at_once.levels, bit_by_bit.levels, strict=True):
        assert one.manifest.dataset_version == other.manifest.dataset_version
    shards = [len({each.shard for each in found.levels[0].manifest.episodes}) for found in (at_once, bit_by_bit)]
    assert shards == [1, 7]
    before = (tmp_path / "a" / "level4").stat().st_ino
    again = built(bags.data, tmp_path / "a")
    assert again.levels[3].manifest.dataset_version == at_once.levels[3].manifest.dataset_version
    assert (tmp_path / "a" / "level4").stat().st_ino == before  # nothing is written anew
    renamed = built(bags.data, tmp_path / "a", shipped().model_copy(update={"name": "other"}))
    assert renamed.levels[3].manifest.dataset_version != at_once.levels[3].manifest.dataset_version
    assert (tmp_path / "a" / "level4").stat().st_ino != before


def test_names_are_exchanged_at_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if exchange(tmp_path / "a", tmp_path / "b"):
        assert (tmp_path / "a" / "b").is_file()
    with pytest.raises(OSError, match="No such file"):
        exchange(tmp_path / "a", tmp_path / "c")


# --- what is missing, and in the way ----------------------------------------------------------------------------------


def test_an_empty_level_says_what_is_missing_and_how_to_get_it(bags: Any, pyramid: Path) -> None:
    attempt(bags, "failure")
    found = built(bags.data, pyramid)
    missing = [level.manifest.missing for level in found.levels]
    assert "none of its 1 episodes holds a row to imitate: record demonstrations" in missing[0]
    assert "1 of its 1 episodes are failures" in missing[1]
    assert "xrollout collect --plan plan.json" in missing[1]
    assert missing[2].startswith("no successful recovery")
    assert missing[3].startswith("no verified demonstration")
    with pytest.raises(DataError, match="holds nothing to train from: no verified demonstration"):
        open_dataset(pyramid / "level4").training_set()
    demonstrate(bags, stretch=20)
    assert "all 1 episodes that its rules want were left out (1: gate no_gap)" in (
        built(bags.data, pyramid).levels[3].manifest.missing
    )


def test_the_lowest_levels_alone(bags: Any, pyramid: Path) -> None:
    demonstrate(bags)
    found = built(bags.data, pyramid, levels=2)
    assert [level.number for level in found.levels] == [1, 2]
    assert not (pyramid / "level3").exists()
    assert found.levels[0].manifest.episodes[0].level == 4  # what it would reach


def test_no_bags_several_tasks_and_a_task_that_is_not_there(bags: Any, pyramid: Path) -> None:
    bags.data.mkdir()
    with pytest.raises(DataError, match="holds no attempt or demonstration") as caught:
        built(bags.data, pyramid)
    assert "xrollout record" in caught.value.remedy
    assert not pyramid.exists()
    attempt(bags, kind="evaluation")
    with pytest.raises(DataError, match="1 evaluation episodes and highlights, which never train"):
        built(bags.data, pyramid)
    demonstrate(bags)
    for _ in range(2):
        demonstrate(bags, task="push")
    with pytest.raises(DataError, match="several tasks: pick_and_place: 1 episode, push: 2 episodes"):
        built(bags.data, pyramid)
    with pytest.raises(DataError, match="no attempt or demonstration of task 'peg_insert'") as caught:
        built(bags.data, pyramid, task="peg_insert")
    assert "push: 2 episodes" in caught.value.remedy
    assert len(built(bags.data, pyramid, task="push").levels[0].manifest.episodes) == 2
    with pytest.raises(DataError, match="is a pyramid of task 'push', this one is to be of 'pick_and_place'"):
        built(bags.data, pyramid, task="pick_and_place")


def test_a_folder_that_holds_something_else_stays_as_it_is(bags: Any, tmp_path: Path) -> None:
    demonstrate(bags)
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").touch()
    with pytest.raises(DataError, match=r"is no pyramid, and holds something else \(chapter1.tex\)"):
        built(bags.data, folder)
    assert [path.name for path in folder.iterdir()] == ["chapter1.tex"]
    with pytest.raises(DataError, match="holds something else"):
        built(bags.data, bags.data)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        built(bags.data, tmp_path / "file")


def test_a_build_that_was_interrupted_before_its_report_says_so(bags: Any, pyramid: Path) -> None:
    demonstrate(bags)
    built(bags.data, pyramid)
    report = (pyramid / "report.json").read_text()
    demonstrate(bags, (0.05, 0.62))
    built(bags.data, pyramid)
    assert read_report(pyramid)["episodes"] == 2
    (pyramid / "report.json").write_text(report)
    with pytest.raises(DataError, match="is newer than its report"):
        read_report(pyramid)
    with pytest.raises(DataError, match="is no pyramid"):
        read_report(bags.data)


def test_builds_that_change_something_are_kept_in_its_history(bags: Any, pyramid: Path) -> None:
    assert read_history(pyramid) == []
    demonstrate(bags)
    first = built(bags.data, pyramid)
    built(bags.data, pyramid)
    demonstrate(bags, (0.05, 0.62))
    second = built(bags.data, pyramid)
    history = read_history(pyramid)
    assert [[level.dataset_version for level in build.levels] for build in history] == [
        [level.manifest.dataset_version for level in each.levels] for each in (first, second)
    ]
    assert [build.levels[0].episodes for build in history] == [1, 2]
    assert [build.at for build in history] == [each.levels[0].manifest.created_at for each in (first, second)]
    (pyramid / HISTORY).write_text("torn\n")
    report = (pyramid / "report.json").read_text()
    demonstrate(bags, (-0.05, 0.62))
    with pytest.raises(DataError, match="is no history of a pyramid"):
        built(bags.data, pyramid)
    assert (pyramid / "report.json").read_text() == report, "nothing was built"
    assert read_report(pyramid)["episodes"] == 2


def test_the_report_counts(bags: Any, pyramid: Path) -> None:
    for number in range(3):
        demonstrate(bags, (0.02 * number, 0.65))
    help_out(bags)
    attempt(bags, "failure", parameters={"start_list": "x", "temperature": 1.5, "control": "calm"})
    built(bags.data, pyramid)
    report = read_report(pyramid)
    assert report["stages"] == {
        "generation": {"seeds": 4, "start list, temperature 1.5": 1}, "control": {"calm": 1, "limits": 1},
        "filtering": {"level 1: all": 5, "level 2: all": 2, "level 3: gates": 1, "level 4: gates": 4},
    }  # fmt: skip
    top = report["levels"][3]
    assert top["training_frames"] == {"demonstration": 36, "intervention": 4}
    assert top["kinds"] == {"attempt": 1, "demonstration": 3}
    assert top["balance_before"]["demonstrated rows"] == pytest.approx(36 / 40)
    assert {rule["rule"]: rule["held"] for rule in report["rules"]}["verified_demonstration"] == 3
    assert sum(gate["passed"] for gate in report["gates"] if gate["level"] == 4) == 4 * 12
    lines = list(read_episodes(pyramid))
    assert len(lines) == 5
    assert json.dumps(lines)
    weights = [line["levels"][3]["weight"] for line in lines if line["levels"][3]["in"]]
    assert np.isfinite(weights).all()
