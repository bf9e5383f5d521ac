"""uploader: copies closed bags to another place, in a process of its own that nobody waits for."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import rclpy
from rclpy.clock import Clock as RosClock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from xrollout.msg import UploadStatus
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.upload_queue import UploadQueue
from xrollout_ros.episodes.upload_target import Bandwidth, UploadTarget
from xrollout_ros.episodes.uploader import Uploader
from xrollout_ros.graph.conversions import time_msg
from xrollout_ros.graph.node import StopFlag
from xrollout_ros.graph.pulse import Pulse, clock
from xrollout_ros.graph.qos import LATCHED
from xrollout_ros.graph.spinning import make_executor

_NICE = 10
_BITS = 8
_STATUS_PERIOD_S = 1.0


class UploaderNode(Node):
    """A plain node: it takes no part in attempts, and its death ends none."""

    def __init__(self) -> None:
        super().__init__("uploader", namespace="xrollout")
        self.declare_parameter("data", "")
        self.declare_parameter("url", "")
        self.declare_parameter("mbit", 0.0)
        self.pulse = Pulse(self, lambda: 0)
        url = str(self.get_parameter("url").value)
        bandwidth = Bandwidth(float(self.get_parameter("mbit").value) * 1e6 / _BITS, clock)
        queue = UploadQueue(Path(str(self.get_parameter("data").value)), clock)
        self.uploader = Uploader(queue, UploadTarget(url, bandwidth), self.get_logger().info)
        self._url = url
        self._status = self.create_publisher(UploadStatus, "upload/status", LATCHED)
        self.create_timer(_STATUS_PERIOD_S, self._tell, clock=RosClock(clock_type=ClockType.STEADY_TIME))
        self.pulse.problem = lambda: self.uploader.progress.error
        self.pulse.values = lambda: {"queue": self.uploader.progress.queue, "done": self.uploader.progress.done}

    def _tell(self) -> None:
        progress = self.uploader.progress
        self._status.publish(
            UploadStatus(
                stamp=time_msg(clock.wall_ns()),
                url=self._url,
                queue=progress.queue,
                done=progress.done,
                bytes_left=progress.bytes_left,
                current=progress.current,
                error=progress.error,
            )
        )


def main() -> None:
    """Console script ``uploader``."""
    os.nice(_NICE)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    stop = StopFlag()
    try:
        node = UploaderNode()
    except XRolloutError as error:
        sys.stderr.write(f"error: {error}\n")
        rclpy.try_shutdown()
        sys.exit(error.exit_code)
    executor = make_executor()
    executor.add_node(node)
    # What is on its way when the graph ends is given up with the process: the queue still has it.
    threading.Thread(target=node.uploader.run, args=(stop.event,), name="uploads", daemon=True).start()
    while not stop.event.is_set():
        executor.spin_once(timeout_sec=0.1)
    node.pulse.stop()
    executor.shutdown()
    node.destroy_node()
    rclpy.try_shutdown()
    sys.exit(0)


if __name__ == "__main__":
    main()
