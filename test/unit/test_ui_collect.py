"""`xrollout collect` without a graph: what a session is made of, what is left of it, people at a real robot."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from rich.console import Console

from xrollout_ros.core.episode import EpisodeMeta, InterventionSpan
from xrollout_ros.core.errors import DataError, SpecError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot, load_task, share_dir
from xrollout_ros.episodes import journal, paths
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.graph.starting import read_starts
from xrollout_ros.mining.collection import FAILED, MODE, PLAN, START, TARGETED, began_alike, check_plan, listed, wanted
from xrollout_ros.mining.plan import CollectionPlan, write_plan
from xrollout_ros.runtime.start_list import LIST, NUMBER
from xrollout_ros.sim.perturbing import came_about
from xrollout_ros.sim.truth import FOLDER
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.collect_session import CollectRun
from xrollout_ros.ui.collecting import Counted, Options, Session, counted, planned
from xrollout_ros.ui.placing import Answer, ask

from ..checkpoints import make_checkpoint
from .plans import make_plan

TASK, ROBOT = load_task("pick_and_place"), load_robot("metaworld_sawyer")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["collect", *map(str, arguments)])


def attempt(bags: Any, state: Any = None, **values: Any) -> EpisodeMeta:
    """An attempt of two steps in the data folder."""
    known = {"outcome": "failure", "outcome_source": "time_limit", "policy_id": "p"}
    meta: EpisodeMeta = bags.meta(**{**known, **values})
    states = np.zeros((2, ROBOT.state_dim)) if state is None else state
    bags.episode(states, np.zeros((2, 4)), paths.episode_dir(bags.data, meta), **meta.model_dump())
    return meta


def demonstration(bags: Any, session: Session, number: int, **values: Any) -> EpisodeMeta:
    place = session.starts.numbers.index(number)
    known = {"kind": "demonstration", "policy_id": "", "outcome": "success", "outcome_source": "robot"}
    return attempt(bags, **{**known, "parameters": session.starts.parameters_of(place), **values})


@pytest.fixture
def plan(bags: Any) -> CollectionPlan:
    failed = [attempt(bags, start="wide", seed=seed).episode_id for seed in (6, 0)]
    return make_plan([("wide", 6), ("wide", 0), ("nominal", 4)], failed, (1, 2, 1), data=str(bags.data))


@pytest.fixture
def file(plan: CollectionPlan, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    write_plan(plan, path)
    return path


# --- what a plan asks for -----------------------------------------------------------------------------------------


def test_a_plan_is_a_list_of_starts_that_says_what_it_is_for(plan: CollectionPlan, file: Path) -> None:
    starts = listed(plan)
    assert [(each.start, each.seed) for each in starts.starts] == [
        ("wide", 6),
        ("wide", 0),
        ("wide", 0),
        ("nominal", 4),
    ]
    assert starts.tags == (TARGETED,)
    kept = starts.parameters_of(2)
    assert (kept[PLAN], kept[MODE], kept[START]) == (plan.plan_id, "never_reached", 2)
    assert (kept[FAILED], kept[LIST], kept[NUMBER]) == (plan.starts[1].episode_id, plan.plan_id, 3)
    # A graph takes the plan's file as it is.
    assert read_starts(str(file)) == starts
    described = describe("record", {"task": "pick_and_place", "starts": str(file)})
    assert (described.episodes, described.processes[-1].parameters["tags"]) == (4, "")
    real = listed(plan.model_copy(update={"simulated": False}))
    assert [each.seed for each in real.starts] == [None] * 4  # of no meaning where people put things


def test_a_plan_of_starts_at_which_the_policy_is_unsure_is_for_no_failure(bags: Any) -> None:
    target = {"mode": "unsure", "meaning": "", "cluster": None, "stability": None, "medoid": "", "members": []}
    plan = make_plan([("wide", 6), ("wide", 0)], ["", ""], target=target, data="/somewhere/else")
    session = planned(plan, Options(bags.data))  # no attempt says which folder is the right one
    assert all(FAILED not in session.starts.parameters_of(place) for place in range(2))
    assert session.starts.parameters_of(0)[MODE] == "unsure"
    shown = io.StringIO()
    assert ask(Console(file=shown), Keys("s"), plan.starts[0], "1 of 2", made_one=False, failed=False) is Answer.SKIP
    assert "start 1 of 2: it stopped short" in shown.getvalue() and "failed from here" not in shown.getvalue()


def test_a_damaged_plan_is_refused_by_a_graph_too(file: Path) -> None:
    document = json.loads(file.read_text())
    document["starts"][1]["seed"] = "six"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"starts\.1\.seed"):
        describe("record", {"task": "pick_and_place", "starts": str(file)})
    assert run("--plan", file).exit_code == 5


def test_what_is_left_is_what_nobody_has_shown_yet(bags: Any, plan: CollectionPlan) -> None:
    session = planned(plan, Options(bags.data))
    assert session.lacking() == (1, 2, 3, 4)
    demonstration(bags, session, 1)
    demonstration(bags, session, 2, outcome="failure", outcome_source="time_limit")
    # A policy that succeeded by itself has shown no way out; where an operator drove it has.
    demonstration(bags, session, 3, kind="attempt", policy_id="p")
    span = [InterventionSpan(operator="ann", begin_s=0, end_s=0.01)]
    demonstration(bags, session, 4, kind="attempt", policy_id="p", interventions=span)
    other = planned(make_plan([("wide", 6)], data=str(bags.data)), Options(bags.data))
    demonstration(bags, other, 1)
    assert session.lacking() == (2, 3)
    left = session.starts.without(session.there())
    assert left is not None
    assert [(each.number, each.seed) for each in left.starts] == [(2, 0), (3, 0)]
    assert left.parameters_of(0) == session.starts.parameters_of(1)
    # A later word on the outcome counts.
    said = journal.Reviewed.model_validate({"outcome": "failure", "source": "human"})
    shown = session.there()[1]
    journal.append(bags.data / paths.JOURNAL, "human:ann", shown.episode_id, said, _Clock())
    assert session.lacking() == (1, 2, 3)


class _Clock:
    def wall_ns(self) -> int:
        return 1_769_860_800_000_000_000

    def steady_ns(self) -> int:
        return 0


def test_starts_without_a_seed_are_left_out_in_simulation(bags: Any) -> None:
    data = {"data": str(bags.data)}
    session = planned(make_plan([("wide", None), ("wide", 3)], **data), Options(bags.data))
    assert (session.left_out, session.starts.numbers) == ((1,), (2,))
    with pytest.raises(DataError, match=r"no start of the plan .* has a seed"):
        planned(make_plan([("wide", None)], **data), Options(bags.data))


def test_a_plan_for_something_else_is_refused(bags: Any, plan: CollectionPlan, tmp_path: Path) -> None:
    def refused(match: str, kind: type[Exception] = SpecError, **changes: Any) -> None:
        options = Options(**{"data": bags.data, **changes})
        with pytest.raises(kind, match=match):
            planned(plan, options)

    refused("is for task 'pick_and_place', not for 'push'", task="push")
    refused("is for robot 'metaworld_sawyer', not for 'so100'", robot="so100")
    robot = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    del robot["sim"]
    real = tmp_path / "real.yaml"
    real.write_text(yaml.safe_dump(robot))
    refused("is for a simulated robot, and 'metaworld_sawyer' is a real one", robot=str(real))
    refused("holds none of the 3 attempts", DataError, data=tmp_path)
    refused("holds none of the 3 attempts", DataError, data=bags.data.parent)  # they lie deeper
    task = yaml.safe_load((share_dir() / "config/tasks/pick_and_place.yaml").read_text())
    for starts, said in (
        ({"nominal": {}}, "start 1 of the plan is of 'wide', and task 'pick_and_place' has no such start any more"),
        ({"nominal": {}, "wide": {"widen": 2.0}}, "start 1 of the plan: 'wide' .* is another one today"),
    ):
        changed = tmp_path / "task.yaml"
        changed.write_text(yaml.safe_dump({**task, "starts": starts}))
        refused(said, task=str(changed))


def test_a_moved_data_folder_is_the_same(bags: Any, plan: CollectionPlan) -> None:
    elsewhere = plan.model_copy(update={"data": "/somewhere/else"})
    names = {bag.name[-26:]: bag for bag in bags.data.glob("*/*")}
    check_plan(elsewhere, TASK, ROBOT, names, bags.data)


def test_first_states_are_compared_bit_for_bit(bags: Any) -> None:
    one, near = np.zeros((2, ROBOT.state_dim)), np.zeros((2, ROBOT.state_dim))
    near[0, 4] = np.nextafter(0, 1)
    made = [attempt(bags, state) for state in (one, one, near)]
    made.append(attempt(bags, one, parameters={"drive": "real_time"}))
    bag = [paths.episode_dir(bags.data, meta) for meta in made]
    assert began_alike(bag[0], bag[1]) is True
    assert began_alike(bag[0], bag[2]) is False
    assert began_alike(bag[0], bag[3]) is None
    assert began_alike(bag[0], bags.data / "nowhere") is None


# --- sessions in which a policy drives first ----------------------------------------------------------------------


def test_a_session_without_a_plan_counts_and_goes_on(bags: Any, tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "checkpoint.pt")

    def session(episodes: int, **options: Any) -> Session:
        return counted(Counted("wide", 30, episodes), Options(bags.data, model=model, **options))

    two = session(2, perturb="object_bump")
    assert [(each.start, each.seed) for each in two.starts.starts] == [("wide", 30), ("wide", 31)]
    assert two.starts.id == session(5, perturb="object_bump").starts.id
    assert len({two.starts.id, session(2).starts.id, session(2, take_over_at="40").starts.id}) == 3
    demonstration(bags, two, 1, kind="attempt", policy_id="p", outcome="failure", outcome_source="time_limit")
    demonstration(bags, two, 2, kind="attempt", policy_id="p", outcome="abort", outcome_source="system")
    assert session(3, perturb="object_bump").lacking() == (2, 3)  # whatever came of it, the first was made


def test_the_graph_of_a_session(bags: Any, plan: CollectionPlan, tmp_path: Path) -> None:
    model = make_checkpoint(tmp_path / "checkpoint.pt")
    starts = tmp_path / "starts.json"
    plain = planned(plan, Options(bags.data))
    starts.write_text(plain.starts.model_dump_json())
    graph, arguments = plain.graph(starts)
    assert (graph, describe(graph, arguments).episodes) == ("record", 4)
    options = Options(bags.data, model=model, perturb="gripper_slip,action_noise:0.3", take_over_at="40")
    graph, arguments = planned(plan, options).graph(starts)
    described = describe(graph, arguments)
    by_name = {process.name: process.parameters for process in described.processes}
    assert (graph, by_name["supervisor"]["control"], by_name["manager"]["strategy"]) == (
        "deploy",
        "assisted:0.5",
        "dagger",
    )
    faults = json.loads(str(by_name["manager"]["faults"]))
    assert [(fault["kind"], fault["spares_operator"]) for fault in faults] == [
        ("gripper_slip", True), ("action_noise", True),
    ]  # fmt: skip
    assert "perturb" not in json.dumps(by_name["manager"]["tags"])  # whether it came about is known afterwards


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"perturb": "object_bump"}, "--perturb object_bump: nobody takes over"),
        ({"take_over_at": "40"}, "--take-over-at 40: nobody takes over"),
        ({"model": True, "take_over_at": "4.5"}, "'4.5' is no moment"),
        ({"model": True, "take_over_at": "-1s"}, "'-1s' is no moment"),
        ({"model": True, "take_over_at": "soon"}, "'soon' is no moment"),
        ({"model": True, "perturb": "by_hand"}, "is simulated, and nobody can touch it"),
    ],
)
def test_options_that_contradict_each_other(
    bags: Any, plan: CollectionPlan, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    if options.get("model"):
        options = {**options, "model": make_checkpoint(tmp_path / "checkpoint.pt")}
    with pytest.raises(SpecError, match=said):
        planned(plan, Options(bags.data, **options))


# --- the command --------------------------------------------------------------------------------------------------


def test_states_of_a_plan(bags: Any, plan: CollectionPlan, file: Path) -> None:
    session = planned(plan, Options(bags.data))
    demonstration(bags, session, 1)
    some = run("--plan", file)
    assert some.exit_code == 5
    assert "1 of the 4 are in" in some.stderr and "--resume to make the other 3, or --again" in some.stderr
    for number in (2, 3, 4):
        demonstration(bags, session, number)
    for resume in ([], ["--resume"]):
        done = run("--plan", file, *resume)
        assert done.exit_code == 0, done.output
        assert "nothing is left to collect: 4 of 4 demonstrations are there" in done.stdout
        assert f"xrollout pyramid build --raw-data {bags.data}" in done.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "Give --plan plan.json"),
        (("--plan", "plan.json", "--start", "wide"), 2, "--start, --seed and --episodes are for a session without"),
        (("--plan", "plan.json", "--resume", "--again"), 2, "give one"),
        (("--plan", "nowhere.json"), 5, "nowhere.json cannot be read"),
        (("--model", "nowhere.pt", "--perturb", "object_bump"), 3, "nowhere.pt"),
    ],
)
def test_wrong_commands(arguments: Sequence[str], status: int, said: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, said in result.stderr) == (status, True), result.output


# --- people at a real robot ---------------------------------------------------------------------------------------


class Keys:
    """Types these keys, one for each question."""

    def __init__(self, keys: str) -> None:
        self.left = list(keys)

    def key(self) -> str:
        return {"\n": "enter"}.get(key := self.left.pop(0), key)

    def forget(self) -> None:
        """Nothing was typed before."""


@pytest.fixture
def real(bags: Any, tmp_path: Path) -> Session:
    """Three starts of a real robot."""
    robot = yaml.safe_load((share_dir() / "config/robots/metaworld_sawyer.yaml").read_text())
    del robot["sim"]
    path = tmp_path / "real.yaml"
    path.write_text(yaml.safe_dump(robot))
    plan = make_plan([("wide", 1), ("wide", 2), ("nominal", 3)], simulated=False, data=str(bags.data))
    return planned(plan, Options(bags.data, operator="joy", robot=str(path)))


def by_hand(bags: Any, session: Session, keys: str) -> tuple[CollectRun, list[int], str]:
    """A run with these keys; the numbers that were begun, and what was shown."""
    begun, typed, shown = [], Keys(keys), io.StringIO()

    def graph(description: GraphDescription) -> None:
        starts = read_starts(str(description.processes[-1].parameters["starts"]))
        assert starts is not None and len(starts) == 1 and description.episodes == 1
        begun.append(starts.numbers[0])
        kept = starts.parameters_of(0)
        attempt(
            bags, kind="demonstration", policy_id="", outcome="success", outcome_source="human", parameters=kept,
            episode_id=new_id(), seed=None,
        )  # fmt: skip

    @contextmanager
    def opened() -> Iterator[Keys]:
        yield typed

    console = Console(file=shown, width=200)
    made = CollectRun(session, session.starts, console, graph, opened)
    made.check()
    made.make()
    assert not typed.left, "every key was asked for"
    return made, begun, shown.getvalue()


def test_things_are_placed_one_start_after_the_other(bags: Any, real: Session) -> None:
    made, begun, shown = by_hand(bags, real, "\n\n\n\n")
    assert begun == [1, 2, 3]
    assert "start 1 of 3: attempt" in shown and "object_position x" in shown and "-0.030" in shown
    assert "that was the last one" in shown
    assert [meta.parameters[NUMBER] for meta in made.made] == [1, 2, 3]
    assert real.lacking() == ()
    assert [record.meta.parameters[NUMBER] for record in made.finish()] == [1, 2, 3]


def test_a_start_may_be_skipped_made_again_and_left_for_later(bags: Any, real: Session) -> None:
    made, begun, _ = by_hand(bags, real, "\ns\na\n\n")
    # The third was made, taken back, and made once more.
    assert begun == [1, 3, 3]
    assert [meta.parameters[NUMBER] for meta in made.made] == [1, 3]
    assert len(list((bags.data / paths.TRASH).iterdir())) == 1
    assert real.lacking() == (2,)
    _, begun, _ = by_hand(bags, real, "q")
    assert begun == []


def test_again_is_offered_only_after_there_was_one(bags: Any, real: Session) -> None:
    _, begun, shown = by_hand(bags, real, "a\naq")
    assert begun == [1]  # the first `a` means nothing; the second takes it back, and then the person leaves
    assert real.lacking() == (1, 2, 3)
    assert shown.count("the one before again") == 1


# --- which perturbations came about -------------------------------------------------------------------------------


def test_an_attempt_is_tagged_as_disturbed_only_if_it_was(bags: Any, plan: CollectionPlan, tmp_path: Path) -> None:
    options = Options(bags.data, model=make_checkpoint(tmp_path / "c.pt"), perturb="gripper_slip")
    session = planned(plan, options)
    metas = [demonstration(bags, session, number, kind="attempt", policy_id="p") for number in (1, 2, 3)]
    begun = {"step": 3, "what": "fault_begun", "facts": {"kind": "gripper_slip"}}
    for meta, events in zip(metas, ([begun, begun], []), strict=False):
        log = bags.data / FOLDER / f"{meta.episode_id}.json"
        log.parent.mkdir(exist_ok=True)
        log.write_text(json.dumps({"seed": 1, "faults": [], "events": events}))
    assert [came_about(bags.data, meta.episode_id) for meta in metas] == [("gripper_slip",), (), None]
    made = CollectRun(session, session.starts, Console(file=io.StringIO()))
    made.made = metas
    assert ["perturbation" in record.effective.tags for record in made.finish()] == [True, False, False]
    assert [each.number for each in wanted(plan)] == [1, 2, 3, 4]
