"""What every test may ask for: a ROS domain of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# 1 to 100: 0 is everybody's, and from 102 on the ports that DDS derives from it may meet Linux's ephemeral ports.
# It goes round from a start of this process's own, so that a domain rests before it is used again.
_candidates = itertools.cycle((os.getpid() * 37 + i) % 100 + 1 for i in range(100))


@pytest.fixture
def ros_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A private ROS domain, for this process and as an environment for the processes that the test starts.

    No other test on this machine has the same domain meanwhile, in whatever run. Discovery stays on this machine, and
    logs go to the test's temporary folder.
    """
    domain_coordinator = pytest.importorskip("domain_coordinator", reason="ROS 2 is not installed")
    ros_log = tmp_path / "ros_log"
    ros_log.mkdir()
    with domain_coordinator.domain_id(selector=lambda: next(_candidates)) as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(ros_log))
        monkeypatch.delenv("ROS_STATIC_PEERS", raising=False)
        monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        yield dict(os.environ)
