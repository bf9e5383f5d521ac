"""Lineage: what came from what, both ways, whatever is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.catalog.api import Catalog
from xrollout_ros.episodes.lineage.api import Walk, lineage_of
from xrollout_ros.episodes.lineage.graph import Branch, Direction, Kind, Links, Node, Ref, Sources, walk
from xrollout_ros.episodes.lineage.records import FILE, PolicyRecord, read, register
from xrollout_ros.ui.cli import cli


def record(bags: Any, **values: Any) -> str:
    meta: EpisodeMeta = bags.meta(**{"outcome": "failure", **values})
    folder = paths.episode_dir(bags.data, meta)
    bags.open(folder, meta).close(meta)
    return meta.episode_id


class World:
    """Demonstrations, a policy of them, its attempts, and a second policy of these."""

    def __init__(self, bags: Any, demonstrations: int = 3) -> None:
        self.data: Path = bags.data
        self.first, self.second = new_id(), new_id()
        self.demos = [record(bags, kind="demonstration", outcome="success") for _ in range(demonstrations)]
        driven = {"policy_id": self.first, "checkpoint_hash": "aa" * 32, "dataset_version": "d1" * 32}
        self.attempts = [record(bags, **driven, started_at=f"2026-01-31T12:00:{n:02d}+00:00") for n in range(12)]
        later = {"policy_id": self.second, "checkpoint_hash": "bb" * 32, "dataset_version": "d2" * 32}
        self.later = [record(bags, **later, outcome="success", kind="evaluation") for _ in range(2)]
        self.clip = record(bags, kind="clip", policy_id=self.first, parameters={"episode_id": self.attempts[0]},
                           started_at="2026-01-31T12:00:30+00:00")  # fmt: skip
        self.records = [
            PolicyRecord(
                policy_id=self.first, checkpoint_hash="aa" * 32, dataset_version="d1" * 32,
                episodes=tuple(self.demos), architecture="flow", created_at="2026-01-31T11:00:00",
            ),
            PolicyRecord(
                policy_id=self.second, checkpoint_hash="bb" * 32, dataset_version="d2" * 32,
                parent_policy_id=self.first, parent_checkpoint_hash="aa" * 32,
                episodes=(*self.demos, self.attempts[0]), held_out=(self.attempts[1],), architecture="flow",
                created_at="2026-01-31T13:00:00",
            ),
        ]  # fmt: skip

    def walk(self, name: str, most: int | None = None) -> Walk:
        with Catalog(self.data) as catalog:
            catalog.update()
            with lineage_of(catalog) as lineage:
                return lineage.walk(lineage.find(name), most)


@pytest.fixture
def world(bags: Any) -> World:
    made = World(bags)
    register(made.data, made.records)
    return made


def links_of(top: Branch) -> set[tuple[str, str, str]]:
    found, ahead = set(), [top]
    while ahead:
        branch = ahead.pop()
        found |= {(branch.node.ref.id, child.how, child.node.ref.id) for child in branch.branches}
        ahead += branch.branches
    return found


def test_an_attempt_leads_back_to_the_demonstrations_and_on_to_the_next_policy(world: World) -> None:
    found = world.walk(world.attempts[0])
    back, on = links_of(found.came_from), links_of(found.led_to)
    d1, d2 = "d1" * 32, "d2" * 32
    assert back == {
        (world.attempts[0], "driven by", world.first),
        (world.first, "trained from", d1),
        *((d1, "made of", name) for name in world.demos),
    }
    assert on == {
        (world.attempts[0], "is part of", d2),
        (world.attempts[0], "shown in", world.clip),
        (d2, "trained", world.second),
        *((world.second, "drove", name) for name in world.later),
    }


def test_a_demonstration_leads_back_to_the_failure_that_it_was_collected_for(world: World, bags: Any) -> None:
    kept = {"failed_attempt": world.attempts[2]}
    shown = record(bags, kind="demonstration", outcome="success", parameters=kept)
    back = links_of(world.walk(shown).came_from)
    assert {(shown, "collected for", world.attempts[2]), (world.attempts[2], "driven by", world.first)} <= back
    gone = record(bags, kind="demonstration", outcome="success", parameters={"failed_attempt": new_id()})
    [branch] = world.walk(gone).came_from.branches
    assert (branch.how, bool(branch.node.missing)) == ("collected for", True)


def test_a_clip_a_dataset_and_a_hash_are_found_and_walked(world: World) -> None:
    clip = world.walk(world.clip)
    assert clip.root == Ref(Kind.CLIP, world.clip)
    assert {(world.clip, "shows", world.attempts[0]), (world.clip, "driven by", world.first)} <= links_of(
        clip.came_from
    )
    assert world.walk("d2d2d2d2").root == Ref(Kind.DATASET, "d2" * 32)
    assert world.walk("BBBBBB").root == Ref(Kind.POLICY, world.second)
    second = world.walk(world.second[-8:])
    assert {
        (world.second, "fine-tuned from", world.first),
        (world.second, "validated on", world.attempts[1]),
    } <= links_of(second.came_from)
    assert (world.first, "fine-tuned into", world.second) in links_of(world.walk(world.first).led_to)


def test_long_lists_are_cut_and_what_leads_further_is_kept(world: World) -> None:
    found = world.walk(world.first, most=2)
    top = found.led_to
    drove = [child.node.ref.id for child in top.branches if child.how == "drove"]
    # Of thirteen (a clip is one) two are shown: those that lead to the second policy, though they are the oldest.
    assert drove == [world.attempts[0], world.attempts[1]]
    assert top.more == {"drove": 11}
    assert len([1 for _, how, _ in links_of(world.walk(world.first).led_to) if how == "drove"]) == 15


def test_what_is_gone_is_told_as_gone(world: World) -> None:
    shutil.rmtree(next(world.data.glob(f"*/*{world.demos[0]}")))
    found = world.walk(world.demos[0])
    assert "not in this data folder" in found.came_from.node.missing
    assert (world.demos[0], "is part of", "d1" * 32) in links_of(found.led_to)
    (world.data / FILE).unlink()
    told = world.walk(world.attempts[0]).came_from.branches[0]
    assert told.node.ref == Ref(Kind.POLICY, world.first)
    assert "--models" in told.node.missing
    assert "12 attempts" in told.node.facts["drove"]
    assert [child.node.ref for child in told.branches] == [Ref(Kind.DATASET, "d1" * 32)]  # the bag names it
    assert "not known here" in told.branches[0].node.missing


def test_an_unknown_parent_is_named(bags: Any) -> None:
    made = World(bags)
    register(made.data, made.records[1:])
    for each in made.attempts:
        shutil.rmtree(next(made.data.glob(f"*/*{each}")))
    shutil.rmtree(next(made.data.glob(f"*/*{made.clip}")))
    found = made.walk(made.second)
    (parent,) = [child for child in found.came_from.branches if child.how == "fine-tuned from"]
    assert parent.node.facts == {"checkpoint": "aa" * 32}
    assert "--models" in parent.node.missing
    assert made.walk("aaaaaa").root == Ref(Kind.POLICY, made.first)


@pytest.mark.parametrize(
    ("name", "words"),
    [("nix", "nothing in the lineage is called 'nix'"), ("01", "fits several"), ("", "nothing in the lineage")],
)
def test_an_unknown_or_ambiguous_name_is_told(world: World, name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        world.walk(name)


def test_near_names_are_told(world: World) -> None:
    wrong = world.later[0][:-1] + ("0" if world.later[0][-1] != "0" else "1")
    with pytest.raises(DataError, match=rf"near is .*{world.later[0]}"):
        world.walk(wrong)
    with pytest.raises(DataError, match="d1d1"):
        world.walk("d1" * 31 + "00")


class Any2Any:
    """A source whose links are whatever they are, cycles included."""

    def __init__(self, links: dict[int, set[int]]) -> None:
        self.links_of = links

    def node(self, ref: Ref) -> Node | None:
        return Node(ref)

    def links(self, ref: Ref, direction: Direction, most: int | None) -> list[Links]:
        refs = [Ref(Kind.EPISODE, str(each)) for each in sorted(self.links_of.get(int(ref.id), ()))]
        return [Links("to", refs, len(refs))]


@settings(max_examples=100)
@given(st.dictionaries(st.integers(0, 8), st.sets(st.integers(0, 8))), st.none() | st.integers(1, 4))
def test_a_walk_ends_and_follows_everything_that_can_be_reached_once(
    links: dict[int, set[int]], most: int | None
) -> None:
    top = walk(Sources([Any2Any(links)]), Ref(Kind.EPISODE, "0"), Direction.ON, most)
    followed, ahead = [], [top]
    while ahead:
        branch = ahead.pop()
        if not branch.again:
            followed.append(int(branch.node.ref.id))
            cut = len(links.get(followed[-1], ())) - len(branch.branches)
            assert branch.more == ({"to": cut} if cut else {})
        else:
            assert not branch.branches
        ahead += branch.branches
    assert len(followed) == len(set(followed))
    if most is None:
        reached, new = {0}, {0}
        while new:
            new = {each for name in new for each in links.get(name, ())} - reached
            reached |= new
        assert set(followed) == reached


def test_records_are_kept_once_and_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    one, other = PolicyRecord(policy_id="A", checkpoint_hash="1"), PolicyRecord(policy_id="B", checkpoint_hash="2")
    register(tmp_path, [one])
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"policy_id": "C", "ch')
    register(tmp_path, [one, other])
    records, problems = read(tmp_path)
    assert records == [one, other]
    assert len(problems) == 1
    assert "line 2" in problems[0]


# --- the command --------------------------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_command_shows_a_tree_a_picture_and_json(world: World, tmp_path: Path) -> None:
    told = run("lineage", world.attempts[0], "--data", world.data, "--limit", "2", "--picture", tmp_path / "l.png")
    assert told.exit_code == 0, told.output
    assert "driven by policy" in told.stdout
    assert "… made of 1 more" in told.stdout
    assert (tmp_path / "l.png").read_bytes().startswith(b"\x89PNG")
    assert run("lineage", world.second, "--data", world.data, "--all", "--picture", tmp_path / "l.svg").exit_code == 0
    assert "<svg" in (tmp_path / "l.svg").read_text()
    found = json.loads(run("lineage", world.first, "--data", world.data, "--json", "--limit", "3").stdout)
    assert found["root"] == {"kind": "policy", "id": world.first}
    assert {"of": ["policy", world.first], "direction": "led to", "how": "drove", "count": 10} in found["left_out"]
    assert {"kind", "id", "facts", "missing"} == set(found["nodes"][0])
    (trained,) = [link for link in found["links"] if link["how"] == "trained from" and link["to"][1] == world.first]
    assert trained["from"] == ["dataset", "d1" * 32]
    bag = next(world.data.glob(f"*/*{world.attempts[0]}"))
    assert run("lineage", bag, "--data", world.data).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nix",), "nothing in the lineage is called"),
        (("no/such.pt",), "there is no checkpoint at no/such.pt"),
        (("{id}", "--models", "no/such"), "there is no folder no/such"),
        (("{id}", "--picture", "l.gif"), "names no picture"),
        (("{id}", "--picture", "no/such/l.png"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_told(world: World, arguments: tuple[str, ...], words: str) -> None:
    result = run("lineage", *(each.format(id=world.first) for each in arguments), "--data", world.data)
    assert result.exit_code != 0
    assert words in result.stderr.replace("\n", " ")


def test_a_checkpoint_file_is_a_place_to_begin_and_those_beside_the_data_are_found(bags: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from xrollout_ros.learning.lineage import record_in

    from ..checkpoints import make_checkpoint

    bags.data.mkdir()
    model = make_checkpoint(tmp_path / "model.pt")
    known = record_in(model)
    driven = {"policy_id": known.policy_id, "checkpoint_hash": known.checkpoint_hash}
    attempt = record(bags, **driven, dataset_version=known.dataset_version)
    beside = run("lineage", attempt, "--data", bags.data)
    assert "flow" in beside.stdout
    assert "--models" not in beside.stdout
    elsewhere = tmp_path / "far" / "away"
    elsewhere.mkdir(parents=True)
    model = model.rename(elsewhere / "model.pt")
    assert "--models" in run("lineage", attempt, "--data", bags.data).stdout
    for where in (("--models", tmp_path / "far"), ("--models", model)):
        assert "--models" not in run("lineage", attempt, "--data", bags.data, *where).stdout
    told = json.loads(run("lineage", model, "--data", bags.data, "--json").stdout)
    assert told["root"] == {"kind": "policy", "id": known.policy_id}
    assert any(link["to"] == ["episode", attempt] for link in told["links"])
