"""`xrollout episodes open --in rviz`: starts RViz with the shipped configuration and plays the bag to it."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes.image_cdr import COMPRESSED_IMAGE, COMPRESSED_VIDEO, IMAGE
from xrollout_ros.episodes.player import Player
from xrollout_ros.episodes.raw_bag import RawTopic
from xrollout_ros.ui.console import output
from xrollout_ros.ui.viewers.opened import Opened
from xrollout_ros.ui.viewers.telling import end, ended_by_signals, tell_moment

if TYPE_CHECKING:
    from xrollout_ros.graph.showing import RosShow

_PROGRAM = "rviz2"
_TURN_S = 1 / 60
_CLOSED = (None, 0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)
"""Exit statuses of a program that somebody ended."""


def shipped() -> Path:
    """The configuration for any robot."""
    return share_dir() / "config" / "rviz" / "xrollout.rviz"


def show_in_rviz(opened: Opened, *, speed: float, loop: bool) -> None:
    """Play a bag to RViz until it is closed, or Ctrl-C.

    Args:
        opened: the bag and its moment.
        speed: s of the bag in one second.
        loop: play the span around the moment again and again.

    Raises:
        BagError: the bag is damaged.
        GraphError: RViz, ROS 2 or a display is missing, or RViz failed.
    """
    program = _program()
    from xrollout_ros.graph.showing import RosShow, drawn, own_domain

    bag, console = opened.bag, output()
    commanded = [bag.episode.robot.command.topic] if bag.episode is not None else []
    topics = drawn(bag.topics, commanded)
    player = Player(bag, opened.span, speed=speed, loop=loop, clock=SystemClock())
    with ended_by_signals(), own_domain() as domain, tempfile.TemporaryDirectory(prefix="xrollout-rviz-") as folder:
        config = Path(folder) / shipped().name
        config.write_text(yaml.safe_dump(fit(_load(), topics), sort_keys=False), encoding="utf-8")
        tell_moment(console, opened)
        show = RosShow(topics, domain)
        console.print(f"{len(topics) - len(show.missing)} topics are drawn, in the ROS domain {domain} of this machine")
        if show.missing:
            console.print(f"note: their types are not installed: {', '.join(show.missing)}")
        if any(topic.type_name == COMPRESSED_VIDEO for topic in bag.topics):
            console.print("note: RViz cannot show cameras recorded as h264; Foxglove can")
        console.print("Close RViz, or Ctrl-C, to end.")
        child = subprocess.Popen([program, "-d", str(config), "--ros-args", "-p", "use_sim_time:=true"])
        try:
            _play(player, show, child)
            if child.poll() not in _CLOSED:
                raise GraphError(f"RViz ended with exit status {child.poll()}", "What it said stands above.")
        finally:
            end(child)
            show.close()
    console.print("\nended")


def fit(config: dict[str, Any], topics: Sequence[RawTopic]) -> dict[str, Any]:
    """The shipped configuration with a display for each camera, and without those that have no topic.

    Args:
        config: as shipped; it stays as it is.
        topics: those of the bag that are drawn.
    """
    config = copy.deepcopy(config)
    names = {topic.name for topic in topics}
    displays = config["Visualization Manager"]["Displays"]
    for display in displays:
        wanted = display.get("Topic") or display.get("Description Topic")
        if wanted is not None and wanted["Value"] not in names:
            display["Enabled"] = display["Value"] = False
    for topic in topics:
        if topic.type_name in (IMAGE, COMPRESSED_IMAGE):
            policy = {"Depth": 5, "Durability Policy": "Volatile", "History Policy": "Keep Last"}
            displays.append(
                {
                    "Class": "rviz_default_plugins/Image",
                    "Name": topic.name,
                    "Enabled": True,
                    "Value": True,
                    "Topic": {**policy, "Reliability Policy": "Reliable", "Value": topic.name},
                }
            )
    return config


def _load() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(shipped().read_text(encoding="utf-8"))
    return config


def _program() -> str:
    instead = "Or open it in Foxglove, which needs no ROS: `--in foxglove`."
    program = shutil.which(_PROGRAM)
    if program is None:
        raise GraphError(
            f"{_PROGRAM} is not on the PATH",
            f"Install it (`apt install ros-<distro>-rviz2`) and source that ROS 2 installation. {instead}",
        )
    try:
        import xrollout_ros.graph.showing  # noqa: F401
    except ImportError as error:
        raise GraphError(f"ROS 2 cannot be used here ({error})", f"Source a ROS 2 installation. {instead}") from error
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise GraphError(
            "RViz needs a display, and there is none (neither DISPLAY nor WAYLAND_DISPLAY is set)",
            "Run it where there is one. " + instead,
        )
    return program


def _play(player: Player, show: RosShow, child: subprocess.Popen[bytes]) -> None:
    """Until RViz is closed. It begins when RViz listens; displays that come later are told what was said last."""
    started = False
    while child.poll() is None:
        heard = show.new_listeners()
        if started or heard:
            late = [message for topic in heard for message in player.latest(topic)] if started else []
            if not started:
                player.play()
                started = True
            show.publish([*late, *player.step().messages], player.position_ns)
        time.sleep(_TURN_S)
