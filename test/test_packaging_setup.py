"""tools/: what `make setup` and `make lock` decide, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bootstrap
import lock
import machine
import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def stamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stamp of a stage whose result lies in a folder beside the checks of a good machine."""
    monkeypatch.setattr(bootstrap, "check_machine", lambda: None)
    (tmp_path / "result").mkdir()
    return tmp_path / "result" / "setup.stamp"


def run_stage(stamp: Path, key: str, *, error: Exception | None = None) -> tuple[bool, bool]:
    """Whether the stage worked, and whether it found its earlier result."""
    found = []

    def work() -> None:
        found.append((stamp.parent / "made").exists())
        stamp.parent.mkdir(exist_ok=True)
        (stamp.parent / "made").touch()
        if error:
            raise error

    return bootstrap.stage(stamp, key, 0, work, [stamp.parent]), bool(found and found[0])


def test_a_finished_stage_is_left_alone_until_its_key_changes(stamp: Path) -> None:
    assert run_stage(stamp, "one") == (True, False)
    assert run_stage(stamp, "one") == (False, False)
    assert run_stage(stamp, "two") == (True, True)
    assert run_stage(stamp, "two") == (False, False)


def test_a_half_finished_stage_starts_from_scratch(stamp: Path) -> None:
    run_stage(stamp, "one")
    with pytest.raises(KeyboardInterrupt):
        run_stage(stamp, "two", error=KeyboardInterrupt())
    assert run_stage(stamp, "two") == (True, False)


def test_an_attempt_that_changed_nothing_costs_nothing(stamp: Path) -> None:
    run_stage(stamp, "one")
    with pytest.raises(machine.NothingDoneError):
        run_stage(stamp, "two", error=machine.NothingDoneError("no network"))
    assert run_stage(stamp, "one") == (False, False)


def test_another_foundation_starts_from_scratch(stamp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(stamp, "one")
    monkeypatch.setattr(bootstrap, "ROS", "jazzy")
    assert run_stage(stamp, "one") == (True, False)


def test_a_workspace_more_or_less_keeps_what_is_there(stamp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROS", "jazzy")
    monkeypatch.setattr(machine, "ROS", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/jazzy")
    run_stage(stamp, "one")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{ROOT}/.venv:/home/me/ws/install/a:/opt/ros/jazzy:/opt/ros/jazzy")
    assert run_stage(stamp, "one") == (False, False)
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/ros/kilted")
    assert run_stage(stamp, "one") == (True, False)


def test_a_machine_that_lacks_something_loses_nothing(stamp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(stamp, "one")

    def refuse() -> None:
        raise machine.SetupError("no compiler")

    with monkeypatch.context() as lacking:
        lacking.setattr(bootstrap, "check_machine", refuse)
        with pytest.raises(machine.SetupError):
            run_stage(stamp, "two")
    assert run_stage(stamp, "two") == (True, True)


def test_a_full_disk_is_refused_with_figures() -> None:
    with pytest.raises(machine.SetupError, match=r"GiB free, 1048576\.0 GiB are needed"):
        machine.check_disk(1 << 50)


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ({"make"}, "no gcc found"),
        ({"make", "cc"}, "no g\\+\\+ found"),
        ({"cc", "c++"}, "no gmake found"),
    ],
)
def test_a_missing_tool_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, present: set[str], missing: str
) -> None:
    monkeypatch.setattr(machine, "ROS", "")
    monkeypatch.setattr(shutil, "which", lambda name: name if name in present else None)
    with pytest.raises(machine.SetupError, match=f"{missing}: install it .*build-essential"):
        machine.check_machine()


@pytest.mark.parametrize(
    ("ros", "asked", "words"),
    [
        ("jazzy", "kilted", r"DISTRO is 'kilted', but ROS_DISTRO says that ROS 2 'jazzy' is sourced"),
        ("", "humble", r"DISTRO is 'humble', which does not come as wheels \(jazzy and kilted do\)"),
        ("humble", "humble", ""),
        ("rolling", "", ""),
        ("", "kilted", ""),
        ("", "", ""),
    ],
)
def test_a_distribution_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, ros: str, asked: str, words: str
) -> None:
    monkeypatch.setattr(machine, "ROS", ros)
    monkeypatch.setattr(machine, "ASKED", asked)
    if not words:
        machine.check_distro()
        return
    with pytest.raises(machine.SetupError, match=words):
        machine.check_distro()


@pytest.mark.parametrize(
    ("ros", "asked", "suffix", "lock_file"),
    [
        ("", "", "", "requirements.lock"),
        ("", "jazzy", "", "requirements.lock"),
        ("", "kilted", "-kilted", "requirements-kilted.lock"),
        ("kilted", "", "", "requirements.lock"),
        ("kilted", "kilted", "", "requirements.lock"),
    ],
)
def test_make_and_setup_agree_on_where_a_distribution_lives(ros: str, asked: str, suffix: str, lock_file: str) -> None:
    env = {"PATH": os.environ["PATH"], "ROS_DISTRO": ros, "PYTHONPATH": str(ROOT / "tools"), "XROLLOUT_DISTRO": asked}
    ask = "import bootstrap as b; print(b.VENV.name, b.BUILD.name, b.INSTALL.name, b.lock_file().name)"
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    command = [python, "-c", ask]
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert answer == [f".venv{suffix}", f"build{suffix}", f"install{suffix}", lock_file]
    if shutil.which("make") is None:
        return
    make = ["make", "--dry-run", "demo", "lint", *([f"DISTRO={asked}"] if asked else [])]
    said = subprocess.run(make, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"XROLLOUT_DISTRO={asked} " in said
    assert f"\n.venv{suffix}/bin/xrollout demo\n" in said
    assert f"source install{suffix}/setup.bash" in said


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 14, 0)])
def test_an_unsupported_python_is_refused(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(machine.SetupError, match=r"3\.10 to 3\.13 are"):
        machine.check_machine()


def test_a_python_without_venv_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(machine.SetupError, match="python3-venv"):
        machine.check_machine()


def test_the_environment_of_an_earlier_source_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "ROS", "jazzy")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{ROOT}/install/xrollout:{ROOT}/.venv:/opt/ros/jazzy")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}/install/xrollout/lib/python3.12/site-packages")
    monkeypatch.setenv("MAKEFLAGS", "-j --jobserver-auth=3,4")
    env = machine.clean_environment()
    assert env["AMENT_PREFIX_PATH"] == "/opt/ros/jazzy"
    assert "PYTHONPATH" not in env
    assert "MAKEFLAGS" not in env


def test_a_ros_installation_keeps_its_own_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '# comment\nros-rclpy==7.1.6\nnumpy==2.4.6 ; python_version >= "3.11"\ntorch==2.13.0\n'
    assert bootstrap.wanted(lines) == ["ros-rclpy==7.1.6", 'numpy==2.4.6 ; python_version >= "3.11"', "torch==2.13.0"]
    monkeypatch.setattr(bootstrap, "ROS", "jazzy")
    assert bootstrap.wanted(lines) == ["torch==2.13.0"]


def test_what_the_build_depends_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("tools", "msg", "xrollout_ros", "config"):
        (tmp_path / name).mkdir()
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    (tmp_path / "msg" / "A.msg").write_text("bool a\n")
    (tmp_path / "xrollout_ros" / "a.py").write_text("one = 1\n")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    keys = [bootstrap.build_key()]
    (tmp_path / "xrollout_ros" / "a.py").write_text("one = 2\n")
    assert bootstrap.build_key() == keys[0], "a linked file's content needs no build"
    for path, text in (("msg/A.msg", "bool b\n"), ("xrollout_ros/b.py", ""), ("requirements.lock", "torch==2.14.0\n")):
        (tmp_path / path).write_text(text)
        keys.append(bootstrap.build_key())
    assert len(set(keys)) == len(keys)


def test_the_lock_file_marks_only_what_differs() -> None:
    resolved = {
        "3.10": {"torch": "2", "numpy": "2.2", "tomli": "1"},
        "3.11": {"torch": "2", "numpy": "2.4"},
        "3.12": {"torch": "2", "numpy": "2.5"},
        "3.13": {"torch": "2", "numpy": "2.5"},
    }
    assert lock.merge(resolved) == [
        'numpy==2.2 ; python_version < "3.11"',
        'numpy==2.4 ; python_version >= "3.11" and python_version < "3.12"',
        'numpy==2.5 ; python_version >= "3.12"',
        'tomli==1 ; python_version < "3.11"',
        "torch==2",
    ]


def test_an_unreachable_registry_gives_one_clear_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "LANG")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_NO_CACHE_DIR": "1"}
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    done = subprocess.run(
        [python, "tools/bootstrap.py"], cwd=tmp_path, env=env | nowhere, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "the package registry cannot be reached" in line
    assert "build/pip.log" in line
    assert (tmp_path / "build" / "pip.log").is_file()
    assert not (tmp_path / ".venv" / "setup.stamp").exists()
