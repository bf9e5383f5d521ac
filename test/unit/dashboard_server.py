"""The dashboard of a graph that is made up, in a process of its own: what is asked for is told on standard output.

``python -m test.unit.dashboard_server PORT MODEL.json FOLDER``: the file says what is heard; it may be changed
meanwhile. In the folder are ``data``, ``pyramid`` and ``flywheel``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.core.errors import GraphError
from xrollout_ros.core.modes import Mode, Phase, Request, Source
from xrollout_ros.runtime.monitor_model import (
    ActionView,
    EpisodeView,
    FlywheelView,
    MonitorModel,
    NodeHealth,
    PolicyView,
    ScoreView,
)
from xrollout_ros.ui.dashboard.access import Access, Role
from xrollout_ros.ui.dashboard.live import Live
from xrollout_ros.ui.dashboard.server import Folders, serve

ULID = "01J00000000000000000000000"


def tell(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def model_of(given: dict[str, Any]) -> MonitorModel:
    """A running attempt, as far as the file says nothing else."""
    if not given:
        return MonitorModel(waiting_s=12.0)
    episode = EpisodeView(
        ULID, Phase.RUNNING, "attempt", "pick_and_place", "metaworld_sawyer", "wide", 7, given.get("number", 8), 20
    )
    return MonitorModel(
        waiting_s=given.get("waiting_s", 0.0),
        mode=Mode[given.get("mode", "AUTONOMOUS")],
        mode_age_s=1.5,
        reason=given.get("reason", "attempt begins"),
        help_wanted=given.get("help", ""),
        episode=episode,
        attempt_s=2.5,
        recent=("success", "failure", "success"),
        closed=7,
        successes=4,
        command_rate_hz=80.0,
        command_source=Source.POLICY,
        action=(ActionView("dx", 0.5, -1.0, 1.0), ActionView("gripper", 2.0, -1.0, 1.0, True)),
        scores=(ScoreView("alarm", 1.5, 1.0), ScoreView("novelty", 0.25)),
        flywheel=FlywheelView(**given["flywheel"]) if "flywheel" in given else None,
        policy=PolicyView("flow", "rtc", 0.0008, 3),
        nodes=(NodeHealth("policy", ULID, "active", 0.1, 12.0, 0.0004),),
    )


class Told:
    """Tells what it is asked for."""

    def request(self, what: Request, episode_id: str = "", reason: str = "") -> None:
        tell(request=what.name, episode=episode_id)

    def trigger(self, name: str) -> str:
        tell(trigger=name)
        if name == "save_highlight":
            raise GraphError("the service save_highlight is not there", "Is a graph running in this ROS domain?")
        return "mode is ESTOP"


class NoPictures:
    """A robot without cameras."""

    def topics(self) -> tuple[str, ...]:
        return ()

    @contextmanager
    def watching(self, topic: str) -> Iterator[None]:
        raise KeyError(topic)
        yield

    def picture(self, topic: str, after: int = 0) -> tuple[bytes, int]:
        raise NotImplementedError


class MadeUpScene:
    """A hand and an object, and a gripper that is no place."""

    @contextmanager
    def watching(self) -> Iterator[None]:
        yield

    def values(self, robot: str) -> dict[str, tuple[Any, str]]:
        return {
            "hand_position": (np.array([0.1, 0.6, 0.2]), "m"),
            "object_position": (np.array([0.0, 0.7, 0.02]), "m"),
            "gripper_opening": (np.array([0.5]), "1"),
        }


def main() -> None:
    """Serve until a signal."""
    port, path, folder = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    access = Access(port)
    live = Live(lambda: model_of(json.loads(path.read_text())), Told(), NoPictures(), MadeUpScene())
    folders = Folders(folder / "data", folder / "pyramid", folder / "flywheel")
    serve(live, folders, access, lambda: tell(act=access.link(Role.ACT), read=access.link(Role.READ)))


if __name__ == "__main__":
    main()
