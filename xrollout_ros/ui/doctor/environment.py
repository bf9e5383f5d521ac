"""Checks of the machine and the ROS installation."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import xrollout_ros
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import share_dir
from xrollout_ros.episodes.definitions import ament_prefixes
from xrollout_ros.graph.middleware import (
    NEW,
    OLD,
    PARTICIPANTS,
    SEGMENT_BYTES,
    SHARED_MEMORY,
    TRANSPORTS,
    profile_variable,
)
from xrollout_ros.ui import text
from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error, ok, skipped, warning

SETUP = "Run `make setup` in a checkout and `source install/setup.bash`, or source your ROS 2 workspace."
TRIED_RMW = "rmw_fastrtps_cpp"
"""The only one the project is tested with."""
SHM_LEAST_BYTES = 16 * 2**20
"""What the processes take without any image."""
SHM_WANTED_BYTES = PARTICIPANTS * SEGMENT_BYTES
_BUILT_BEFORE_S = 1_700_000_000.0
"""A time long past: a clock before it was never set."""
_JUMP_S = 0.02


def ros_installed(subject: Subject) -> Iterator[Finding]:
    """ROS is there."""
    if not subject.machine.has_module("rclpy"):
        yield error("ROS 2", "not installed: no Python module 'rclpy'", "ROS 2 Jazzy or Kilted", SETUP)
        return
    yield ok("ROS 2", subject.machine.environ.get("ROS_DISTRO") or "installed")


def messages_built(subject: Subject) -> Iterator[Finding]:
    """The built messages are those of this code."""
    if not subject.machine.has_module("xrollout"):
        yield error("messages", "not built: no Python module 'xrollout'", "built by colcon", SETUP)
        return
    prefixes = [Path(each) for each in subject.machine.environ.get("AMENT_PREFIX_PATH", "").split(":") if each]
    installed = next((each / "share/xrollout" for each in prefixes if (each / "share/xrollout").is_dir()), None)
    if installed is None:
        yield skipped("messages", "built, but AMENT_PREFIX_PATH names no prefix that holds their definitions")
        return
    version = ElementTree.parse(installed / "package.xml").findtext("version", "")
    if version != xrollout_ros.__version__:
        yield error("messages", f"of version {version}", f"{xrollout_ros.__version__}, as the code", SETUP)
        return
    stale = _differing(share_dir(), installed)
    if stale:
        yield error("messages", f"built from other definitions: {', '.join(stale)}", "those of this checkout", SETUP)
        return
    yield ok("messages", f"built, version {version}")


def _differing(source: Path, installed: Path) -> list[str]:
    """Definitions of the source that were not built, or built from another text."""
    differing = []
    for path in sorted(each for kind in ("msg", "srv", "action") for each in source.glob(f"{kind}/*.{kind}")):
        built = installed / path.relative_to(source)
        if not built.is_file() or built.read_bytes() != path.read_bytes():
            differing.append(path.stem)
    return differing


def middleware(subject: Subject) -> Iterator[Finding]:
    """The RMW is the one that the project is tested with."""
    name = subject.machine.environ.get("RMW_IMPLEMENTATION") or TRIED_RMW
    if name == TRIED_RMW:
        yield ok("RMW", name)
    else:
        remedy = f"Unset RMW_IMPLEMENTATION, or set it to {TRIED_RMW}, for all processes alike."
        yield warning("RMW", f"{name}, with which nothing was tested", TRIED_RMW, remedy)


def discovery(subject: Subject) -> Iterator[Finding]:
    """How far discovery reaches, and that no outdated variable overrides it."""
    environ = subject.machine.environ
    reach = environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if "ROS_LOCALHOST_ONLY" in environ:
        yield warning(
            "discovery range",
            f"ROS_LOCALHOST_ONLY={environ['ROS_LOCALHOST_ONLY']} overrides ROS_AUTOMATIC_DISCOVERY_RANGE={reach}",
            "ROS_LOCALHOST_ONLY unset",
            "Unset it; set ROS_AUTOMATIC_DISCOVERY_RANGE to LOCALHOST or SUBNET.",
        )
        return
    domain = environ.get("ROS_DOMAIN_ID", "0")
    yield ok("discovery range", f"{reach}, domain {domain}")


def fast_dds(subject: Subject) -> Iterator[Finding]:
    """The profile that carries images through shared memory is there, and is read."""
    environ = subject.machine.environ
    read = profile_variable(environ, ament_prefixes())
    given = {name: environ[name] for name in (NEW, OLD) if environ.get(name)}
    for name, path in given.items():
        if not Path(path).is_file():
            yield error("Fast DDS profile", f"no such file: {name}={path}", "a readable file", "Mend or unset it.")
            return
    if given and read not in given:
        value = f"{', '.join(given)} is set, which this ROS distribution ignores"
        yield warning("Fast DDS profile", value, read, f"Set {read} instead.")
    elif given:
        yield ok("Fast DDS profile", given[read])
    elif environ.get(TRANSPORTS):
        yield ok("Fast DDS profile", f"{TRANSPORTS}={environ[TRANSPORTS]} instead of one")
    else:
        yield ok("Fast DDS profile", f"{share_dir() / 'config/fastdds.xml'}, set for each process of the graph")


def shared_memory(subject: Subject) -> Iterator[Finding]:
    """There is room for what travels through shared memory."""
    if not SHARED_MEMORY.is_dir():
        yield skipped("shared memory", f"this machine has no {SHARED_MEMORY}")
        return
    total, free = subject.machine.disk_bytes(SHARED_MEMORY)
    allowed = f"{text.size(SHM_WANTED_BYTES)} or more"
    remedy = "Free or enlarge it (`mount -o remount,size=1G /dev/shm`; in a container `--shm-size=512m`)."
    value = f"{text.size(free)} free of {text.size(total)} in {SHARED_MEMORY}"
    if free < SHM_LEAST_BYTES:
        yield error("shared memory", value, allowed, remedy)
    elif free < SHM_WANTED_BYTES:
        yield warning("shared memory", f"slow: {value}; images go over UDP", allowed, remedy)
    else:
        yield ok("shared memory", value)


def clock(subject: Subject) -> Iterator[Finding]:
    """The machine's clock was set and does not jump."""
    remedy = "Let NTP or PTP set it, e.g. `timedatectl set-ntp true`."
    if subject.machine.wall_s() < _BUILT_BEFORE_S:
        yield error("clock", f"{subject.machine.wall_s():.0f} s since 1970: it was never set", "the time", remedy)
    elif subject.survey is not None and subject.survey.clock_jump_s > _JUMP_S:
        jump, span = subject.survey.clock_jump_s, subject.survey.duration_s
        yield warning("clock", f"jumped by {jump:.3f} s within {span:.0f} s", f"{_JUMP_S} s", remedy)
    else:
        yield ok("clock", "set" if subject.survey is None else "set, and steady while listening")


def specs_shipped(subject: Subject) -> Iterator[Finding]:
    """The installation's own files are there."""
    try:
        yield ok("installation", str(share_dir()))
    except SpecError as problem:
        yield error("installation", problem.what, "config/ beside the package", problem.remedy)


CHECKS = (
    Check("installation", specs_shipped),
    Check("ROS 2", ros_installed),
    Check("messages", messages_built),
    Check("RMW", middleware),
    Check("discovery", discovery),
    Check("Fast DDS profile", fast_dds),
    Check("shared memory", shared_memory),
    Check("clock", clock),
)
