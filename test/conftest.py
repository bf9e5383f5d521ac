"""What every test may ask for: a ROS domain of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

# Above 101 the ports that DDS derives from a domain id may meet Linux's ephemeral ports. Domain 0 is everybody's.
_FIRST_DOMAIN, _LAST_DOMAIN = 1, 101
_count = itertools.count()


def _next_domain(environ: Mapping[str, str] = os.environ) -> int:
    """A domain id that no other worker of this run uses, and other runs on this machine rarely."""
    worker = int(environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # Workers are children of one run: its process id shifts all of them alike, so they keep out of each other's way.
    run = os.getppid() if "PYTEST_XDIST_WORKER" in environ else os.getpid()
    span = _LAST_DOMAIN - _FIRST_DOMAIN + 1
    per_worker = span // workers
    return _FIRST_DOMAIN + (run * 37 + worker * per_worker + next(_count) % per_worker) % span


@pytest.fixture
def ros_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A private ROS domain, for this process and as an environment for the processes that the test starts.

    Discovery stays on this machine and logs go to the test's temporary folder.
    """
    ros_log = tmp_path / "ros_log"
    ros_log.mkdir()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(_next_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(ros_log))
    monkeypatch.delenv("ROS_STATIC_PEERS", raising=False)
    monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
    yield dict(os.environ)
