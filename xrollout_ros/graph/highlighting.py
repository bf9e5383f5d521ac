"""``save_highlight`` as the recorder offers it: taken by polling, answered when the clip is whole, or is not."""

from __future__ import annotations

import queue
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from std_srvs.srv import Trigger

from xrollout.msg import EpisodeState
from xrollout_ros.core.episode import Strategy
from xrollout_ros.core.errors import BagError
from xrollout_ros.episodes.highlights import Clip
from xrollout_ros.episodes.recording import Recording
from xrollout_ros.graph.polling import Polled, PolledService
from xrollout_ros.graph.topics import resolve

_CARRIED = ("site", "scene", "level", "operator", "policy_id", "checkpoint_hash", "dataset_version", "start")
_EPISODE = resolve("episode")


class HighlightService:
    """Used in the executor's thread; saves run in threads of their own."""

    def __init__(
        self,
        node: Node,
        recording: Recording,
        strategy: Strategy,
        after_s: float,
        group: Polled,
        before: Callable[[], object],
        saved: Callable[[Path], None],
    ) -> None:
        """
        Args:
            node: the recorder.
            recording: has the ring.
            strategy: kept with each clip.
            after_s: how long a clip goes on after the request, s.
            group: of the polled.
            before: takes all messages that have come, so that a clip lacks none.
            saved: told the bag of each clip that was saved, from a thread.
        """
        self._node, self._recording, self._strategy = node, recording, strategy
        self._after_s, self._before, self._tell_saved = after_s, before, saved
        self._service = PolledService(node, Trigger, "save_highlight", group)
        self._done: queue.SimpleQueue[tuple[Any, Clip]] = queue.SimpleQueue()

    def poll(self) -> None:
        """Begin what is asked for, answer what is done."""
        for _, header in self._service.requests():
            self._begin(header)
        while not self._done.empty():
            header, clip = self._done.get()
            self._answer(header, clip)

    def _begin(self, header: Any) -> None:
        self._before()
        try:
            if self._recording.highlights is None:
                raise BagError("this recorder keeps no ring", "Give it one.")
            self._recording.highlights.save(self._about(), self._after_s, partial(self._saved, header))
        except BagError as error:
            self._answer(header, Clip(None, problem=f"the highlight was not saved: {error}"))

    def _saved(self, header: Any, clip: Clip) -> None:
        """Called in the save's own thread."""
        if clip.path is not None:
            self._tell_saved(clip.path)
        self._done.put((header, clip))

    def _about(self) -> dict[str, Any]:
        """What is known of the attempt in which it was asked for."""
        about: dict[str, Any] = {"strategy": self._strategy}
        meta, told = self._recording.meta, self._recording.topics[_EPISODE].latest
        if meta is not None:
            about |= {name: getattr(meta, name) for name in _CARRIED}
            about["parameters"] = {"episode_id": meta.episode_id}
        elif told is not None:
            state = deserialize_message(told, EpisodeState)
            about |= {"start": state.start, "policy_id": state.policy_id, "operator": state.operator_id}
            about["parameters"] = {"episode_id": state.episode_id}
        return about

    def _answer(self, header: Any, clip: Clip) -> None:
        saved = clip.path is not None
        if saved:
            self._node.get_logger().info(f"highlight saved: {clip}")
        else:
            self._node.get_logger().error(clip.problem)
        self._service.answer(header, Trigger.Response(success=saved, message=str(clip)))

    def destroy(self) -> None:
        """Offer it no more."""
        self._service.destroy()
