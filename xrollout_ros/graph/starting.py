"""Which starts the argument ``starts`` of a graph names; imports no ROS."""

from __future__ import annotations

from pathlib import Path

from xrollout_ros.mining.collection import listed
from xrollout_ros.mining.plan import FORMAT, read_plan
from xrollout_ros.runtime.start_list import StartList, parse_starts, read_json, starts_from


def read_starts(given: str) -> StartList | None:
    """The list of starts.

    Args:
        given: a JSON file with a list of starts or a collection plan, or ``start:seed,start:seed``; empty: there is
            none, and seeds count up.

    Raises:
        SpecError: the list cannot be read, or an entry of it is wrong.
        DataError: the plan is damaged.
    """
    if not given:
        return None
    if not given.endswith(".json"):
        return parse_starts(given)
    path = Path(given).expanduser()
    document = read_json(path, "the list of starts")
    if isinstance(document, dict) and document.get("format") == FORMAT:
        return listed(read_plan(path))
    return starts_from(document, given)
