"""The machine that setup runs on: what it must have, how a step runs and is logged, what its environment is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROS = os.environ.get("ROS_DISTRO", "")
WHEELS = ("jazzy", "kilted")  # what the package registry has as wheels; the first is taken when none is asked for
ASKED = os.environ.get("XROLLOUT_DISTRO", "")  # make's DISTRO
DISTRO = ROS or ASKED or WHEELS[0]
# Wheels of another distribution live beside the first's, so that both stay usable.
_SUFFIX = f"-{ASKED}" if not ROS and ASKED not in ("", WHEELS[0]) else ""
VENV, BUILD, INSTALL = ROOT / f".venv{_SUFFIX}", ROOT / f"build{_SUFFIX}", ROOT / f"install{_SUFFIX}"
LOCKS = {distro: f"requirements{f'-{distro}' if distro != WHEELS[0] else ''}.lock" for distro in WHEELS}
OLDEST, NEWEST = (3, 10), (3, 13)
SUPPORTED = tuple(f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1))

_PATHS = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "COLCON_PREFIX_PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
# Without a ROS installation these can only hold rests of one.
_PATHS_OF_ROS = ("AMENT_PREFIX_PATH", "COLCON_PREFIX_PATH", "PYTHONPATH")
_OF_MAKE_AND_PIP = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX")


class SetupError(Exception):
    """Setup cannot go on: one line that says what is missing and what to do."""


class NothingDoneError(SetupError):
    """… and nothing has been changed by the attempt."""


def say(text: str) -> None:
    """One line of progress."""
    print(f"setup: {text}", flush=True)


def check_distro() -> None:
    """Refuse a distribution that is not to be had, before anything is made for it.

    Raises:
        SetupError: it cannot be used here.
    """
    if ROS and ASKED not in ("", ROS):
        raise SetupError(
            f"DISTRO is {ASKED!r}, but ROS_DISTRO says that ROS 2 {ROS!r} is sourced: leave DISTRO out to use that, or "
            "run make in a shell without it"
        )
    if not ROS and ASKED not in ("", *WHEELS):
        raise SetupError(
            f"DISTRO is {ASKED!r}, which does not come as wheels ({' and '.join(WHEELS)} do): name one of these, or "
            f"source an installation of {ASKED!r} and leave DISTRO out"
        )


def check_machine() -> None:
    """Refuse at once what would fail after minutes.

    Raises:
        SetupError: something is missing.
    """
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise SetupError(
            f"Python {sys.version.split()[0]} is not supported (3.{OLDEST[1]} to 3.{NEWEST[1]} are): name another "
            "one, for example `make PYTHON=python3.12 setup`"
        )
    if re.search(r"[\s:;]", str(ROOT)):
        raise SetupError(
            f"{ROOT} has a space, a colon or a semicolon in it, which CMake cannot bear: move the checkout"
        )
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise SetupError("Python has no venv module: install it (Debian and Ubuntu: `sudo apt install python3-venv`)")
    if ROS and importlib.util.find_spec("rclpy") is None:
        raise SetupError(
            f"ROS_DISTRO is {ROS!r}, but {sys.executable} cannot import rclpy: source that installation's setup.bash, "
            "or unset ROS_DISTRO to get ROS 2 as wheels"
        )
    for tools in (("cc", "gcc", "clang"), ("c++", "g++", "clang++"), ("make", "gmake")):
        if not any(map(shutil.which, tools)):
            raise SetupError(f"no {tools[1]} found: install it (Debian and Ubuntu: `sudo apt install build-essential`)")
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        raise SetupError(
            "Python's headers are missing: install them (Debian and Ubuntu: `sudo apt install python3-dev`)"
        )


def check_disk(needed: int) -> None:
    """Refuse a disk that would fill up.

    Raises:
        SetupError: less than ``needed`` bytes are free.
    """
    free = shutil.disk_usage(ROOT).free
    if free < needed:
        raise SetupError(
            f"{ROOT} has {free / 2**30:.1f} GiB free, {needed / 2**30:.1f} GiB are needed: make room there"
        )


def find_pythons(names: Iterable[str]) -> dict[str, str]:
    """Version → path of those of these Pythons that are on the PATH and run, the oldest first.

    A stand-in on the PATH (pyenv's) may be there for a Python that is not.
    """
    found = {}
    for path in filter(None, map(shutil.which, names)):
        ask = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(ask, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            found[answer.stdout.strip()] = path
    return dict(sorted(found.items(), key=lambda item: int(item[0].partition(".")[2])))


def clean_environment() -> dict[str, str]:
    """This process's environment without what an earlier `source`, make or a setting of pip would bring in."""
    env = {name: value for name, value in os.environ.items() if name not in _OF_MAKE_AND_PIP}
    for name in _PATHS:
        paths = [] if not ROS and name in _PATHS_OF_ROS else env.get(name, "").split(os.pathsep)
        # Each once: sourcing twice must not look like another environment.
        kept = list(dict.fromkeys(path for path in paths if path and ROOT not in (Path(path), *Path(path).parents)))
        env.pop(name, None)
        if kept:
            env[name] = os.pathsep.join(kept)
    if not ROS:
        env.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
    return env


def leave_own_environment() -> None:
    """Start over outside the checkout's environments: with their base's Python, without what sourcing one has set."""
    env = clean_environment()
    own = ROOT in Path(sys.prefix).parents
    if own or any(env.get(name) != os.environ.get(name) for name in ("PYTHONPATH", "AMENT_PREFIX_PATH")):
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        outside = Path(sys.base_prefix, "bin", name) if own else Path(sys.executable)
        os.execve(outside, [str(outside), *sys.argv], env)


def run(
    command: Sequence[str | Path], log: Path, env: dict[str, str], progress: Callable[[str], str] = lambda _: "…"
) -> int:
    """Run a command with its output in a log file, and say every 10 s how far it is.

    The command ends with this process when that is told to end. When it is killed, the command goes on, and as it has
    inherited the lock of setup, the next setup waits for it.

    Args:
        command: the program and its arguments.
        log: where its output goes.
        env: its environment.
        progress: makes a short text of the output so far.

    Returns: the exit status.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (
        log.open("w", encoding="utf-8") as out,
        subprocess.Popen(command, cwd=ROOT, env=env, close_fds=False, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        try:
            while True:
                try:
                    return process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    so_far = log.read_text(encoding="utf-8", errors="replace")
                    say(f"  {time.monotonic() - began:.0f} s  {progress(so_far)}")
        except BaseException:
            process.terminate()
            raise
