"""What the package says of itself (package.xml, setup.cfg, lock file, console scripts) agrees with the code."""

from __future__ import annotations

import ast
import configparser
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from lock import not_of_ros, requirements
from machine import LOCKS, WHEELS

import xrollout_ros

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ElementTree.parse(ROOT / "package.xml")

# Imported name → its key in package.xml, where the two differ.
ROSDEP_KEYS = {
    "click": "python3-click",
    "evdev": "python3-evdev",
    "jinja2": "python3-jinja2",
    "matplotlib": "python3-matplotlib",
    "PIL": "python3-pil",
    "numpy": "python3-numpy",
    "pydantic": "python3-pydantic",
    "rich": "python3-rich",
    "scipy": "python3-scipy",
    "sklearn": "python3-sklearn",
    "yaml": "python3-yaml",
}
# Imported name → its name in the package registry: what has no rosdep key, or is needed without ROS too.
REGISTRY_NAMES = {
    "click": "click",
    "duckdb": "duckdb",
    "foxglove": "foxglove-sdk",
    "gymnasium": "gymnasium",
    "jinja2": "jinja2",
    "markupsafe": "markupsafe",
    "matplotlib": "matplotlib",
    "mcap": "mcap",
    "mcap_ros2": "mcap-ros2-support",
    "metaworld": "metaworld",
    "mujoco": "mujoco",
    "nicegui": "nicegui",
    "PIL": "pillow",
    "numpy": "numpy",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic",
    "rich": "rich",
    "scipy": "scipy",
    "setproctitle": "setproctitle",
    "sklearn": "scikit-learn",
    "starlette": "starlette",
    "torch": "torch",
    "ulid": "python-ulid",
    "yaml": "pyyaml",
    "zstandard": "zstandard",
}
# Imported name → its name in the package registry and the extra that brings it: what only those have who asked for it.
EXTRAS = {"rerun": ("rerun-sdk", "rerun")}


def imported() -> dict[str, Path]:
    """Every top-level module that our code imports from outside, with a file that does."""
    names: dict[str, Path] = {}
    for path in [*(ROOT / "xrollout_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found = [node.module or ""]
            else:
                continue
            names.update({name.partition(".")[0]: path for name in found})
    # ros2doctor imports us, where it is installed.
    own = {"__future__", "xrollout", "xrollout_ros", "ros2doctor"}
    return {name: path for name, path in names.items() if name not in own | sys.stdlib_module_names}


def package_keys() -> set[str]:
    """Everything that package.xml depends on, for whatever purpose."""
    return {element.text or "" for element in PACKAGE.iter() if element.tag.endswith("depend")}


def registry_names(text: str) -> set[str]:
    """Normalized names of requirement lines."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    names = (match.group() for line in lines if (match := re.match(r"[A-Za-z0-9._-]+", line)))
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_every_import_comes_from_a_named_dependency() -> None:
    named = package_keys()
    unnamed = {
        name: path.relative_to(ROOT)
        for name, path in imported().items()
        if ROSDEP_KEYS.get(name, name) not in named and name not in REGISTRY_NAMES and name not in EXTRAS
    }
    assert not unnamed, "name it in package.xml (rosdep key) or in requirements.in, and in this test's table"


def test_pip_brings_every_import_that_needs_no_ros() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    brought = registry_names(config["options"]["install_requires"])
    brought |= registry_names(config["options.extras_require"]["sim"])
    needed = {REGISTRY_NAMES[name] for name in imported() if name in REGISTRY_NAMES}
    assert needed <= brought
    assert brought <= registry_names((ROOT / "requirements.in").read_text(encoding="utf-8"))


def test_extras_bring_what_is_imported_where_they_are_asked_for() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    for name, (registry_name, extra) in EXTRAS.items():
        assert name in imported()
        assert registry_name in registry_names(config["options.extras_require"][extra])


@pytest.mark.parametrize("distro", WHEELS)
def test_a_lock_file_covers_the_human_list(distro: str) -> None:
    human = registry_names(requirements(distro))
    assert f"ros-{distro}-rclpy" in human
    lines = (ROOT / LOCKS[distro]).read_text(encoding="utf-8")
    assert human <= registry_names(lines)
    for line in lines.splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+( ; python_version .*)?", line), line
    assert "torch==2.13.0" in lines.splitlines()


def test_lock_files_differ_in_ros_alone() -> None:
    first, *others = [
        [line for line in not_of_ros((ROOT / name).read_text(encoding="utf-8")).splitlines() if line[0] != "#"]
        for name in LOCKS.values()
    ]
    assert others == [first] * len(others), "run `make lock`"


def test_the_package_is_one_version() -> None:
    assert PACKAGE.findtext("version") == xrollout_ros.__version__


@pytest.mark.parametrize("file", ["setup.cfg", "resource/ros_scripts.cfg"])
def test_every_console_script_has_its_function(file: str) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / file, encoding="utf-8")
    for line in config["options.entry_points"]["console_scripts"].split("\n"):
        if not line:
            continue
        module, _, function = line.partition("=")[2].strip().partition(":")
        path = ROOT / f"{module.replace('.', '/')}.py"
        assert path.is_file(), line
        names = {getattr(node, "name", None) for node in ast.parse(path.read_text(encoding="utf-8")).body}
        assert function in names, line


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv"), *ROOT.glob("action/*.action")]),
    ids=lambda path: path.name,
)
def test_every_field_says_what_it_means(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        constant = re.match(r"\w+ [A-Z_0-9]+ *=", line)  # its name says it
        if line.strip() and line.strip() != "---" and not constant:
            assert "#" in line, f"{line!r} has no meaning and unit"


def test_pip_install_without_ros(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "LICENSE", "README.md"):
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source)
    for name in ("xrollout_ros", "config", "launch", "msg", "srv", "resource"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True, timeout=100, capture_output=True)
    (wheel,) = tmp_path.glob("xrollout-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        scripts = archive.read(entry_points).decode()
    assert re.findall(r"^(\w+) = ", scripts, re.MULTILINE) == ["xrollout"]
    shared = {name.partition("/data/share/")[2] for name in names if "/data/share/" in name}
    assert "ament_index/resource_index/packages/xrollout" in shared
    for folder in ("config", "launch", "msg", "srv"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert {f"xrollout/{path}" for path in files if "__pycache__" not in path.parts} <= shared
    ours = {path.relative_to(ROOT) for path in (ROOT / "xrollout_ros").rglob("*") if path.is_file()}
    assert {str(path) for path in ours if "__pycache__" not in path.parts} <= names
