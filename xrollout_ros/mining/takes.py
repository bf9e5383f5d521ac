"""When the hand moved the object along, and when it lost it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from xrollout_ros.core.document import Finite, Positive, Strict
from xrollout_ros.mining.signals import Floats, Signals


class Handling(Strict):
    """What counts as having the object; under ``tagging.rules.handling`` of a TaskSpec."""

    window_s: Positive = Field(default=0.1, description="over which motion of hand and object is compared, s")
    long_window_s: Positive = Field(default=0.5, description="the same for slow motion, s")
    slow_window_s: Positive = Field(default=2.0, description="the same for motion that is slower still, s")
    moved_m: Positive = Field(default=0.008, description="least motion of the object in a window, m")
    slip: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="most motion of the object in the hand, as a share of the object's own"
    )
    swept: Positive = Field(
        default=0.65, description="most motion of the object in the hand over a whole hold, as a share of its way"
    )
    margin_m: Annotated[float, Field(ge=0)] = Field(
        default=0.02, description="what the hand may be farther from the object than `reach` says, m"
    )
    empty: Finite | None = Field(
        default=None,
        description="opening up to which the fingers have closed on nothing, its unit; none: the object is too thin to "
        "tell",
    )
    steady: Positive = Field(
        default=0.15, description="most change of the opening in a window once the fingers have the object, same unit"
    )
    late_s: Positive = Field(
        default=0.25, description="how long ago they may have been told to close, where `empty` can tell, s"
    )
    lost_m: Positive = Field(default=0.05, description="motion of the object in the hand after which it is lost, m")
    fall_m: Positive = Field(default=0.02, description="an object that slid in the hand and fell so far is lost, m")
    again_s: Positive = Field(default=0.125, description="an object regained within this time was not lost, s")
    carried_m: Positive = Field(default=0.03, description="least way of the object with the hand that counts, m")
    placed_m: Positive = Field(default=0.05, description="an object let go so near to the goal is placed, not lost, m")

    @property
    def windows_s(self) -> tuple[float, float, float]:
        """All windows, s."""
        return self.window_s, self.long_window_s, self.slow_window_s


@dataclass(frozen=True)
class Take:
    """The hand had the object."""

    begin: int
    """First row."""
    end: int
    """Last row, also where the attempt ended."""
    lost: bool
    """The object stayed behind."""
    placed: bool
    """It did so at the goal."""
    way_m: float
    """Farthest that the object was moved."""
    raised_m: float
    """Highest that it was above where it lay."""


def takes(signals: Signals, handling: Handling) -> list[Take]:
    """Every time that the hand moved the object along, in order.

    Raises:
        NotApplicableError: the task names no hand or no object.
        SpecError: it names what the robot has not.
    """
    apart = signals.object - signals.hand
    together = [
        (signals.rows(seconds), _together(signals, handling, apart, seconds, handling.margin_m))
        for seconds in handling.windows_s
    ]
    empty = _empty(signals, handling)
    fast = _change(signals.object, signals.rows(handling.window_s)) >= handling.moved_m
    dragging = _together(signals, handling, apart, handling.window_s, handling.margin_m + handling.lost_m)
    found: list[Take] = []
    row = free = 0
    while row < len(signals):
        # A window that reaches back to before a loss would see the motion of the hold before.
        spans = [span for span, alike in together if alike[row] and row - span >= free]
        if empty[row]:  # closed fingers push it about; those that press on its edge have it, and drag it slowly
            spans = [span for span in spans if not fast[max(0, row - span) : row + 1].any()]
        if not spans:
            row += 1
            continue
        end, lost = _end_of_hold(signals, handling, apart, dragging, empty, row)
        begin, first = max(free, row - min(spans)), max(free, row - max(spans))
        way = np.linalg.norm(signals.object[first : end + 1] - signals.object[first], axis=1)
        slid = np.linalg.norm(apart[begin : end + 1] - apart[begin], axis=1)
        if way.max() >= handling.carried_m and slid.max() <= handling.swept * way.max():
            found.append(_take(signals, handling, begin, end, lost=lost, way_m=float(way.max())))
        row = free = end + 1
    return _joined(found, signals.rows(handling.again_s))


def _end_of_hold(
    signals: Signals,
    handling: Handling,
    apart: Floats,
    dragging: npt.NDArray[np.bool_],
    empty: npt.NDArray[np.bool_],
    row: int,
) -> tuple[int, bool]:
    """Last row of a hold that is there at ``row``, and whether the object stayed behind."""
    wait = signals.rows(handling.window_s)
    while True:
        off = np.linalg.norm(apart[row:] - apart[row], axis=1) > handling.lost_m
        if not empty[row]:
            off |= empty[row:]
        opened = _opened(signals, handling, row)
        off |= opened
        if not off.any():
            return len(signals) - 1, False
        end = row + int(off.argmax())
        # A long object may slide in the fingers and still come along; one that falls is lost.
        goes_on = dragging[end + 1 : end + 1 + wait]
        after = signals.object[min(end + wait, len(signals) - 1), -1]
        fell = signals.object[row : end + 1, -1].max() - after > handling.fall_m
        let_go = (empty[end] and not empty[row]) or opened[end - row]
        if let_go or fell or not goes_on.any():
            return end, True
        row = end + 1 + int(goes_on.argmax())


def _together(
    signals: Signals, handling: Handling, apart: Floats, seconds: float, margin_m: float
) -> npt.NDArray[np.bool_]:
    """(T,) whether object and hand were near and moved alike over a window, the fingers closed on it."""
    span = signals.rows(seconds)
    moved, slid = _change(signals.object, span), _change(apart, span)
    near: npt.NDArray[np.bool_] = signals.apart_m <= signals.near_m + margin_m
    if signals.tagging.gripper is not None:
        near = near & _lately(signals.closing, 0 if handling.empty is None else signals.rows(handling.late_s))
    if seconds > handling.window_s:  # the longer, the more else could have moved it
        near = near & ~_lately(~near, span)
    alike = near & (moved >= handling.moved_m) & (slid <= handling.slip * moved)
    if signals.tagging.opening is not None:
        alike &= _change(signals.opening[:, None], signals.rows(handling.window_s)) <= handling.steady
    return alike


def _empty(signals: Signals, handling: Handling) -> npt.NDArray[np.bool_]:
    """(T,) whether the fingers have closed on nothing."""
    if signals.tagging.opening is None or handling.empty is None:
        return np.zeros(len(signals), dtype=bool)
    empty: npt.NDArray[np.bool_] = signals.opening <= handling.empty
    return empty


def _opened(signals: Signals, handling: Handling, row: int) -> npt.NDArray[np.bool_]:
    """(T - row,) whether the fingers have opened since ``row``, as they were told."""
    if signals.tagging.opening is None or signals.tagging.gripper is None:
        return np.zeros(len(signals) - row, dtype=bool)
    wide: npt.NDArray[np.bool_] = signals.opening[row:] > signals.opening[row] + handling.steady
    return wide & ~signals.closing[row:]


def _take(signals: Signals, handling: Handling, begin: int, end: int, *, lost: bool, way_m: float) -> Take:
    height = signals.object[begin : end + 1, -1] - signals.object[begin, -1]
    placed = lost and signals.tagging.goal is not None and bool(signals.to_goal_m[end] <= handling.placed_m)
    return Take(begin, end, lost, placed, way_m, float(height.max()))


def _joined(found: list[Take], rows: int) -> list[Take]:
    """Takes without what was regained at once: a moment's slip is no loss."""
    joined: list[Take] = []
    for take in found:
        last = joined[-1] if joined else None
        if last is None or take.begin - last.end > rows:
            joined.append(take)
            continue
        way_m, raised_m = max(last.way_m, take.way_m), max(last.raised_m, take.raised_m)
        joined[-1] = Take(last.begin, take.end, take.lost, take.placed, way_m, raised_m)
    return joined


def _lately(told: npt.NDArray[np.bool_], rows: int) -> npt.NDArray[np.bool_]:
    """(T,) whether it was so in this row or one of the ``rows`` before."""
    counts = np.concatenate(([0], np.cumsum(told)))
    before = np.maximum(0, np.arange(len(told)) - rows)
    lately: npt.NDArray[np.bool_] = counts[1:] > counts[before]
    return lately


def _change(values: Floats, span: int) -> Floats:
    """(T,) how far each value is from that of ``span`` rows before; 0 where there is none."""
    change = np.zeros(len(values))
    if span < len(values):
        change[span:] = np.linalg.norm(values[span:] - values[:-span], axis=1)
    return change
