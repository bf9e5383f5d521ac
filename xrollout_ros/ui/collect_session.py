"""Runs a collecting session: all starts in one graph, or one after the other while a person places things."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import FAILURE_RECOVERY, EpisodeMeta
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes import paths
from xrollout_ros.episodes.records import Record, records_at
from xrollout_ros.graph.description import GraphDescription, describe
from xrollout_ros.mining.collection import has_failed, wanted
from xrollout_ros.mining.plan import PlannedStart
from xrollout_ros.mining.tagging import tag_episode
from xrollout_ros.runtime.start_list import NUMBER, StartList
from xrollout_ros.sim.perturbing import tag_perturbed
from xrollout_ros.ui.closed_bags import ClosedBags
from xrollout_ros.ui.collecting import BY_HAND, Session
from xrollout_ros.ui.keys import Keys
from xrollout_ros.ui.placing import Answer, Keyboard, ask, ask_last
from xrollout_ros.ui.running import run_graph

Run = Callable[[GraphDescription], object]
OpenKeys = Callable[[], AbstractContextManager[Keyboard]]


def terminal_keys() -> Keys:
    """The keys of the terminal that the command was started in.

    Raises:
        GraphError: there is none.
    """
    return Keys("placing things", "A real robot is put to its starts by a person at a terminal: start it in one.")


class CollectRun:
    """One run of a session.

    Args:
        session: what is to be made.
        starts: what of it is left.
        console: for people.
        run: starts a graph and waits for its end.
        open_keys: the terminal, between two graphs; within one it may be the operator's.
    """

    def __init__(
        self,
        session: Session,
        starts: StartList,
        console: Console,
        run: Run | None = None,
        open_keys: OpenKeys = terminal_keys,
    ) -> None:
        self._session, self._starts, self._console = session, starts, console
        self._run = run or self._run_graph
        self._open_keys = open_keys
        self.made: list[EpisodeMeta] = []
        """What was recorded until now, also where it was interrupted."""

    def check(self) -> None:
        """Refuse what the graph would refuse, before anybody has placed anything.

        Raises:
            XRolloutError: naming it.
        """
        self._describe(self._starts, lambda description: None)

    def make(self) -> None:
        """Make all of them, or until the person quits.

        Raises:
            XRolloutError: a graph failed; what was made until then is in ``made``.
            KeyboardInterrupt: Ctrl-C; the same.
        """
        if self._session.by_hand:
            self._one_by_one()
        else:
            self._describe(self._starts, self._made_by)

    def finish(self) -> list[Record]:
        """Tag what was made, and give it as it stands then.

        Raises:
            XRolloutError: the journal cannot be written, or a bag is damaged.
        """
        data, clock = self._session.options.data, SystemClock()
        if self._session.options.perturb not in ("", BY_HAND):
            tag_perturbed(data, [meta.episode_id for meta in self.made], clock)
        records = self._records()
        for record in records:
            # The tagger works behind the graph, which may have been taken down before it was through.
            late = record.result.helped and FAILURE_RECOVERY not in record.effective.tags
            if late or not record.effective.judgements:
                tag_episode(data, record.meta.episode_id, clock)
        return self._records()

    def _records(self) -> list[Record]:
        data = self._session.options.data
        return records_at(data, [paths.episode_dir(data, meta) for meta in self.made])

    # --- graphs -------------------------------------------------------------------------------------------------

    def _describe(self, starts: StartList, then: Callable[[GraphDescription], None]) -> None:
        """Describe the graph for these starts, whose file is there for as long as ``then`` takes."""
        with tempfile.TemporaryDirectory(prefix="xrollout-") as folder:
            file = Path(folder) / "starts.json"
            file.write_text(starts.model_dump_json(), encoding="utf-8")
            then(describe(*self._session.graph(file)))

    def _made_by(self, description: GraphDescription) -> None:
        closed = ClosedBags(description.data)
        try:
            self._run(description)
        finally:
            self.made += closed.look()

    def _run_graph(self, description: GraphDescription) -> None:
        run_graph(description, self._console, may_discard=self._session.people)

    # --- people place things ------------------------------------------------------------------------------------

    def _one_by_one(self) -> None:
        queue, before = deque(range(len(self._starts))), None
        while True:
            if queue:
                answer = self._ask(queue[0], made_one=before is not None)
            else:
                answer = Answer.AGAIN if before is not None and self._ask_last() else Answer.QUIT
            if answer is Answer.QUIT:
                return
            if answer is Answer.SKIP:
                queue.popleft()
            elif answer is Answer.AGAIN:
                assert before is not None, "offered only then"
                self._take_back(before)
                queue.appendleft(before)
                before = None
            else:
                place = queue.popleft()
                one = self._starts.model_copy(update={"starts": (self._starts.starts[place],)})
                self._describe(one, self._made_by)
                before = place

    def _ask(self, place: int, *, made_one: bool) -> Answer:
        number, total = self._starts.numbers[place], len(self._session.starts)
        plan, start = self._session.plan, self._start(number)
        failed = plan is not None and start is not None and has_failed(plan, start)
        with self._open_keys() as keys:
            return ask(self._console, keys, start, f"{number} of {total}", made_one=made_one, failed=failed)

    def _ask_last(self) -> bool:
        with self._open_keys() as keys:
            return ask_last(self._console, keys)

    def _start(self, number: int) -> PlannedStart | None:
        plan = self._session.plan
        return None if plan is None else next(each.start for each in wanted(plan) if each.number == number)

    def _take_back(self, place: int) -> None:
        """To the trash with what was made from this start last."""
        data, number = self._session.options.data, self._starts.numbers[place]
        for meta in [each for each in self.made if each.parameters.get(NUMBER) == number]:
            self.made.remove(meta)
            try:
                paths.discard(data, paths.episode_dir(data, meta))
            except XRolloutError as error:
                self._console.print(str(error), style="yellow")
