"""What the manager does next: the attempts that are left, those that somebody asks for, and those made again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rclpy.node import Node

from xrollout_ros.core.clock import Clock, nanoseconds
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Request
from xrollout_ros.episodes.resume import made_before
from xrollout_ros.graph.bag_keeper import BagKeeper
from xrollout_ros.graph.inbox import Inbox, Wish
from xrollout_ros.graph.lifecycle import Members
from xrollout_ros.runtime.attempt import Verdict
from xrollout_ros.runtime.attempt_plan import AttemptPlan, Tally
from xrollout_ros.runtime.start_list import StartList

FOREVER_S = 1e9


class Agenda:
    """Used in the manager's own thread."""

    def __init__(
        self,
        node: Node,
        plan: AttemptPlan,
        start: str,
        starts: StartList | None,
        reset_s: float,
        inbox: Inbox,
        members: Members,
        bags: BagKeeper,
        clock: Clock,
    ) -> None:
        """
        Args:
            node: the manager.
            plan: the seeds, or places in ``starts``.
            start: named start distribution of attempts that nobody has asked for.
            starts: what the attempts begin with; None: seeds count up.
            reset_s: time between two attempts to put the scene right, s.
            inbox: has what people ask for.
            members: what the graph consists of.
            bags: takes bags back.
            clock: the machine's.
        """
        self.plan = plan
        self.tally = Tally()
        self.discarded: Callable[[EpisodeMeta], None] = lambda meta: None
        """Told when an attempt is taken back that was closed already."""
        self.bring_up: Callable[[], None] = lambda: None
        """Called when a node is lost while nothing is to be done."""
        self._node, self._start, self._starts, self._reset_s = node, start, starts, reset_s
        self._inbox, self._members, self._bags, self._clock = inbox, members, bags, clock
        self._last: tuple[Wish, EpisodeMeta, bool] | None = None

    @property
    def number(self) -> int:
        """Attempts begun."""
        return self.plan.number

    @property
    def total(self) -> int:
        """Attempts there shall be; 0: no end."""
        return self.plan.total

    def again(self, key: int) -> None:
        """An attempt could not begin: make it again."""
        self.plan.again(key)

    def resume(self, data: Path, like: EpisodeMeta) -> None:
        """Count what the same command has made before.

        Raises:
            DataError: it was made at another rate.
        """
        made = made_before(data, like, self.plan.total, self._starts)
        self.plan = AttemptPlan(self.plan.first, self.plan.total, made.results)
        self.tally = Tally.of(made.results.values())
        of, number = f" of {self.plan.total}" if self.plan.total else "", len(made.results)
        self._node.get_logger().info(f"resuming: {number}{of} attempts are there, {self.tally.text(' of ', number)}")

    def next(self) -> Wish | None:
        """What to do next; waits for somebody to ask, or for the scene to be put right. None: all is done.

        Raises:
            StopRequested: the process was told to stop.
        """
        if not self.plan.total:
            wish = self._wait(FOREVER_S)
            assert wish is not None
            seed = self.plan.asked_for(wish.seed)
            return replace(wish, seed=seed, key=seed)
        # After the last attempt too there is time to take it back.
        wish = self._wait(self._reset_s if self._last is not None else 0.0) or Wish(new_id(), -1, self._start)
        key = self.plan.next_key()
        return None if key is None else self._chosen(wish, key)

    def _chosen(self, wish: Wish, key: int) -> Wish:
        """What an attempt begins with; a list leaves nothing of that to whoever asks for the attempt."""
        if self._starts is None:
            return replace(wish, seed=key, key=key)
        listed = self._starts.starts[key]
        return Wish(
            wish.episode_id,
            -1 if listed.seed is None else listed.seed,
            listed.start,
            key,
            (*self._starts.tags, *listed.tags),
            self._starts.parameters_of(key),
            listed.model,
        )

    def done(self, wish: Wish, meta: EpisodeMeta, verdict: Verdict, kept: bool) -> None:
        """An attempt has been made.

        Args:
            wish: what it began with.
            meta: what became of it.
            verdict: whether it counts.
            kept: whether it has a closed bag.
        """
        self._last = None if verdict.discard else (wish, meta, kept)
        if verdict.again:
            self.plan.again(wish.key)
            with self._inbox.changed:
                self._inbox.wish = Wish(new_id(), -1, meta.start)

    def _wait(self, timeout_s: float) -> Wish | None:
        """An attempt that somebody asks for within this time, or that is to be made again; None: nobody did."""
        until_ns = self._clock.steady_ns() + nanoseconds(timeout_s)
        while True:
            wish = self._take_back() or self._inbox.wish
            if wish is not None or self._clock.steady_ns() >= until_ns:
                return wish
            self._members.wait(lambda: self._something(until_ns), FOREVER_S, "nobody asked")
            if self._members.lost():
                self.bring_up()

    def _something(self, until_ns: int) -> bool:
        asked = self._inbox.wish is not None or self._inbox.late is not None
        return asked or bool(self._members.lost()) or self._clock.steady_ns() >= until_ns

    def _take_back(self) -> Wish | None:
        """Discard the attempt that was made last, if somebody asks for that now; the wish to make it again."""
        with self._inbox.changed:
            late, self._inbox.late = self._inbox.late, None
        if late is None or self._last is None:
            return None
        (request, who, _), (wish, meta, kept), self._last = late, self._last, None
        if kept and not self._bags.take_back(meta):
            return None
        self.tally.add(meta.result(), -1)
        self._node.get_logger().info(f"attempt {self.plan.number} is discarded after its end, as {who} asked")
        self.discarded(meta)
        if request is not Request.RERECORD:
            return None
        self.plan.again(wish.key)
        return Wish(new_id(), -1, meta.start)
