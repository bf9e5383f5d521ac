"""tagger: says why an attempt ended as it did, from its closed bag alone."""

from __future__ import annotations

import queue
import threading

from xrollout.msg import EpisodeState, FailureTag
from xrollout_ros.core.episode import FailureJudgement
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.modes import Phase
from xrollout_ros.episodes import paths
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.node import GraphNode, run_node
from xrollout_ros.graph.pulse import clock
from xrollout_ros.graph.qos import EVENT, LATCHED_EACH
from xrollout_ros.mining.labellers import load_labellers
from xrollout_ros.mining.tagging import tag_episode


class TaggerNode(GraphNode):
    """Reads each bag in a thread of its own when its attempt is closed; it never changes a bag."""

    def __init__(self) -> None:
        super().__init__("tagger")
        self.declare_parameter("data", "")
        self.declare_parameter("labellers", "")
        self._work: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def configure(self) -> None:
        self._data = paths.data_dir(self.text("data"))
        self._labellers = load_labellers([name for name in self.text("labellers").split(",") if name])
        self._problem = ""
        self._tags = self.create_publisher(FailureTag, "failure", EVENT)
        self.pulse.problem = lambda: self._problem
        self.pulse.values = lambda: {"queue": self._work.qsize()}

    def activate(self) -> None:
        self._running = ""
        self._episode = self.create_subscription(EpisodeState, "episode", self._on_episode, LATCHED_EACH)
        self._thread = threading.Thread(target=self._run, name="tagger", daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        self.destroy_subscription(self._episode)
        self.make_safe()

    def cleanup(self) -> None:
        if hasattr(self, "_tags"):
            self.destroy_publisher(self._tags)

    def make_safe(self) -> None:
        if self._thread is not None:
            self._work.put(None)
            self._thread.join(3.0)
            self._thread = None

    def _on_episode(self, message: EpisodeState) -> None:
        # The next attempt's state may replace a CLOSED that is still on its way: then the attempt before is over too.
        over = self._running if self._running != message.episode_id else ""
        if message.phase == Phase.CLOSED:
            over, self._running = "" if message.discarded else message.episode_id, ""
        else:
            self._running = message.episode_id
        if over:
            self._work.put(over)

    def _run(self) -> None:
        while (episode_id := self._work.get()) is not None:
            try:
                tagging = tag_episode(self._data, episode_id, clock, labellers=self._labellers)
                for judgement in tagging.failures:
                    self._tell(judgement)
                self._problem = "; ".join(tagging.problems)
                if self._problem:
                    self.get_logger().error(self._problem)
            except XRolloutError as error:
                self._problem = str(error)
                self.get_logger().error(f"attempt {episode_id} has no tag: {error}")

    def _tell(self, judgement: FailureJudgement) -> None:
        self._tags.publish(FailureTag(stamp=time_msg(clock.wall_ns()), **judgement.model_dump()))


def main() -> None:
    """Console script ``tagger``."""
    run_node(TaggerNode)


if __name__ == "__main__":
    main()
