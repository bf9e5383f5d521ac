"""Runs the unit tests on every supported Python that is found on the PATH, without ROS 2 and without PyTorch.

Run by ``make test-pythons``. Each Python gets an environment of its own in build/, filled from the lock file. PyTorch
is left out, since each Python would need a build of its own of gigabytes: tests that need it are skipped, and
`make test` runs them. Versions that are not found are named.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from machine import BUILD, LOCKS, ROOT, SUPPORTED, WHEELS, SetupError, clean_environment, find_pythons, run, say

# What this Python has no use for here; all else is installed as locked.
LEFT_OUT = re.compile(r"(ros-|colcon-|torch==|cmake==|#)")
TESTS = ("test/unit", "test/test_packaging_metadata.py", "test/test_packaging_setup.py")
SOURCES = ("xrollout_ros", "launch", "tools", "benchmarks", "test")


def progress_of_pip(so_far: str) -> str:
    """How far pip is."""
    return f"{len(set(re.findall('^Collecting (.+)', so_far, re.MULTILINE)))} packages fetched"


def progress_of_pytest(so_far: str) -> str:
    """How far pytest is."""
    percents: list[str] = re.findall(r"\[ *(\d+%)\]", so_far)
    return percents[-1] if percents else "collecting"


def prepare(python: str, folder: Path, env: dict[str, str]) -> Path:
    """Make this Python's environment, or bring it up to date; gives the path of its Python.

    Raises:
        SetupError: it cannot be made or filled.
    """
    own, log, requirements = folder / "bin" / "python", folder / "pip.log", folder / "requirements.txt"
    lock = (ROOT / LOCKS[WHEELS[0]]).read_text(encoding="utf-8")
    text = "\n".join(line for line in lock.splitlines() if not LEFT_OUT.match(line)) + "\n"
    if requirements.is_file() and requirements.read_text(encoding="utf-8") == text:
        return own
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder.parent / "COLCON_IGNORE").touch()
    if run([python, "-m", "venv", folder], BUILD / "pythons.log", env):
        raise SetupError(f"{python} could not make an environment: see {(BUILD / 'pythons.log').relative_to(ROOT)}")
    new = requirements.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    pip: list[str | Path] = [own, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    if run([*pip, "--requirement", new], log, env, progress_of_pip):
        raise SetupError(f"pip could not install the packages: see {log.relative_to(ROOT)}")
    os.replace(new, requirements)
    return own


def test(python: Path, folder: Path, env: dict[str, str]) -> tuple[bool, str]:
    """Byte-compile every source and run the unit tests: whether all is well, and pytest's last line."""
    env = env | {"PYTHONPYCACHEPREFIX": str(folder / "pycache"), "MPLBACKEND": "Agg"}
    command: list[str | Path] = [python, "-W", "error", "-m", "compileall", "-q", *SOURCES]
    compiled = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if compiled.returncode:
        return False, "not every source can be compiled"
    log = folder / "pytest.log"
    status = run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS], log, env, progress_of_pytest)
    lines = log.read_text(encoding="utf-8").splitlines()
    summary = re.sub(r" in [\d.]+s.*|=", "", lines[-1]).strip() if lines else "pytest said nothing"
    return not status, summary + (f": see {log.relative_to(ROOT)}" if status else "")


def main() -> int:
    """Go through the versions; 0 when every one that was found has passed."""
    env = clean_environment()
    found = find_pythons([f"python{version}" for version in SUPPORTED])
    results = []
    for version, python in found.items():
        folder = BUILD / "pythons" / version
        say(f"Python {version}: {python}")
        try:
            results.append((version, *test(prepare(python, folder, env), folder, env)))
        except SetupError as error:
            results.append((version, False, str(error)))
    for version, well, text in results:
        print(f"Python {version}: {'' if well else 'FAILED, '}{text}")
    for version in SUPPORTED:
        if version not in found:
            print(f"Python {version}: not found on the PATH, not run")
    return 0 if results and all(well for _, well, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
