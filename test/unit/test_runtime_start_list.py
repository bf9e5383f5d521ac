"""Lists of starts: what is written, what is refused, and which list is the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.graph.starting import read_starts
from xrollout_ros.runtime.start_list import LIST, NUMBER, POLICY_SEED, StartList, parse_starts, starts_from

ROBOT, TASK = load_robot("metaworld_sawyer"), load_task("pick_and_place")


@given(st.lists(st.tuples(st.sampled_from(["wide", "nominal"]), st.integers(0, 2**63 - 1)), min_size=1, max_size=20))
def test_a_line_says_what_a_file_says(starts: list[tuple[str, int]]) -> None:
    line = parse_starts(" , ".join(f"{start}:{seed}" for start, seed in starts))
    document = starts_from([{"start": start, "seed": seed} for start, seed in starts], "memory")
    assert line == document
    assert [(each.start, each.seed) for each in line.starts] == starts
    assert line.numbers == tuple(range(1, len(starts) + 1))
    line.check(TASK, ROBOT, "a line")


@given(st.lists(st.integers(0, 5), min_size=2, max_size=6))
def test_another_list_has_another_id_unless_it_is_given_one(seeds: list[int]) -> None:
    line = ",".join(f"wide:{seed}" for seed in seeds)
    assert parse_starts(line).id == parse_starts(line).id
    assert parse_starts(line).id != parse_starts(f"{line},wide:6").id
    document = {"list_id": "mine", "starts": [{"start": "wide", "seed": seed} for seed in seeds]}
    assert starts_from(document, "memory").id == "mine"


def test_what_is_kept_with_an_episode() -> None:
    document: dict[str, Any] = {
        "list_id": "mine",
        "parameters": {"of": "all", "n": 1},
        "starts": [
            {"start": "wide", "seed": 3, "policy_seed": 9, "number": 4, "parameters": {"n": 2}},
            {"start": "wide", "seed": 3},
            {"start": "wide"},
        ],
    }
    starts = starts_from(document, "memory")
    assert [starts.parameters_of(place) for place in range(3)] == [
        {"of": "all", "n": 2, POLICY_SEED: 9, LIST: "mine", NUMBER: 4},
        {"of": "all", "n": 1, LIST: "mine", NUMBER: 2},
        {"of": "all", "n": 1, POLICY_SEED: 3, LIST: "mine", NUMBER: 3},
    ]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "starts"),
        ([{"start": "wide", "seed": -1}], r"start 1, seed \(value -1\)"),
        ([{"start": "wide", "seed": 1}, {"start": "Wide", "seed": 1}], r"start 2, start \(value 'Wide'\)"),
        ([{"start": "wide", "seed": 1}, {"seed": 1}], "start 2, start: Field required"),
        ([{"start": "wide", "seed": 1, "sed": 2}], r"start 1, sed \(value 2\)"),
        ([{"start": "wide", "seed": 2**63}], "start 1, seed"),
        ([{"start": "wide", "seed": 1, "parameters": {"a": [1]}}], "start 1, parameters.a"),
        ([{"start": "wide", "seed": 1, "tags": ["a,b"]}], "start 1, tags.0"),
        (
            [{"start": "wide", "seed": 1, "number": 2}, {"start": "wide", "seed": 1}],
            "starts 1 and 2 have the same number 2",
        ),
        ({"starts": [{"start": "wide", "seed": 1}], "version": 2}, "version"),
        (7, "the whole list"),
    ],
)
def test_a_bad_entry_is_named(document: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said) as error:
        starts_from(document, "mine.json")
    assert "mine.json" in error.value.what
    assert "starts: Tuple should have" not in error.value.what or document == []


@pytest.mark.parametrize("line", ["wide:x", "wide:3,,nominal:1", ":3", "wide:3:4", "wide:1.5"])
def test_a_bad_line_is_refused(line: str) -> None:
    with pytest.raises(SpecError, match=r"start [12]"):
        parse_starts(line)


def test_starts_that_the_task_or_the_robot_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"start 2 of x: task 'pick_and_place' has no start 'far'. It has nominal, wide"
    ):
        parse_starts("wide:1,far:2").check(TASK, ROBOT, "x")
    with pytest.raises(SpecError, match="start 1 of x has no seed"):
        parse_starts("wide").check(TASK, ROBOT, "x")
    real = ROBOT.model_copy(update={"sim": None})
    parse_starts("wide,wide").check(TASK, real, "x")


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "starts.json"
    with pytest.raises(SpecError, match="cannot be read"):
        read_starts(str(path))
    path.write_text("[{")
    with pytest.raises(SpecError, match="is not JSON"):
        read_starts(str(path))
    path.write_text(json.dumps([{"start": "wide", "seed": 1}]))
    assert read_starts(str(path)) == parse_starts("wide:1")
    assert read_starts("") is None
    assert StartList.model_validate_json(parse_starts("wide:1").model_dump_json()) == parse_starts("wide:1")
