"""Tables of what the code means by its words."""

from __future__ import annotations

from docs.making.markdown import code, prose, table
from xrollout_ros.core.levels import LEVELS, MEANING, USUAL
from xrollout_ros.mining.taxonomy import IN_SUCCESSES, MODES


def modes() -> str:
    """The failure modes that the rules know, and what they look for in successes."""
    rows = [
        [code(mode.value), prose(info.meaning), f"{info.severity:g}"]
        for mode, info in MODES.items()
        if mode not in IN_SUCCESSES
    ]
    good = [f"{code(mode.value)} ({prose(MODES[mode].meaning)})" for mode in MODES if mode in IN_SUCCESSES]
    return table(["mode", "meaning", "severity"], rows) + f"\nIn successes: {', '.join(good)}.\n"


def levels() -> str:
    """The environment levels, with what holds there unless a RobotSpec says otherwise."""
    rows = [
        [level, prose(MEANING[level]), f"{USUAL[level].speed:.0%}", f"{USUAL[level].force:.0%}", USUAL[level].alarms]
        for level in LEVELS
    ]
    return table(["level", "is", "speed", "force", "alarms at least"], rows)
