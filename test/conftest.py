"""What every test may ask for: a ROS domain of its own."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# 1 to 100: 0 is everybody's, and from 102 on the ports that DDS derives from it may meet Linux's ephemeral ports.
# It goes round from a start of this process's own, so that a domain rests before it is used again.
_candidates = itertools.cycle((os.getpid() * 37 + i) % 100 + 1 for i in range(100))
# Whoever has bound this port plus a domain has the domain: the agreement of ROS's own test tools (domain_coordinator),
# which not every distribution has as a wheel.
_PORT_OF_DOMAIN_0 = 32768


def _hold_a_domain(held: socket.socket) -> int:
    """A domain that is nobody's; it is ours as long as the socket is open."""
    for domain in itertools.islice(_candidates, 100):
        try:
            held.bind(("", _PORT_OF_DOMAIN_0 + domain))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return domain
    pytest.fail("every ROS domain from 1 to 100 is held by a test")


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
        domain = _hold_a_domain(held)
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(ros_log))
        monkeypatch.delenv("ROS_STATIC_PEERS", raising=False)
        monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
        yield dict(os.environ)
