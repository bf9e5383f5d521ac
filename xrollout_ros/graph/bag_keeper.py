"""The manager's side of the recorder: opens, closes and takes back bags by its services."""

from __future__ import annotations

from rclpy.node import Node

from xrollout.srv import CloseEpisode, OpenEpisode
from xrollout_ros.core.episode import EpisodeMeta
from xrollout_ros.core.errors import GraphError
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.lifecycle import Members, call

OPEN_TIMEOUT_S = 5.0
NOT_CLOSED = "its bag was not closed"


class BagKeeper:
    """Called from the manager's own thread."""

    def __init__(self, node: Node, members: Members) -> None:
        self._log = node.get_logger()
        self._members = members
        self._unclosed: tuple[EpisodeMeta, bool] | None = None
        """A bag that a recorder, silent at the time, may still have open, and whether it is to be discarded."""
        self._open = node.create_client(OpenEpisode, "open_episode")
        self._close = node.create_client(CloseEpisode, "close_episode")

    def open(self, meta: EpisodeMeta, begin_ns: int) -> None:
        """Have the bag of an attempt opened.

        Raises:
            GraphError: the recorder refuses, or does not answer.
        """
        request = OpenEpisode.Request(metadata=meta.model_dump_json(), start=time_msg(begin_ns))
        try:
            answer = call(self._open, request, OPEN_TIMEOUT_S, "open the bag", self._replaced)
        except GraphError:
            self._unclosed = (meta, True)  # a recorder that is only silent may open it yet
            raise
        if not answer.opened:
            raise GraphError(f"the attempt cannot be recorded: {answer.message}", "Mend that and start again.")

    def close(self, meta: EpisodeMeta, timeout_s: float, *, discard: bool) -> tuple[str, EpisodeMeta]:
        """Have it closed; where it is, or why it could not be, and what holds for the attempt.

        A recorder that had not heard the manager for a while has closed the bag as aborted by then; the bag is right.
        """
        if self._members.is_lost("recorder"):
            self._log.error("the bag was not closed: the recorder is silent or dead; the next one repairs it")
            self._unclosed = (meta, discard)
            return NOT_CLOSED, meta
        request = CloseEpisode.Request(metadata=meta.model_dump_json(), discard=discard)
        try:
            answer = call(self._close, request, timeout_s, "close the bag", self._replaced)
        except GraphError as error:
            self._log.error(f"the bag was not closed: {error.what}")
            if self._members.is_lost("recorder"):
                self._unclosed = (meta, discard)
            return NOT_CLOSED, meta
        if not answer.closed:
            self._log.error(f"the bag was not closed: {answer.message}")
            return NOT_CLOSED, meta
        if answer.recorded:
            meta = EpisodeMeta.model_validate_json(answer.recorded)
            self._log.warning(f"the bag had been closed before: {meta.outcome_reason}")
        return str(answer.bag), meta

    def settle(self) -> None:
        """Before the next attempt: a recorder that was silent for a while, and not dead, has its last bag open."""
        unclosed, self._unclosed = self._unclosed, None
        if unclosed is not None and not self._members.is_lost("recorder"):
            meta, discard = unclosed
            where, _ = self.close(meta, OPEN_TIMEOUT_S, discard=discard)
            self._log.info(f"the bag of attempt {meta.episode_id}: {where}")

    def _replaced(self) -> bool:
        return self._members.is_replaced("recorder")

    def take_back(self, meta: EpisodeMeta) -> bool:
        """Have the bag of the last attempt, which is closed, moved to the trash; whether it was."""
        return self.close(meta, OPEN_TIMEOUT_S, discard=True)[0] != NOT_CLOSED
