"""Finds and loads the shipped and the user's own specs."""

from __future__ import annotations

import os
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from xrollout_ros.core.errors import SpecError, from_validation

if TYPE_CHECKING:
    from xrollout_ros.core.document import Strict
    from xrollout_ros.core.robot import RobotSpec
    from xrollout_ros.core.task import TaskSpec

S = TypeVar("S", bound="Strict")


@cache
def share_dir() -> Path:
    """The folder that holds ``config/`` and ``launch/``: the checkout, an ament prefix, or pip's prefix.

    Raises:
        SpecError: none of them has it.
    """
    candidates = [Path(__file__).resolve().parents[2]]
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    candidates += [Path(prefix) / "share" / "xrollout" for prefix in prefixes if prefix]
    for candidate in candidates:
        if (candidate / "config" / "robots").is_dir():
            return candidate
    raise SpecError(
        "the shipped robots and tasks were not found (looked in " + ", ".join(map(str, candidates)) + ")",
        "Install the package again (`pip install .` or `colcon build`).",
    )


def load_yaml(path: Path, what: str) -> object:
    """Read one YAML document.

    Raises:
        SpecError: it cannot be read or is not YAML.
    """
    import yaml  # which nobody needs who asks for names alone

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{what} {path} cannot be read ({error})", "Give a readable YAML file.") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{what} {path} is not YAML: {error}", "Mend the file at that place.") from error


def _ids(folder: str) -> list[str]:
    return sorted(path.stem for path in (share_dir() / "config" / folder).glob("*.yaml"))


def robot_ids() -> list[str]:
    """Ids of the shipped robots."""
    return _ids("robots")


def task_ids() -> list[str]:
    """Ids of the shipped tasks."""
    return _ids("tasks")


def _load(name: str, folder: str, what: str, model: type[S]) -> S:
    from pydantic import ValidationError

    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        known = _ids(folder)
        if name not in known:
            kind = what.removesuffix("Spec").lower()
            raise SpecError(
                f"unknown {kind} {name!r}",
                f"Known are {', '.join(known)}; or give the path of a {what} (*.yaml).",
            )
        path = share_dir() / "config" / folder / f"{name}.yaml"
    try:
        return model.model_validate(load_yaml(path, what))
    except ValidationError as error:
        raise from_validation(error, what, path, "Mend the file; docs/specs.md lists every field.") from error


def full_path(name: str) -> str:
    """A file by its full path, since a process need not run in the folder of whoever starts it; an id as it is."""
    return str(Path(name).expanduser().resolve()) if name.endswith((".yaml", ".yml", ".json")) else name


def load_robot(name: str) -> RobotSpec:
    """The RobotSpec with this id, or from this YAML file.

    Raises:
        SpecError: it is unknown or not valid.
    """
    from xrollout_ros.core.robot import RobotSpec

    return _load(name, "robots", "RobotSpec", RobotSpec)


def load_task(name: str) -> TaskSpec:
    """The TaskSpec with this id, or from this YAML file.

    Raises:
        SpecError: it is unknown or not valid.
    """
    from xrollout_ros.core.task import TaskSpec

    return _load(name, "tasks", "TaskSpec", TaskSpec)
