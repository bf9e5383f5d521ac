"""ROS domains that are nobody else's on this machine: for viewers, and for benchmarks and tests beside others."""

from __future__ import annotations

import errno
import itertools
import os
import socket

from xrollout_ros.core.errors import GraphError

# 1 to 100: 0 is everybody's, and from 102 on the ports that DDS derives from it may meet Linux's ephemeral ports.
# It goes round from a start of this process's own, so that a domain rests before it is used again.
_candidates = itertools.cycle((os.getpid() * 37 + i) % 100 + 1 for i in range(100))
# Whoever has bound this port plus a domain has the domain: the agreement of ROS's own test tools (domain_coordinator),
# which not every distribution has as a wheel.
_PORT_OF_DOMAIN_0 = 32768


def hold_domain(held: socket.socket, besides: str = "") -> int:
    """A domain that is ours as long as the socket is open.

    Args:
        held: a socket that is bound to nothing yet.
        besides: a domain that it must not be.

    Raises:
        GraphError: every domain is held.
    """
    for domain in itertools.islice(_candidates, 100):
        if str(domain) == besides:
            continue
        try:
            held.bind(("", _PORT_OF_DOMAIN_0 + domain))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return domain
    raise GraphError("every ROS domain from 1 to 100 is taken", "End a test, a benchmark or another viewer.")
