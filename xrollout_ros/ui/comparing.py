"""Runs a comparison with its progress on the terminal, in this process or in graphs."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from rich.console import Console

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import EpisodeKind, EpisodeMeta, Outcome, OutcomeSource
from xrollout_ros.core.errors import DataError
from xrollout_ros.core.resources import load_robot
from xrollout_ros.cycle.comparing.in_process import InProcess
from xrollout_ros.cycle.comparing.run import Comparison, Tried, compare
from xrollout_ros.cycle.comparing.trials import EVALUATION, LOG, Arm, ComparisonPlan, PlannedPair
from xrollout_ros.episodes import journal
from xrollout_ros.episodes.journal_entry import Reviewed, Tagged
from xrollout_ros.episodes.paths import JOURNAL
from xrollout_ros.episodes.resume import made_of
from xrollout_ros.episodes.store import find_episodes
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.mining.review.decisions import LAYER, VERIFIED, author_of
from xrollout_ros.runtime.start_list import NUMBER, ListedStart, StartList
from xrollout_ros.ui.console import output
from xrollout_ros.ui.keys import GONE, Keys
from xrollout_ros.ui.people import login
from xrollout_ros.ui.placing import Keyboard
from xrollout_ros.ui.progress import Bar
from xrollout_ros.ui.running import require_ros, run_graph

COMPARISON, PAIR = "comparison_id", "comparison_pair"
"""Where an episode's parameters say which comparison it was a trial of, and of which pair."""
_BLOCK = 10
"""Pairs that one graph makes, where a robot is simulated."""
OpenKeys = Callable[[], AbstractContextManager[Keyboard]]


def check_is_comparison(folder: Path) -> None:
    """Refuse to delete what is no comparison.

    Raises:
        DataError: the folder holds something else.
    """
    if any(folder.iterdir()) and not (folder / LOG).is_file():
        raise DataError(f"{folder} holds no comparison, and is not emptied", "Name another folder with --output.")


def run(plan: ComparisonPlan, folder: Path, *, data: Path, operator: str = "", workers: int = 0) -> Comparison:
    """Make a comparison, or go on with one.

    Args:
        plan: what is compared.
        folder: of its log.
        data: where trials in the graph are recorded.
        operator: who may stop and mark on a real robot.
        workers: processes; 0: one for each core.

    Raises:
        XRolloutError: trials cannot be made, or the folder holds something else.
        KeyboardInterrupt: Ctrl-C; the same command goes on.
    """
    console = output()
    if plan.where == "process":
        with InProcess(plan, workers) as trials, Bar("loading the policies") as bar:
            return compare(plan, folder, trials, partial(_show, bar))
    require_ros()
    if load_robot(plan.robot).sim is not None:
        with Bar("pair") as bar:
            return compare(plan, folder, InGraph(plan, data, console), partial(_show, bar))
    return compare(plan, folder, ByHand(plan, data, operator, console))


def _show(bar: Bar, made: Comparison) -> None:
    """Pairs, how many differ, the e-value against its bound. It does not tell X from Y."""
    pairs, judge = made.judge.pairs, made.judge
    state = f"{pairs.only_a + pairs.only_b} differ · e-value {judge.e_value:.3g} of {judge.bound:g}"
    bar.part("pair", pairs.count, made.plan.rules.pairs, state)


def _listed(plan: ComparisonPlan, pairs: Sequence[PlannedPair], *, simulated: bool) -> StartList:
    """The trials of these pairs as a list of starts, each with its policy."""
    starts = [
        ListedStart(
            start=pair.start,
            seed=pair.seed if simulated else None,
            number=2 * pair.number - 1 + place,
            model=plan.ref(arm).checkpoint,
            parameters={COMPARISON: plan.comparison_id, PAIR: pair.number},
        )
        for pair in pairs
        for place, arm in enumerate(pair.order)
    ]
    return StartList(list_id=plan.comparison_id, tags=(EVALUATION,), starts=tuple(starts))


def _made(starts: StartList, data: Path) -> dict[int, EpisodeMeta]:
    found = find_episodes(data) if data.is_dir() else []
    return made_of(starts, (each.meta for each in found if each.meta is not None))


def _arguments(plan: ComparisonPlan, data: Path, starts: Path) -> dict[str, str]:
    return {
        "model": plan.a.checkpoint,
        "task": plan.task,
        "robot": plan.robot,
        "engine": plan.engine,
        "faults": plan.faults,
        "kind": EpisodeKind.EVALUATION.value,
        "data": str(data),
        "starts": str(starts),
    }


def _described(plan: ComparisonPlan, data: Path, starts: StartList, then: Callable[[GraphDescription], None]) -> None:
    with tempfile.TemporaryDirectory(prefix="xrollout-") as folder:
        file = Path(folder) / "starts.json"
        file.write_text(starts.model_dump_json(), encoding="utf-8")
        then(describe("deploy", _arguments(plan, data, file)))


class InGraph:
    """``Trials`` on a simulated robot in the graph: some pairs at a time, each trial a recorded episode."""

    at_once = _BLOCK

    def __init__(self, plan: ComparisonPlan, data: Path, console: Console) -> None:
        self._plan, self._data, self._console = plan, data, console
        self._rate_hz = load_robot(plan.robot).policy_rate_hz

    def run(self, pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, dict[Arm, Tried]]]:
        """See ``Trials``; what an interrupted run has recorded is not made again."""
        starts = _listed(self._plan, pairs, simulated=True)
        left = starts.without(_made(starts, self._data))
        if left is not None:
            quiet = Console(file=sys.stderr, markup=False, highlight=False, quiet=not self._console.is_terminal)
            _described(self._plan, self._data, left, lambda described: _run(described, quiet))
        there = _made(starts, self._data)
        for pair in pairs:
            yield (
                pair,
                {
                    arm: _tried(there[2 * pair.number - 1 + place], self._rate_hz)
                    for place, arm in enumerate(pair.order)
                },
            )


def _run(described: GraphDescription, console: Console) -> None:
    run_graph(described, console)


def _tried(meta: EpisodeMeta, rate_hz: float) -> Tried:
    return Tried(meta.outcome, round(meta.duration_s * rate_hz), meta.episode_id, meta.seed)


def _terminal() -> Keys:
    return Keys("judging trials", "Trials on a real robot are begun and judged by a person at a terminal.")


class ByHand:
    """``Trials`` on a real robot: a person puts things to each start and, where the robot has no signal, says what came
    of it, without being told whose trial it was.

    Args:
        plan: what is compared.
        data: where the trials are recorded.
        operator: who may stop and mark in the graph.
        console: for the person.
        run: makes the attempts of a graph.
        open_keys: the terminal, between two graphs.
    """

    at_once = 1

    def __init__(
        self, plan: ComparisonPlan, data: Path, operator: str, console: Console,
        run: Callable[[GraphDescription], None] | None = None, open_keys: OpenKeys = _terminal,
    ) -> None:  # fmt: skip
        self._plan, self._data, self._operator, self._console = plan, data, operator, console
        self._run = run or (lambda described: _run(described, console))
        self._open_keys = open_keys
        self._rate_hz = load_robot(plan.robot).policy_rate_hz

    def run(self, pairs: Sequence[PlannedPair]) -> Iterator[tuple[PlannedPair, dict[Arm, Tried]]]:
        """See ``Trials``.

        Raises:
            KeyboardInterrupt: the person quits; the same command goes on.
        """
        for pair in pairs:
            starts = _listed(self._plan, [pair], simulated=False)
            for place in range(2):
                self._one(starts, place, pair)
            there = _made(starts, self._data)
            yield pair, {arm: self._judged(there[starts.numbers[place]]) for place, arm in enumerate(pair.order)}

    def _one(self, starts: StartList, place: int, pair: PlannedPair) -> None:
        number = starts.numbers[place]
        if number in _made(starts, self._data):
            return
        same = "" if place == 0 else ", as before" if self._plan.rules.design == "paired" else ""
        most = 2 * self._plan.rules.pairs
        self._console.print(f"\ntrial {number} of at most {most}: put things to a start of {pair.start!r}{same}")
        self._console.print("enter: begin  q: quit")
        with self._open_keys() as keys:
            keys.forget()
            while (key := keys.key()) not in ("enter", "space"):
                if key in ("q", "esc", GONE):
                    raise KeyboardInterrupt
        one = starts.model_copy(update={"starts": (starts.starts[place],), "list_id": starts.id})
        _described(self._plan, self._data, one, self._run)

    def _judged(self, meta: EpisodeMeta) -> Tried:
        outcome = meta.outcome
        if outcome is Outcome.UNKNOWN:
            outcome = self._ask(meta)
        return Tried(outcome, round(meta.duration_s * self._rate_hz), meta.episode_id, meta.seed)

    def _ask(self, meta: EpisodeMeta) -> Outcome:
        number = meta.parameters[NUMBER]
        self._console.print(f"trial {number}: did it succeed?  s: success  f: failure  u: cannot be said  q: quit")
        known = {"s": Outcome.SUCCESS, "f": Outcome.FAILURE, "u": Outcome.UNKNOWN}
        with self._open_keys() as keys:
            keys.forget()
            while (key := keys.key()) not in known:
                if key in ("q", "esc", GONE):
                    raise KeyboardInterrupt
        outcome = known[key]
        said = (Reviewed(outcome=outcome, source=OutcomeSource.HUMAN, reason="judged blind in a comparison"),)
        tags = () if outcome is Outcome.UNKNOWN else (Tagged(tag=VERIFIED, reason="judged blind in a comparison"),)
        author = author_of(login())
        entries = [journal.Said(author, meta.episode_id, each, LAYER) for each in (*said, *tags)]
        journal.append_all(self._data / JOURNAL, entries, SystemClock())
        return outcome
