"""Makes a checkout ready: a virtual environment, ROS 2 where it is missing, the interfaces built into install/.

Run by the Makefile with the system's Python; needs nothing but the standard library. Each of the two stages
(packages, build) leaves a stamp when it has ended well. With the stamp in place and nothing changed it does nothing;
with the stamp missing it starts from scratch; with another stamp it brings up to date what is there.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from machine import (
    BUILD,
    DISTRO,
    INSTALL,
    LOCKS,
    ROOT,
    ROS,
    VENV,
    WHEELS,
    NothingDoneError,
    SetupError,
    check_disk,
    check_distro,
    check_machine,
    clean_environment,
    leave_own_environment,
    run,
    say,
)

PACKAGES_NEED_BYTES, BUILD_NEEDS_BYTES = 5 << 30, 300 << 20

# What a ROS installation brings in the versions that its own compiled modules and generators were made for.
ROS_BRINGS = {"catkin-pkg", "cmake", "empy", "lark", "lark-parser", "numpy", "setuptools"}
UNREACHABLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Connection(?:Refused|Reset)"
    r"|Failed to establish a new connection|name resolution|Connection to \S+ timed out|Tunnel connection failed"
)


def digest(parts: Iterable[str | bytes]) -> str:
    """A hash of these parts, their borders included."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()


def foundation() -> str:
    """What everything is made on: when it changes, nothing that is there can be kept."""
    # The last prefix is the ROS installation; those before it are workspaces that the user may source or not.
    ros_prefix = clean_environment().get("AMENT_PREFIX_PATH", "").split(os.pathsep)[-1] if ROS else ""
    return digest([str(ROOT), sys.version, sys.base_prefix, ROS, ros_prefix])


def lock_file() -> Path:
    """What is installed. A ROS installation of any distribution takes the first one's, without its wheels."""
    return ROOT / LOCKS[WHEELS[0] if ROS else DISTRO]


def packages_key() -> str:
    """What the virtual environment depends on."""
    tools = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return digest([*tools, lock_file().read_bytes()])


def build_key() -> str:
    """What install/ depends on. Python, config and launch files are linked, so only their names count."""
    parts: list[str | bytes] = [packages_key()]
    for pattern in ("msg/*", "srv/*", "action/*", "resource/*", "CMakeLists.txt", "package.xml", "setup.*"):
        for path in sorted(ROOT.glob(pattern)):
            parts += [str(path.relative_to(ROOT)), path.read_bytes()]
    for folder in ("xrollout_ros", "config", "launch"):
        names = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        parts += sorted(str(path.relative_to(ROOT)) for path in names)
    return digest(parts)


def stage(stamp: Path, key: str, needed_bytes: int, work: Callable[[], None], scratch: Iterable[Path]) -> bool:
    """Do a stage's work unless it has been done; write its stamp when it has ended well.

    Args:
        stamp: the file that says on which foundation and for which key the stage was finished.
        key: what the stage depends on now.
        needed_bytes: free disk that the work needs.
        work: the work; what it finds, it brings up to date.
        scratch: what is removed first when the stage was never finished, or on another foundation.

    Returns: whether there was something to do.

    Raises:
        SetupError: the work cannot be done here; what was there is kept.
    """
    base, now = foundation(), f"{foundation()}\n{key}\n"
    before = stamp.read_text(encoding="utf-8") if stamp.is_file() else ""
    if before == now:
        return False
    check_machine()
    check_disk(needed_bytes)
    if before.partition("\n")[0] != base:
        for path in scratch:
            shutil.rmtree(path, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    try:
        work()
    except NothingDoneError:
        if before.startswith(base):
            stamp.write_text(before, encoding="utf-8")
        raise
    new = stamp.with_suffix(".new")
    new.write_text(now, encoding="utf-8")
    os.replace(new, stamp)
    return True


def wanted(lock: str) -> list[str]:
    """The lines of the lock file that this machine needs."""
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    if not ROS:
        return lines
    here = {re.sub(r"[-_.]+", "-", dist.metadata["Name"] or "").lower() for dist in importlib.metadata.distributions()}
    left_out = ROS_BRINGS & here
    return [line for line in lines if not line.startswith("ros-") and line.partition("==")[0] not in left_out]


def install_packages() -> None:
    """Make the virtual environment and fill it from the lock file.

    Raises:
        SetupError: it cannot be made or filled.
    """
    env, log = clean_environment(), BUILD / "pip.log"
    if not (VENV / "bin" / "python").exists():
        say(f"making {VENV.name} with Python {sys.version.split()[0]}" + (f" on ROS 2 {ROS}" if ROS else ""))
        options = ["--system-site-packages"] if ROS else []
        if run([sys.executable, "-m", "venv", *options, VENV], log, env):
            raise SetupError(f"the virtual environment {VENV.name} could not be made: see {log.relative_to(ROOT)}")
    # From the start: while it fills, another distribution's build must not look for packages in it.
    (VENV / "COLCON_IGNORE").touch()
    lines = wanted(lock_file().read_text(encoding="utf-8"))
    requirements = BUILD / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
    heavy = "" if ROS else f", ROS 2 {DISTRO.title()} and PyTorch among them (some minutes)"
    say(f"installing {len(lines)} packages{heavy}")

    def progress(so_far: str) -> str:
        found = len(set(re.findall(r"^Collecting (\S+)", so_far, re.MULTILINE)))
        return "unpacking" if "\nInstalling collected packages" in so_far else f"{found} of {len(lines)} fetched"

    # The wheels re-run Python once for their library path; pip itself must not depend on half-installed ones.
    env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] = "1"
    pip: list[str | Path] = [VENV / "bin" / "python", "-m", "pip", "install", "--requirement", requirements]
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--retries", "3"]
    if run([*pip, *quiet], log, env, progress):
        text, where = log.read_text(encoding="utf-8"), log.relative_to(ROOT)
        if match := UNREACHABLE.search(text):
            begun = "Installing collected packages" in text
            raise (SetupError if begun else NothingDoneError)(
                f"the package registry cannot be reached ({match.group()}): check the network, the proxy (https_proxy) "
                f"and pip's settings, then run make again; pip's words are in {where}"
            )
        if "No space left on device" in text:
            raise SetupError(f"the disk filled up while installing: make room and run make again; see {where}")
        errors = [line.strip() for line in text.splitlines() if line.startswith("ERROR")] or ["no reason given"]
        raise SetupError(f"pip could not install the packages ({errors[0][:200]}): see {where}")
    finish_venv()


def finish_venv() -> None:
    """Make the virtual environment a prefix that CMake, colcon and a sourced shell can use, with the command in it."""
    paths = sysconfig.get_paths()
    site = VENV / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    if not ROS:
        # The wheels' exported CMake files name the folders of the machine that built them.
        for path in VENV.glob("share/**/*.cmake"):
            text = path.read_text(encoding="utf-8")
            mended = re.sub(r"/opt/python/cp[^/;\"]+/include/python3\.\d+t?", lambda _: paths["include"], text)
            mended = re.sub(r"/opt/python/cp[^/;\"]+/lib/python3\.\d+t?/site-packages", lambda _: str(site), mended)
            if mended != text:
                path.write_text(mended, encoding="utf-8")
    prepend = {"PATH": VENV / "bin", "AMENT_PREFIX_PATH": VENV}
    if ROS:
        prepend["PYTHONPATH"] = site  # ros2 runs by the system's Python and reads our launch files
    else:
        prepend |= {"CMAKE_PREFIX_PATH": VENV, "LD_LIBRARY_PATH": VENV / "lib"}
    lines = ["# Made by tools/bootstrap.py; install/setup.* reads it before the package's own environment."]
    for name, path in prepend.items():
        lines.append(
            f'case ":${{{name}:-}}:" in *":{path}:"*) ;; *) export {name}="{path}${{{name}:+:${name}}}" ;; esac'
        )
    (VENV / "local_setup.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for shell in ("bash", "zsh"):
        (VENV / f"local_setup.{shell}").write_text(f'. "{VENV}/local_setup.sh"\n', encoding="utf-8")
    command = VENV / "bin" / "xrollout"
    script = f'COLCON_CURRENT_PREFIX="{INSTALL}" . "{INSTALL}/setup.sh"\nexec "{INSTALL}/xrollout/bin/xrollout" "$@"\n'
    command.write_text(f"#!/bin/sh\n# The command with its ROS environment, for a shell that has none.\n{script}")
    command.chmod(0o755)


def build_package() -> None:
    """Build the interfaces and link the Python package into install/.

    Raises:
        SetupError: colcon failed.
    """
    say("building the ROS 2 interfaces and the package (half a minute)")
    env, log = clean_environment(), BUILD / "colcon.log"
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["VIRTUAL_ENV"] = str(VENV)
    for name in ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"):
        env[name] = os.pathsep.join(filter(None, [str(VENV), env.get(name, "")]))
    places: list[str | Path] = ["--base-paths", ROOT, "--build-base", BUILD, "--install-base", INSTALL]
    colcon: list[str | Path] = [VENV / "bin" / "colcon", "--log-base", BUILD / "log", "build", *places]
    options = ["--symlink-install", "--event-handlers", "console_direct+", "--packages-select", "xrollout"]
    cmake = ["--cmake-args", f"-DPython3_EXECUTABLE={VENV / 'bin' / 'python3'}", "-DCMAKE_BUILD_TYPE=Release"]

    def progress(so_far: str) -> str:
        percents: list[str] = re.findall(r"^\[ *(\d+%)\]", so_far, re.MULTILINE)
        return percents[-1] if percents else "configuring"

    if run([*colcon, *options, *cmake], log, env, progress):
        text = log.read_text(encoding="utf-8")
        first = next((line.strip() for line in text.splitlines() if re.search(r"\berror\b", line, re.IGNORECASE)), "")
        raise SetupError(f"colcon could not build the package ({first[:200]}): see {log.relative_to(ROOT)}")
    for path in INSTALL.rglob("*"):
        if path.is_symlink() and not path.exists():  # its source file has been deleted
            path.unlink()


def main() -> int:
    """Do what is missing; 0 when all is ready, 1 after one line on what is not."""
    leave_own_environment()
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    began = time.monotonic()
    with (ROOT / ".setup.lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            check_distro()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another make is setting up this checkout, waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            worked = stage(VENV / "setup.stamp", packages_key(), PACKAGES_NEED_BYTES, install_packages, [VENV])
            made = [INSTALL, BUILD / "xrollout"]
            worked |= stage(INSTALL / "setup.stamp", build_key(), BUILD_NEEDS_BYTES, build_package, made)
        except SetupError as error:
            print(f"setup: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("setup: interrupted; the next make goes on from here", file=sys.stderr)
            return 130
    if worked:
        say(f"ready after {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
