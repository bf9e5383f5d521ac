"""Arguments of a graph as `ros2 launch` takes them: ``name:=value``."""

from __future__ import annotations

from collections.abc import Sequence

from xrollout_ros.core.errors import SpecError

SEPARATOR = ":="


def parse_arguments(words: Sequence[str]) -> dict[str, str]:
    """The values by name.

    Raises:
        SpecError: a word is no ``name:=value``, or a name comes twice.
    """
    values: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition(SEPARATOR)
        if not separator or not name:
            hint = f" (did you mean {word.replace('=', SEPARATOR, 1)!r}?)" if "=" in word else ""
            raise SpecError(
                f"argument {word!r} is not of the form name:=value{hint}",
                "Write e.g. model:=checkpoint.pt; `xrollout up deploy --show-args` lists the names.",
            )
        if name in values:
            raise SpecError(
                f"argument {name!r} is given twice: {values[name]!r} and {value!r}", "Give each argument once."
            )
        values[name] = value
    return values
