"""What the processes of a graph are told about the middleware: how far discovery reaches, how images travel."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes.definitions import ament_prefixes

SEGMENT_BYTES = 32 << 20
"""``segment_size`` of ``config/fastdds.xml``: what each process takes of the shared memory when it starts."""
PARTICIPANTS = 10
"""Processes with a segment: the graph's, the monitor, and one for a tool."""
SHARED_MEMORY = Path("/dev/shm")
RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
NEW, OLD = "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"
TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"
_FIRST_NEW_RMW = 9
"""Major version of rmw_fastrtps_cpp that came with Fast DDS 3, in Kilted; it reads the new variable alone."""
_OLD_DISTROS = ("humble", "iron", "jazzy")


class Middleware(NamedTuple):
    """Environment of the processes, and what a person should know."""

    variables: dict[str, str]
    warning: str = ""
    """Empty: all is well."""


def discovery_range() -> str:
    """How far ROS discovery reaches: this machine alone, unless the user has said otherwise."""
    return os.environ.get(RANGE, "LOCALHOST")


def profile_variable(environ: Mapping[str, str], prefixes: Sequence[Path]) -> str:
    """The name under which the installed Fast DDS looks for its profile: it ignores the other one."""
    for prefix in prefixes:
        package = prefix / "share" / "rmw_fastrtps_cpp" / "package.xml"
        if package.is_file():
            found = re.search(r"<version>\s*(\d+)", package.read_text(encoding="utf-8"))
            if found:
                return NEW if int(found.group(1)) >= _FIRST_NEW_RMW else OLD
    return OLD if environ.get("ROS_DISTRO", "jazzy") in _OLD_DISTROS else NEW


def middleware(environ: Mapping[str, str] | None = None, shared_memory: Path = SHARED_MEMORY) -> Middleware:
    """The variables that every process of the graph is started with.

    A profile or choice of transports of the user's own stays as it is. Where the shared memory cannot hold the segments
    (a container has 64 MB unless told otherwise), processes would fail to make theirs and go without shared memory
    altogether; there Fast DDS's own small segments stay, and a warning says so.
    """
    environ = os.environ if environ is None else environ
    variables = {RANGE: environ.get(RANGE, "LOCALHOST")}
    if any(environ.get(name) for name in (NEW, OLD, TRANSPORTS)):
        return Middleware(variables)
    needed = PARTICIPANTS * SEGMENT_BYTES
    free = shutil.disk_usage(shared_memory).free if shared_memory.is_dir() else 0
    if free < needed:
        return Middleware(
            variables,
            f"{shared_memory} has {free / 2**20:.0f} MiB free, images through shared memory need {needed / 2**20:.0f}: "
            "they go over UDP, slowly and with losses. In a container, start it with --shm-size=512m.",
        )
    variables[profile_variable(environ, ament_prefixes())] = str(share_dir() / "config" / "fastdds.xml")
    return Middleware(variables)


def prepare() -> str:
    """Give this process what :func:`middleware` says; before rclpy is initialized.

    Returns:
        The warning; empty: all is well.
    """
    variables, warning = middleware()
    os.environ.update(variables)
    return warning
