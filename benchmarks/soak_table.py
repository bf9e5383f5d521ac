"""The soak's table."""

from __future__ import annotations

from collections import Counter

import numpy as np
from soak_bags import Bags
from soak_faults import Faults


def rows(bags: Bags, faults: Faults, restarts: Counter[str], graphs: int, full: int) -> list[list[object]]:
    """The table."""
    watch = bags.watch
    attempts = list(watch.attempts.values())
    kinds: dict[str, list[str]] = {}
    for name, count in sorted(faults.counts.items()):
        kind, _, what = name.partition(": ") if ": " in name else name.partition(" ")
        whole = kind in ("SIGKILL", "SIGSTOP", "chunk", "request")
        kinds.setdefault(kind if whole else name, []).append(f"{what} {count}" if whole else str(count))
    seen = Counter(violation.kind for violation in watch.violations)
    streams = watch.streams.values()
    lost = np.array(bags.lost_s)
    outcomes = Counter(attempt.outcome or "not told" for attempt in attempts)
    out: list[list[object]] = [
        ["attempts run", len(attempts), ""],
        ["outcomes", ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items())), ""],
    ]
    out += [[f"faults: {kind}", ", ".join(found), ""] for kind, found in kinds.items()]
    out += [
        ["commands judged (robot's topic, /xrollout/command)", ", ".join(f"{each.heard:,}" for each in streams), ""],
        ["of these not heard", ", ".join(str(each.missed) for each in streams), ""],
        ["largest step, of the one allowed", f"{max((each.largest_step for each in streams), default=0.0):.9f}", "≤ 1"],
        ["on their way when the supervisor was stopped, sent when it went on", sum(each.stale for each in streams), ""],
        ["unsafe commands", seen["unsafe command"], "0"],
        [
            "bags verified, their messages; of these clips",
            f"{len(bags.closed)}, {bags.messages:,}; {bags.clips}",
            "",
        ],
        ["of these torn by a kill and repaired; discarded", f"{bags.repaired}; {bags.discarded}", ""],
        ["closed bags lost", seen["closed bag lost"], "0"],
        ["seconds lost of an open bag: median, most", _figures(lost), "≤ 1"],
        ["attempts without an outcome", seen["no outcome"], "0"],
        ["attempts not recorded, or torn, for a full disk", bags.not_recorded, ""],
        ["restarts", ", ".join(f"{name} {count}" for name, count in sorted(restarts.items())) or "0", ""],
        ["graphs started; of these ended by a full disk", f"{graphs}; {full}", ""],
        ["graphs that did not come back, or not end", seen["graph did not come back"] + seen["graph did not end"], "0"],
        ["nodes that died by themselves; tracebacks", f"{seen['died by itself']}; {seen['traceback']}", "0"],
    ]
    return out


def _figures(lost: np.ndarray) -> str:
    return f"{np.median(lost):.2f}, {lost.max():.2f} (of {len(lost)})" if len(lost) else "– (no recorder was killed)"
