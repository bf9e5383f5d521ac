"""Resolves requirements.in into a lock file for each ROS distribution, good for every Python found on the PATH.

Each Python resolves on its own. Where all agree a line is plain; where they differ, it carries a marker. The first
distribution resolves freely; another one gets the same versions of all that is not ROS 2's own, so that its tests say
something about ROS 2 alone.
Run by ``make lock``. Name the Pythons to lock for, or let it look for those that are supported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import ASKED, LOCKS, ROOT, SUPPORTED, WHEELS, find_pythons

# torch brings the ones that fit its own build (none for a CPU build), so they are not for the lock to fix.
COMPANIONS_OF_TORCH = re.compile(r"nvidia-.*|cuda-.*|triton")
HEADER = """\
# Made by `make lock` from requirements.in for ROS 2 {distro}, Python {pythons} on Linux.
# Do not edit: edit requirements.in.
"""


def requirements(distro: str) -> str:
    """The lines of requirements.in that are for a distribution, with its name where {distro} stands for it."""
    text = (ROOT / "requirements.in").read_text(encoding="utf-8").replace("{distro}", distro)
    others = tuple(f"ros-{other}-" for other in WHEELS if other != distro)
    return "\n".join(line for line in text.splitlines() if not line.startswith(others)) + "\n"


def not_of_ros(lock: str) -> str:
    """The lines of a lock file that every distribution shares."""
    return "\n".join(line for line in lock.splitlines() if not line.startswith("ros-")) + "\n"


def resolve(python: str, distro: str, constraints: str, scratch: Path) -> dict[str, str]:
    """Name → version of everything that a distribution needs with this Python, within lines of another lock file.

    Raises:
        subprocess.CalledProcessError: a step of pip failed.
    """
    environment = scratch / f"{distro}-{Path(python).name}"
    subprocess.run([python, "-m", "venv", environment], check=True)
    report = scratch / f"{environment.name}.json"
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
    what: list[str | Path] = ["install", "-qq", "--dry-run", "--ignore-installed", "--report", report]
    for option, text in (("--requirement", requirements(distro)), ("--constraint", constraints)):
        file = scratch / f"{environment.name}{option}.txt"
        file.write_text(text, encoding="utf-8")
        what += [option, file]
    subprocess.run([*pip, *what], check=True)
    installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    versions = {}
    for item in installs:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        if not COMPANIONS_OF_TORCH.fullmatch(name):
            # A local version (torch's +cpu) names one build among several of the same release.
            versions[name] = item["metadata"]["version"].partition("+")[0]
    return versions


def merge(resolved: dict[str, dict[str, str]]) -> list[str]:
    """The lines of the lock file, from Python version → name → version."""
    lines = []
    for name in sorted({name for versions in resolved.values() for name in versions}):
        by_version: dict[str, list[str]] = {}
        for python, versions in resolved.items():
            if name in versions:
                by_version.setdefault(versions[name], []).append(python)
        for version, pythons in by_version.items():
            lines.append(f"{name}=={version}" + marker(pythons, list(resolved)))
    return lines


def marker(pythons: list[str], every: list[str]) -> str:
    """The condition that picks these Pythons, a stretch of every one (both ascending); nothing for all of them."""
    first, last = every.index(pythons[0]), every.index(pythons[-1])
    if every[first : last + 1] != pythons:
        return " ; " + " or ".join(f'python_version == "{python}"' for python in pythons)
    above = [f'python_version >= "{pythons[0]}"'] if first > 0 else []
    below = [f'python_version < "{every[last + 1]}"'] if last + 1 < len(every) else []
    return " ; " + " and ".join(above + below) if above or below else ""


def main(names: list[str]) -> None:
    """Resolve for each distribution and each Python; write each file in one step."""
    pythons = find_pythons(names or [f"python{version}" for version in SUPPORTED])
    if len(pythons) < len(names):
        sys.exit(f"lock: of {', '.join(names)} only {', '.join(pythons.values()) or 'none'} runs; name Pythons that do")
    if not pythons:
        sys.exit(f"lock: found none of {', '.join(SUPPORTED)}; name one: python3 tools/lock.py /path/to/python3.11")

    if ASKED and ASKED not in WHEELS:
        sys.exit(f"lock: DISTRO is {ASKED!r}, which does not come as wheels; {' and '.join(WHEELS)} do")
    for distro in [ASKED] if ASKED else WHEELS:
        shared = "" if distro == WHEELS[0] else not_of_ros((ROOT / LOCKS[WHEELS[0]]).read_text(encoding="utf-8"))
        write_lock(distro, shared, pythons)


def write_lock(distro: str, constraints: str, pythons: dict[str, str]) -> None:
    """Resolve a distribution for each Python (version → path), then write its file in one step."""
    resolved = {}
    with tempfile.TemporaryDirectory(prefix="xrollout-lock-") as scratch:
        for version, path in pythons.items():
            print(f"lock: resolving ROS 2 {distro} for Python {version}", flush=True)
            try:
                resolved[version] = resolve(path, distro, constraints, Path(scratch))
            except subprocess.CalledProcessError as error:
                sys.exit(f"lock: Python {version}: {error}; {LOCKS[distro]} is left as it was")
    new, lines = ROOT / f"{LOCKS[distro]}.new", merge(resolved)
    header = HEADER.format(distro=distro.title(), pythons=", ".join(resolved))
    new.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    os.replace(new, ROOT / LOCKS[distro])
    print(f"lock: {len(lines)} lines written to {LOCKS[distro]}")


if __name__ == "__main__":
    main(sys.argv[1:])
