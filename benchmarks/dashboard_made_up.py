"""The dashboard of a graph that is made up: how late what it knows is seen, and what eight hours of it leave in memory.

python benchmarks/dashboard_made_up.py PORT [--hours 8]

With ``--hours`` a page that is open lives through them as fast as this machine makes it, ten looks for each second: an
attempt each ten seconds, a safety event and a failure now and then. Without, the page is told when it was looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from nicegui import app, context

from xrollout_ros.core.ids import new_id
from xrollout_ros.core.modes import Mode, Phase, Request, Source
from xrollout_ros.runtime.monitor_model import (
    ActionView,
    EpisodeView,
    FailureLine,
    MonitorModel,
    NodeHealth,
    PolicyView,
    RecorderView,
    SafetyLine,
    ScoreView,
)
from xrollout_ros.ui.dashboard import live as living
from xrollout_ros.ui.dashboard import server
from xrollout_ros.ui.dashboard.access import Access, Role
from xrollout_ros.ui.dashboard.live import Live
from xrollout_ros.ui.dashboard.now import NowPage
from xrollout_ros.ui.dashboard.server import Folders, serve

LOOKS_S, ATTEMPT_S = 10, 10
AT_ONCE = 25
"""Looks after which the browser has caught up."""


class Nothing:
    """No cameras, nothing sensed, nobody to ask."""

    def topics(self) -> tuple[str, ...]:
        return ()

    @contextmanager
    def watching(self, topic: str = "") -> Iterator[None]:
        yield

    def picture(self, topic: str, after: int = 0) -> tuple[bytes, int]:
        return b"", after

    def values(self, robot: str) -> dict[str, tuple[Any, str]]:
        return {}

    def request(self, what: Request, episode_id: str = "", reason: str = "") -> None:
        raise NotImplementedError

    def trigger(self, name: str) -> str:
        raise NotImplementedError


class MadeUp:
    """A graph at one moment; ``at_s`` is its time."""

    def __init__(self) -> None:
        self.at_s = 0.0
        self._random = np.random.default_rng(0)
        self._ids: dict[int, str] = {}
        self._recent: tuple[str, ...] = ()
        self._safety: tuple[SafetyLine, ...] = ()
        self._failures: tuple[FailureLine, ...] = ()

    def __call__(self) -> MonitorModel:
        number = int(self.at_s // ATTEMPT_S)
        if number not in self._ids:
            self._ids = {number: new_id()}
            outcome = "success" if self._random.random() < 0.6 else "failure"
            self._recent = (*self._recent, outcome)[-200:]
            if outcome == "failure":
                tag = FailureLine(self._ids[number], "dropped", "lift", f"at {self.at_s:.2f} s")
                self._failures = (tag, *self._failures)[:8]
            self._safety = (SafetyLine(0.0, "limit", "clip", True, "clipped"), *self._safety)[:8]
        value = self._random.random(4)
        return MonitorModel(
            mode=Mode.AUTONOMOUS, mode_age_s=self.at_s % ATTEMPT_S, reason=f"looked at {time.time():.4f}",
            episode=EpisodeView(self._ids[number], Phase.RUNNING, "attempt", "pick_and_place", "made_up", "wide",
                                number, number + 1, 0),
            attempt_s=self.at_s % ATTEMPT_S, recent=self._recent, closed=number, successes=int(0.6 * number),
            command_rate_hz=80.0, command_source=Source.POLICY,
            action=tuple(ActionView(name, 2 * each - 1, -1.0, 1.0) for name, each in zip("xyzg", value, strict=True)),
            scores=(ScoreView("alarm", float(value[0]), 1.0), ScoreView("novelty", float(value[1]))),
            policy=PolicyView("flow", "rtc", 0.001 + 0.001 * float(value[2]), int(8 * value[3])),
            recorder=RecorderView(self._ids[number], True, int(1e6 * self.at_s), int(1e3 * self.at_s), 0, 10**11),
            nodes=tuple(NodeHealth(name, "", "active", 0.1, self.at_s, 0.0) for name in ("policy", "supervisor")),
            safety=self._safety, failures=self._failures,
        )  # fmt: skip


def resident_mib() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--hours", type=float, default=0.0)
    options = parser.parse_args()
    made_up, access, pages = MadeUp(), Access(options.port), []
    live = Live(made_up, Nothing(), Nothing(), Nothing())
    if options.hours:
        living.FRESH_S = living.SAMPLE_S = 0.0  # each look is another moment

    class Kept(NowPage):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            pages.append((self, context.client))

    async def hours() -> None:
        while not pages:
            await asyncio.sleep(0.1)
        await asyncio.sleep(3.0)
        (page, client), told, began_s = pages[-1], 0, time.monotonic()
        looks = round(options.hours * 3600 * LOOKS_S)
        for look in range(looks):
            made_up.at_s = look / LOOKS_S
            page._refresh()
            if look % 5 == 0:
                page._draw()
            if look % AT_ONCE == 0:
                # Not faster than the browser: what waits for it would be counted as kept.
                await client.run_javascript("return 1", timeout=60.0)
            if look >= told * 3600 * LOOKS_S / 2:
                print(
                    json.dumps({"hours": told / 2, "mib": resident_mib(), "s": time.monotonic() - began_s}), flush=True
                )
                told += 1
        print(json.dumps({"hours": options.hours, "mib": resident_mib(), "s": time.monotonic() - began_s}), flush=True)

    server.NowPage = Kept  # type: ignore[misc]
    if options.hours:
        app.on_startup(hours)
    with tempfile.TemporaryDirectory() as folder:
        nowhere = Path(folder)
        folders = Folders(nowhere / "data", nowhere / "pyramid", nowhere / "flywheel")
        serve(live, folders, access, lambda: print(json.dumps({"link": access.link(Role.ACT)}), flush=True))


if __name__ == "__main__":
    main()
