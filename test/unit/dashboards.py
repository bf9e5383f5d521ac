"""A dashboard that is served, and a browser that looks at it: fixtures ``served``, ``browser`` and ``page``."""

from __future__ import annotations

import http.cookiejar
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


@dataclass
class Served:
    """A dashboard that runs."""

    process: subprocess.Popen[str]
    model: Path
    act: str
    read: str

    @property
    def folder(self) -> Path:
        """With ``data``, ``pyramid`` and ``flywheel``."""
        return self.model.parent

    def show(self, **given: Any) -> None:
        """From now on this is heard."""
        new = self.model.with_suffix(".new")
        new.write_text(json.dumps(given))
        new.rename(self.model)

    def told(self) -> dict[str, Any]:
        """What it was asked for next."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    model = tmp_path_factory.mktemp("dashboard") / "model.json"
    model.write_text(json.dumps({"mode": "AUTONOMOUS"}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # NiceGUI serves nothing by itself where it takes itself to be tested.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    process = subprocess.Popen(
        [sys.executable, "-m", "test.unit.dashboard_server", str(port), str(model), str(model.parent)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "it does not start"
    yield Served(process, model, **json.loads(line))
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 0, "Ctrl-C ends it in order"


def opened(url: str) -> str:
    """What a person without scripts gets, cookies kept."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
    text: str = opener.open(url, timeout=20).read().decode()
    return text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not CHROMIUM:
        pytest.skip("no Chromium is installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    served.show(mode="AUTONOMOUS")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    made = context.new_page()
    made.errors = []
    made.on("pageerror", lambda error: made.errors.append(str(error)))
    made.goto(served.act)
    yield made
    assert made.errors == []
    context.close()
