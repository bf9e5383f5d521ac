"""Classes that other packages bring, found by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from xrollout_ros.core.errors import SpecError


def make(group: str, name: str, options: Mapping[str, Any]) -> Any:
    """An object of the class behind an entry point.

    Args:
        group: ``xrollout.detectors`` or ``xrollout.recoveries``.
        name: its name there.
        options: keyword arguments of the class.

    Raises:
        SpecError: nothing of that name is installed, or it does not load or take the options.
    """
    found = {each.name: each for each in entry_points(group=group)}
    if name not in found:
        known = f"installed are {', '.join(sorted(found))}" if found else "none is installed"
        raise SpecError(f"no plug-in {name!r} in the group {group!r}: {known}", "Install its package or mend the name.")
    try:
        return found[name].load()(**options)
    except Exception as error:
        raise SpecError(
            f"the plug-in {name!r} of {group!r} cannot be made: {error}", f"Its options are {dict(options)!r}."
        ) from error
