"""Resolves requirements.in into requirements.lock, one file for every Python that is found on the PATH.

Each Python resolves on its own. Where all agree a line is plain; where they differ, it carries a marker.
Run by ``make lock``. Name the Pythons to lock for, or let it look for those that are supported.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUPPORTED = ("3.10", "3.11", "3.12", "3.13")
# torch brings the ones that fit its own build (none for a CPU build), so they are not for the lock to fix.
COMPANIONS_OF_TORCH = re.compile(r"nvidia-.*|cuda-.*|triton")
HEADER = """\
# Made by `make lock` from requirements.in for Python {pythons} on Linux. Do not edit: edit requirements.in.
"""


def resolve(python: str, scratch: Path) -> dict[str, str]:
    """Name → version of everything that requirements.in needs with this Python.

    Raises:
        subprocess.CalledProcessError: a step of pip failed.
    """
    environment = scratch / Path(python).name
    subprocess.run([python, "-m", "venv", environment], check=True)
    report = scratch / f"{environment.name}.json"
    pip: list[str | Path] = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
    what: list[str | Path] = ["install", "-qq", "--dry-run", "--ignore-installed", "--report", report]
    subprocess.run([*pip, *what, "--requirement", ROOT / "requirements.in"], check=True)
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
    """Resolve for each Python, then write the file in one step."""
    # A stand-in on the PATH (pyenv's) may be there for a Python that is not: only one that runs counts.
    pythons: dict[str, str] = {}
    for name in names or [f"python{version}" for version in SUPPORTED]:
        path = shutil.which(name)
        ask = [path or name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(ask, capture_output=True, text=True, check=False) if path else None
        if path and answer and answer.returncode == 0:
            pythons[answer.stdout.strip()] = path
        elif names:
            sys.exit(f"lock: {name} does not run; name Pythons that do")
    if not pythons:
        sys.exit(f"lock: found none of {', '.join(SUPPORTED)}; name one: python3 tools/lock.py /path/to/python3.11")

    resolved = {}
    with tempfile.TemporaryDirectory(prefix="xrollout-lock-") as scratch:
        for version, path in sorted(pythons.items(), key=lambda item: int(item[0].partition(".")[2])):
            print(f"lock: resolving for Python {version}", flush=True)
            try:
                resolved[version] = resolve(path, Path(scratch))
            except subprocess.CalledProcessError as error:
                sys.exit(f"lock: Python {version}: {error}; requirements.lock is left as it was")
    new = ROOT / "requirements.lock.new"
    new.write_text(HEADER.format(pythons=", ".join(resolved)) + "\n".join(merge(resolved)) + "\n", encoding="utf-8")
    os.replace(new, ROOT / "requirements.lock")
    print(f"lock: {len(merge(resolved))} lines written to requirements.lock")


if __name__ == "__main__":
    main(sys.argv[1:])
