"""Message definitions and type hashes from the ament prefixes, without importing ROS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from xrollout_ros.core.errors import BagError

SEPARATOR = "=" * 80


@dataclass(frozen=True)
class MessageDefinition:
    """What a bag embeds so that its messages can be read anywhere."""

    type_name: str
    """``pkg/msg/Type``."""
    text: str
    """Full concatenated definition, schema encoding ``ros2msg``."""
    type_hash: str
    """``RIHS01_`` and 64 hexadecimal digits (REP 2016)."""


_STAMPS = ("std_msgs/Header", "std_msgs/msg/Header", "builtin_interfaces/Time", "builtin_interfaces/msg/Time", "Header")
_CDR_HEADER_BYTES = 4
_LENGTH_BYTES = 4


def stamp_offset(definition: MessageDefinition) -> int | None:
    """Where the CDR of a message that begins with a stamp, a header, or a list of such messages, has it.

    None: it begins otherwise, or (a list) may be too short to have one.
    """
    own, *nested = definition.text.split(f"{SEPARATOR}\n")
    kind = _first_field(own)
    if kind in _STAMPS:
        return _CDR_HEADER_BYTES
    if not kind.endswith("[]"):
        return None
    name = kind.removesuffix("[]").rpartition("/")[2]
    for part in nested:
        head, _, body = part.partition("\n")
        if head.rpartition("/")[2].strip() == name and _first_field(body) in _STAMPS:
            return _CDR_HEADER_BYTES + _LENGTH_BYTES
    return None


def _first_field(text: str) -> str:
    """Type of the first field; empty: there is none."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if len(words) >= 2 and "=" not in line.partition("#")[0]:
            return words[0]
    return ""


def ament_prefixes() -> tuple[Path, ...]:
    """Where installed interfaces are looked for: ``AMENT_PREFIX_PATH``, then this environment's own prefix."""
    named = [part for part in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if part]
    return tuple(dict.fromkeys(Path(part) for part in (*named, sys.prefix)))


def load_definition(type_name: str, prefixes: Sequence[Path] | None = None) -> MessageDefinition:
    """The full definition of a message type, as installed by rosidl.

    The generator's own description (``<Type>.json``) names every nested type and the hash, so nothing is parsed here.

    Args:
        type_name: ``pkg/msg/Type``.
        prefixes: folders that hold ``share/<pkg>/msg``; none: those of :func:`ament_prefixes`.

    Raises:
        BagError: the type or one that it is made of is not installed, or its description is damaged.
    """
    return _load(type_name, tuple(prefixes) if prefixes is not None else ament_prefixes())


@lru_cache(maxsize=512)
def _load(type_name: str, prefixes: tuple[Path, ...]) -> MessageDefinition:
    description = _find(type_name, ".json", prefixes)
    try:
        hashes = {
            item["type_name"]: item["hash_string"]
            for item in json.loads(description.read_text(encoding="utf-8"))["type_hashes"]
        }
        type_hash = hashes[type_name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BagError(
            f"the type description {description} cannot be used ({error!r})",
            f"Build or install the package {type_name.partition('/')[0]!r} again.",
        ) from error
    parts = [_text(type_name, prefixes)]
    for nested in sorted(name for name in hashes if name != type_name):
        package, _, name = nested.split("/")
        parts.append(f"{SEPARATOR}\nMSG: {package}/{name}\n{_text(nested, prefixes)}")
    return MessageDefinition(type_name, "".join(parts), type_hash)


def _text(type_name: str, prefixes: tuple[Path, ...]) -> str:
    path = _find(type_name, ".msg", prefixes)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BagError(f"the message definition {path} cannot be read ({error})", "Install it again.") from error
    return text if text.endswith("\n") else text + "\n"


def _find(type_name: str, suffix: str, prefixes: tuple[Path, ...]) -> Path:
    parts = type_name.split("/")
    if len(parts) != 3 or parts[1] != "msg" or not all(part.isidentifier() for part in parts):
        raise BagError(f"{type_name!r} is not the name of a message type", "It must read `package/msg/Type`.")
    package, _, name = parts
    for prefix in prefixes:
        path = prefix / "share" / package / "msg" / f"{name}{suffix}"
        if path.is_file():
            return path
    known = any((prefix / "share" / package).is_dir() for prefix in prefixes)
    problem = f"the package {package!r} has no {name}{suffix}" if known else f"the package {package!r} is not installed"
    raise BagError(
        f"the definition of {type_name} was not found: {problem} (looked in {', '.join(map(str, prefixes))})",
        f"Install or build {package!r}, or source its workspace so that AMENT_PREFIX_PATH names it; "
        "a topic whose definition cannot be embedded is not recorded.",
    )
