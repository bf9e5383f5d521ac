"""Commands and reports over a data folder of real bags, written by the project's own writer."""

from __future__ import annotations

import json
import re
import shlex
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from xrollout_ros.core.clock import NS, SystemClock
from xrollout_ros.core.episode import (
    EpisodeKind,
    EpisodeMeta,
    FailureJudgement,
    InterventionSpan,
    Outcome,
    OutcomeSource,
    Strategy,
)
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.bag_writer import BagWriter
from xrollout_ros.episodes.catalog.api import FOLDER
from xrollout_ros.episodes.catalog.live import FILE
from xrollout_ros.episodes.paths import JOURNAL, episode_dir
from xrollout_ros.episodes.rosbag2 import Durability, Reliability, qos_yaml
from xrollout_ros.mining.tagging import tag_episode, tag_missing
from xrollout_ros.ui.cli import cli
from xrollout_ros.ui.deployment import DeploymentSummary, FromStart, StageTime, Training
from xrollout_ros.ui.report import write_report
from xrollout_ros.ui.summary import attempts_of, from_starts, split_by_kind, versions

ROOT = Path(__file__).parents[2]
ROBOT, TASK = load_robot("metaworld_sawyer"), load_task("pick_and_place")
CLOCK = SystemClock()
QOS = qos_yaml(Reliability.RELIABLE, Durability.VOLATILE, 100)
START_NS = 1_700_000_000 * NS

STORE = get_typestore(Stores.ROS2_JAZZY)
STORE.register(get_types_from_msg((ROOT / "msg" / "Command.msg").read_text(), "xrollout/msg/Command"))
TYPES = STORE.types
HEADER = TYPES["std_msgs/msg/Header"]
TIME = TYPES["builtin_interfaces/msg/Time"]
POINT = TYPES["geometry_msgs/msg/Point"]


def _stamp(ns: int) -> Any:
    return TIME(sec=ns // NS, nanosec=ns % NS)


def _messages(step: int, episode_id: str, hand: Any, thing: Any) -> list[tuple[str, str, Any]]:
    stamp = _stamp(START_NS + step * ROBOT.control_period_ns)
    header = HEADER(stamp=stamp, frame_id="world")
    gripper = TYPES["sensor_msgs/msg/JointState"](
        header=header, name=["gripper"], position=np.array([1.0]), velocity=np.array([]), effort=np.array([])
    )
    pose = TYPES["geometry_msgs/msg/Pose"](
        position=POINT(*thing), orientation=TYPES["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0)
    )
    command = TYPES["xrollout/msg/Command"](
        stamp=stamp,
        episode_id=episode_id,
        step=step,
        source=0,
        mode=1,
        chunk_sequence=step // 4,
        chunk_index=step % 4,
        accepted=stamp,
        late_s=0.0,
        action=np.zeros(4),
        help_wanted=False,
        recovery="",
        clipped=np.zeros(4, dtype=bool),
    )
    point, posed = "geometry_msgs/msg/PointStamped", "geometry_msgs/msg/PoseStamped"
    return [
        ("/sawyer/hand", point, TYPES[point](header=header, point=POINT(*hand))),
        ("/sawyer/gripper", "sensor_msgs/msg/JointState", gripper),
        ("/scene/object", posed, TYPES[posed](header=header, pose=pose)),
        ("/scene/goal", point, TYPES[point](header=header, point=POINT(0.1, 0.8, 0.2))),
        ("/xrollout/command", "xrollout/msg/Command", command),
    ]


HELP = InterventionSpan(operator="joy", begin_s=0.1, end_s=0.2)


def write_bag(
    data: Path,
    number: int,
    outcome: Outcome,
    kind: EpisodeKind = EpisodeKind.EVALUATION,
    interventions: tuple[InterventionSpan, ...] = (),
    start: str = "wide",
) -> EpisodeMeta:
    """One attempt of 20 steps, in which the hand goes to the object, or 0.1 m beside it when it fails."""
    meta = EpisodeMeta(
        episode_id=new_id(),
        kind=kind,
        task=TASK.id,
        robot=ROBOT.id,
        start=start,
        seed=100 + number,
        strategy=Strategy.EPISODIC,
        software_version="0.1.0",
        started_at=f"2026-01-02T03:04:{number:02d}+00:00",
        duration_s=0.25,
        outcome=outcome,
        outcome_source=OutcomeSource.ROBOT if outcome is Outcome.SUCCESS else OutcomeSource.TIME_LIMIT,
        tags=["evaluation"],
        policy_id="" if kind is EpisodeKind.DEMONSTRATION else "01J00000000000000000000000",
        interventions=list(interventions),
    )
    folder = episode_dir(data, meta)
    thing = np.array([0.01 * number, 0.65, 0.02])
    goal = thing if outcome is Outcome.SUCCESS else thing + np.array([0.1, 0.0, 0.0])
    with BagWriter.open(folder, folder.name, meta, CLOCK, ROBOT, TASK) as writer:
        for step in range(20):
            hand = np.array([0.0, 0.6, 0.2]) * (1 - step / 19) + goal * step / 19
            for topic, kind_name, message in _messages(step, meta.episode_id, hand, thing):
                definition, _ = STORE.generate_msgdef(kind_name, ros_version=2)
                type_hash = STORE.hash_rihs01(kind_name)
                writer.add_topic(topic, kind_name, definition, type_hash, QOS)
                receipt_ns = START_NS + step * ROBOT.control_period_ns
                assert writer.write(topic, bytes(STORE.serialize_cdr(message, kind_name)), receipt_ns)
        writer.close(meta)
    return meta


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two demonstrations, three successes (two from nominal starts), one tagged failure and one abort."""
    folder = tmp_path_factory.mktemp("rollouts")
    for number in range(2):
        write_bag(folder, number, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION)
    for number in range(2, 5):
        write_bag(folder, number, Outcome.SUCCESS, start="nominal" if number < 4 else "wide")
    failed = write_bag(folder, 5, Outcome.FAILURE)
    judgement = FailureJudgement(
        episode_id=failed.episode_id,
        mode="never_reached",
        stage="reach",
        moment_s=0.24,
        severity=0.3,
        confidence=0.9,
        evidence="closest approach 0.100 m <b>& more</b>",
        author="rule:never_reached",
    )
    journal.append(folder / JOURNAL, judgement.author, failed.episode_id, journal.Judged(judgement=judgement), CLOCK)
    write_bag(folder, 6, Outcome.ABORT)
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def run_json(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_list_shows_every_episode_and_the_rate(data: Path) -> None:
    result = run("episodes", "list", "--data", data)
    assert result.exit_code == 0
    assert len(re.findall(r"^….{10} ", result.stdout, re.MULTILINE)) == 7
    assert "never_reached" in result.stdout
    assert "7 episodes; success 3/5 = 60%" in result.stdout
    assert "2 of 2 demonstrations succeeded" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ((), 7),
        (("--outcome", "success"), 5),
        (("--outcome", "abort"), 1),
        (("--kind", "demonstration"), 2),
        (("--kind", "evaluation", "--outcome", "success"), 3),
        (("--task", "pick_and_place"), 7),
        (("--task", "push"), 0),
        (("--limit", 3), 3),
    ],
)
def test_list_chooses(data: Path, options: tuple[object, ...], count: int) -> None:
    assert len(run_json("episodes", "list", "--data", data, *options)["episodes"]) == count


@pytest.mark.parametrize(
    "options", [(), ("--outcome", "failure"), ("--kind", "demonstration"), ("--tag", "evaluation"), ("--limit", 2),
                ("--task", "pick_and_place", "--outcome", "success", "--limit", 9)],
)  # fmt: skip
def test_the_catalog_lists_what_the_bags_say(tmp_path: Path, options: tuple[object, ...]) -> None:
    for number, outcome in enumerate((Outcome.SUCCESS, Outcome.FAILURE, Outcome.UNKNOWN, Outcome.ABORT)):
        write_bag(tmp_path, number, outcome)
    helped = write_bag(tmp_path, 5, Outcome.SUCCESS, interventions=(HELP,))
    write_bag(tmp_path, 6, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION)
    tag_missing(tmp_path, SystemClock())
    said = journal.Reviewed(outcome=Outcome.FAILURE, source=OutcomeSource.HUMAN, reason="it fell")
    journal.append(tmp_path / JOURNAL, "human:ann", helped.episode_id, said, CLOCK)
    torn = tmp_path / "2026-01-02" / "torn"
    torn.mkdir()
    (torn / "torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (tmp_path / JOURNAL).open("a").write("no entry\n")
    by_bags = run("episodes", "list", "--data", tmp_path, *options).stdout
    as_json = run_json("episodes", "list", "--data", tmp_path, *options)
    assert not (tmp_path / FOLDER).exists()
    assert run("index", "--data", tmp_path).exit_code == 0
    assert run("episodes", "list", "--data", tmp_path, *options).stdout == by_bags
    assert run_json("episodes", "list", "--data", tmp_path, *options) == as_json


def test_a_damaged_catalog_is_told_and_the_bags_are_listed(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_bytes(b"no database" * 1000)
    result = run("episodes", "list", "--data", tmp_path)
    assert result.exit_code == 0 and "1 episode; success 1/1" in result.stdout
    assert "xrollout index --anew" in result.stderr


def test_list_limit_keeps_the_newest(data: Path) -> None:
    (newest,) = run_json("episodes", "list", "--data", data, "--limit", 1)["episodes"]
    assert newest["outcome"] == "abort"
    assert newest["seed"] == 106


def test_list_says_what_it_could_not_read(data: Path, tmp_path: Path) -> None:
    torn = tmp_path / "2026-01-02" / "torn"
    torn.mkdir(parents=True)
    (torn / "torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    assert f"not read: {torn}" in run("episodes", "list", "--data", tmp_path).stdout
    listed = run_json("episodes", "list", "--data", tmp_path)
    assert [entry["path"] for entry in listed["unreadable"]] == [str(torn)]
    assert listed["episodes"] == []


def test_a_reviewer_overrides_the_bag(tmp_path: Path) -> None:
    meta = write_bag(tmp_path, 1, Outcome.SUCCESS)
    said = journal.Reviewed(outcome=Outcome.FAILURE, source=OutcomeSource.HUMAN, reason="it fell")
    journal.append(tmp_path / JOURNAL, "human:ann", meta.episode_id, said, CLOCK)
    (listed,) = run_json("episodes", "list", "--data", tmp_path)["episodes"]
    assert (listed["outcome"], listed["outcome_source"]) == ("failure", "human")
    shown = run("episodes", "show", meta.episode_id, "--data", tmp_path).stdout
    assert "failure, said by human: it fell" in shown
    assert "the bag itself says success by robot" in shown


def test_a_helped_success_is_no_success_of_the_policy_anywhere(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    helped = write_bag(tmp_path, 2, Outcome.SUCCESS, interventions=(HELP,))
    listed = run("episodes", "list", "--data", tmp_path).stdout
    assert "2 episodes; success 1/2 = 50% autonomous" in listed
    assert "1 helped by an operator" in " ".join(listed.split())
    assert "success, helped" in listed
    shown = run("episodes", "show", helped.episode_id, "--data", tmp_path).stdout
    assert "counts in no success of the policy" in shown and "joy from 0.10 s to 0.20 s" in shown
    summary = _summary(tmp_path)
    rate = summary.starts[0].rate
    assert (rate.successes, rate.attempts, rate.helped) == (1, 2, 1)
    assert summary.unsuccessful == ()
    write_report(tmp_path / "report.html", summary)
    page = (tmp_path / "report.html").read_text()
    assert "1 of 2 succeeded autonomously" in page and "success, helped" in page
    assert "1 succeeded, 1 with an operator&#39;s help, 0 did not" in page
    facts = json.loads((tmp_path / "report.json").read_text())
    assert (facts["starts"][0]["successes"], facts["starts"][0]["helped"]) == (1, 1)
    assert [episode["helped"] for episode in facts["episodes"]] == [False, True]


def test_a_near_miss_is_shown_wherever_its_success_is(tmp_path: Path) -> None:
    near = write_bag(tmp_path, 1, Outcome.SUCCESS)
    write_bag(tmp_path, 2, Outcome.SUCCESS)
    said = journal.Tagged(tag="near-miss", reason="success came <late>")
    journal.append(tmp_path / JOURNAL, "rule:near_miss", near.episode_id, said, CLOCK)
    assert run("episodes", "list", "--data", tmp_path).stdout.count("near-miss") == 1
    shown = run("episodes", "show", near.episode_id, "--data", tmp_path).stdout
    assert "near-miss (rule:near_miss: success came <late>)" in " ".join(shown.split())
    write_report(tmp_path / "report.html", _summary(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "Among the successes: 1 near miss." in page
    assert "<strong>near miss</strong>: rule:near_miss: success came &lt;late&gt;" in page
    facts = json.loads((tmp_path / "report.json").read_text())
    assert [each["remarks"] for each in facts["episodes"]] == [{"near-miss": "rule:near_miss: success came <late>"}, {}]


def test_an_attempt_that_was_helped_is_tagged_and_only_somebody_s_word_takes_it_off(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    write_bag(tmp_path, 2, Outcome.SUCCESS, EpisodeKind.DEMONSTRATION, interventions=(HELP,))
    helped = write_bag(tmp_path, 3, Outcome.SUCCESS, interventions=(HELP,))
    tag_missing(tmp_path, SystemClock())
    before = (tmp_path / JOURNAL).read_bytes()
    tag_missing(tmp_path, SystemClock())
    assert (tmp_path / JOURNAL).read_bytes() == before, "once is enough"

    def tagged() -> list[str]:
        found = run_json("episodes", "list", "--data", tmp_path, "--tag", "failure-recovery")["episodes"]
        return [episode["episode_id"] for episode in found]

    assert tagged() == [helped.episode_id]
    assert run("episodes", "list", "--data", tmp_path).stdout.count("failure-recovery") == 1
    shown = run("episodes", "show", helped.episode_id, "--data", tmp_path).stdout
    assert "failure-recovery (rule:failure-recovery: joy drove)" in shown
    changed = run("untag", helped.episode_id, "failure-recovery", "--data", tmp_path)
    assert changed.stdout.strip() == f"{helped.episode_id}: evaluation"
    tag_episode(tmp_path, helped.episode_id, CLOCK)
    assert tagged() == []
    assert run("tag", helped.episode_id, "failure-recovery", "mine", "--data", tmp_path).exit_code == 0
    assert tagged() == [helped.episode_id]
    assert (tmp_path / JOURNAL).read_bytes().startswith(before)
    refused = run("tag", helped.episode_id, "Not Allowed", "--data", tmp_path)
    assert refused.exit_code == 5 and "'Not Allowed' is not allowed" in refused.stderr


def test_show_by_id_suffix_and_path_agree(data: Path) -> None:
    failed = run_json("episodes", "list", "--data", data, "--outcome", "failure")["episodes"][0]
    by_id = run_json("episodes", "show", failed["episode_id"], "--data", data)
    assert by_id == run_json("episodes", "show", failed["episode_id"][-8:].lower(), "--data", data)
    by_path = run_json("episodes", "show", failed["path"])
    assert by_path == by_id
    assert by_id["arrays"] == {"state": [20, 14], "action": [20, 4], "stamp_s": [20], "source": [20]}
    assert by_id["sources"] == {"policy": 20}
    assert by_id["judgements"][0]["mode"] == "never_reached"
    assert by_id["topics"]["/xrollout/command"] == {"received": 20, "lost": 0}


def test_show_tells_what_matters_and_how_to_open(data: Path) -> None:
    failed = run_json("episodes", "list", "--data", data, "--outcome", "failure")["episodes"][0]
    page = run("episodes", "show", failed["path"]).stdout
    for shown in (
        "failure, said by time_limit",
        "never_reached in reach at 0.24 s: closest approach 0.100 m",
        "state (20, 14), action (20, 4)",
        "20 by policy",
        "/scene/object",
        "Foxglove",
        "--in rviz",
        "read_episode(",
    ):
        assert shown in page


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("episodes", "list", "--data", "nowhere"), 5, "nowhere is not there"),
        (("episodes", "list", "--task", "pikc"), 2, "unknown task 'pikc'"),
        (("episodes", "show", "01ZZZZ", "--data", "{data}"), 5, "no episode"),
        (("episodes", "show", "0", "--data", "{data}"), 5, "fits 7 episodes"),
        (("episodes", "show", "no/such/bag"), 4, "no/such/bag"),
    ],
)
def test_errors_name_the_thing_and_the_remedy(data: Path, arguments: tuple[str, ...], status: int, words: str) -> None:
    result = run(*(argument.format(data=data) for argument in arguments))
    assert result.exit_code == status
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert "\n  → " in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


class _Page(HTMLParser):
    """What a browser would fetch, and the page's text."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.images_without_name = 0
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(values["id"])] if "id" in values else []
        for name in ("src", "href", "xlink:href", "data"):
            value = values.get(name)
            if value and not value.startswith(("#", "data:")):
                self.fetched.append(value)
        if values.get("role") == "img" and not values.get("aria-label"):
            self.images_without_name += 1


def _summary(data: Path, **changes: Any) -> DeploymentSummary:
    demonstrations, others = split_by_kind(data)
    values: dict[str, Any] = {
        "task": TASK.id,
        "instruction": TASK.instruction,
        "robot": ROBOT.id,
        "policy_id": "01J00000000000000000000000",
        "starts": from_starts(others, TASK),
        "data": data,
        "command": "xrollout demo --seed 3",
        "made_at": "2026-01-02T03:04:05+00:00",
        "demonstrations": attempts_of(demonstrations),
        "training": Training(data / "c.pt", "ab" * 32, "flow", 2, 1234, (1.0, 0.5, float("nan")), 12.0, (("bad", 1),)),
        "timings": (StageTime("record", 1.0),),
        "versions": versions(),
    }
    return DeploymentSummary(**(values | changes))


def test_the_demo_ends_with_commands_that_answer(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from xrollout_ros.ui.demo import next_commands

    monkeypatch.chdir(tmp_path)
    summary = _summary(data)
    for command, why in next_commands(summary, summary.unsuccessful[0]):
        name, *arguments = shlex.split(command)
        assert name == "xrollout"
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, f"{why}: {command}\n{result.output}"
    assert json.loads((tmp_path / "failures.json").read_text())["asked"]["min_attempts"] == 10


def test_summary_reads_traces_and_tags(data: Path) -> None:
    summary = _summary(data)
    assert [(each.name, each.rate.successes, each.rate.attempts) for each in summary.starts] == [
        ("nominal", 2, 2),
        ("wide", 1, 3),
    ]
    assert [attempt.number for attempt in summary.attempts] == [1, 2, 3, 4, 5]
    assert [attempt.number for attempt in summary.unsuccessful] == [4, 5]
    failed = summary.unsuccessful[0]
    assert failed.failure_mode == "never_reached"
    assert failed.trace is not None
    assert failed.trace.hand_m.shape == (20, 3)
    np.testing.assert_allclose(failed.trace.object_m[0], [0.05, 0.65, 0.02])
    np.testing.assert_allclose(failed.trace.hand_m[-1], [0.15, 0.65, 0.02])
    assert 0.05 < failed.trace.closest_m < 0.1


def test_report_is_one_whole_page(data: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", _summary(data))
    html = (tmp_path / "report.html").read_text()
    page = _Page()
    page.feed(html)
    assert page.fetched == []
    assert "url(http" not in html
    assert "<script" not in html
    assert "@import" not in html
    assert page.tags.count("svg") == 4
    assert page.images_without_name == 0
    assert len(page.ids) == len(set(page.ids))
    assert html.index("2 of 2 succeeded") < html.index("1 of 3 succeeded")
    assert "closest approach 0.100 m &lt;b&gt;&amp; more&lt;/b&gt;" in html
    assert "#010101" not in html
    assert "prefers-color-scheme: dark" in html
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json"}


def test_report_json_holds_the_same(data: Path, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", _summary(data))
    facts = json.loads((tmp_path / "report.json").read_text())
    nominal, wide = facts["starts"]
    assert (nominal["start"], nominal["successes"], nominal["attempts"]) == ("nominal", 2, 2)
    assert (wide["start"], wide["successes"], wide["attempts"]) == ("wide", 1, 3)
    assert wide["wilson_95"] == pytest.approx([0.0615, 0.7923], abs=1e-3)
    assert [episode["start"] for episode in facts["episodes"]] == ["nominal"] * 2 + ["wide"] * 3
    assert facts["training"]["losses"] == [1.0, 0.5, None]
    assert [episode["outcome"] for episode in facts["episodes"]] == ["success"] * 3 + ["failure", "abort"]
    assert facts["episodes"][3]["failure_mode"] == "never_reached"


def test_report_without_attempts_pictures_or_training(data: Path, tmp_path: Path) -> None:
    write_report(
        tmp_path / "report.html", _summary(data, starts=(FromStart("wide", "", ()),), training=None, demonstrations=())
    )
    assert "No attempt with a known outcome" in (tmp_path / "report.html").read_text()


def test_what_the_graph_left_untagged_is_tagged_once(tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.FAILURE)
    write_bag(tmp_path, 2, Outcome.SUCCESS)
    assert tag_missing(tmp_path, SystemClock()) == 1
    assert tag_missing(tmp_path, SystemClock()) == 0
    (failed,) = run_json("episodes", "list", "--data", tmp_path, "--outcome", "failure")["episodes"]
    assert [judgement["mode"] for judgement in failed["judgements"]][:1] == ["never_reached"]


def test_a_report_passes_over_no_attempt(data: Path, tmp_path: Path) -> None:
    write_bag(tmp_path, 1, Outcome.SUCCESS)
    torn = tmp_path / "2026-01-02" / "torn"
    torn.mkdir(parents=True)
    (torn / "torn_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    with pytest.raises(DataError, match="torn"):
        split_by_kind(tmp_path)
