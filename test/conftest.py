"""What every test may ask for: a ROS domain of its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from xrollout_ros.graph.domains import hold_domain

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def ros_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A private ROS domain, for this process and as an environment for the processes that the test starts.

    No other test on this machine has the same domain meanwhile, in whatever run. Discovery stays on this machine, and
    logs go to the test's temporary folder.
    """
    pytest.importorskip("rclpy", reason="ROS 2 is not installed")
    ros_log = tmp_path / "ros_log"
    ros_log.mkdir()
    with socket.socket() as held:
        domain = hold_domain(held)
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(ros_log))
        monkeypatch.delenv("ROS_STATIC_PEERS", raising=False)
        monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        yield dict(os.environ)
