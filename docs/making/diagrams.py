"""Diagrams of what the code says; ``python -m docs.making.diagrams`` draws them anew."""

from __future__ import annotations

import math

from docs.making.drawing import ACCENT, PAPER, SOFT, WARM, WARM_SOFT, Box, Drawing
from docs.making.source import ROOT
from xrollout_ros.core.modes import Mode
from xrollout_ros.cycle.record import State
from xrollout_ros.runtime.modes import TABLE, Event

_PLACES = {
    Mode.IDLE: (100, 230), Mode.AUTONOMOUS: (330, 90), Mode.TELEOP: (330, 370), Mode.HANDOVER: (560, 230),
    Mode.RECOVERING: (790, 90), Mode.HOLD: (790, 370), Mode.ESTOP: (1010, 370),
}  # fmt: skip
_WHO = {
    Mode.IDLE: "nothing is sent", Mode.AUTONOMOUS: "the policy drives", Mode.TELEOP: "the operator drives",
    Mode.HANDOVER: "control passes", Mode.RECOVERING: "a recovery drives", Mode.HOLD: "the robot is held",
    Mode.ESTOP: "until it is reset",
}  # fmt: skip
_WORDS = {
    Event.START_AUTONOMOUS: "attempt begins", Event.START_TELEOP: "attempt begins, no policy",
    Event.TAKE_OVER: "take over", Event.HAND_BACK: "hand back", Event.OPERATOR_HAS_IT: "complete",
    Event.POLICY_HAS_IT: "complete", Event.RECOVER: "alarm: recover", Event.RECOVERED: "recovered",
    Event.RESET_EMERGENCY_STOP: "reset",
}  # fmt: skip
"""What is written at an arrow. The others lead to one mode from wherever somebody drives, and are told in words."""
_LEFT_OUT = {(Mode.HOLD, Event.START_AUTONOMOUS), (Mode.HOLD, Event.START_TELEOP)}
"""As from IDLE; their arrows would lie behind boxes."""
_CYCLE = {
    State.DEPLOY: "try the policy", State.MINE: "which failure costs most", State.COLLECT: "demonstrate it",
    State.CURATE: "sort into levels", State.TRAIN: "a new policy", State.VALIDATE: "against the old one",
    State.DONE: "report",
}  # fmt: skip
_VERDICTS = {
    State.PROMOTE: "shown to be better",
    State.REJECT: "shown to be worse",
    State.INCONCLUSIVE: "nobody can tell",
}


def modes() -> str:
    """The mode table of the supervisor."""
    drawing = Drawing(1110, 470, "Modes of the supervisor")
    boxes = {mode: Box(*place, 170, 56, (mode.name, _WHO[mode]), *_colours(mode)) for mode, place in _PLACES.items()}
    between: dict[tuple[Mode, Mode], list[str]] = {}
    for (mode, event), to in TABLE.items():
        if event in _WORDS and mode is not to and (mode, event) not in _LEFT_OUT:
            labels = between.setdefault((mode, to), [])
            if _WORDS[event] not in labels:
                labels.append(_WORDS[event])
    for (begin, end), labels in between.items():
        both = (end, begin) in between
        drawing.arrow(boxes[begin], boxes[end], tuple(labels), bend=38 if both else 0)
    for box in boxes.values():
        drawing.box(box)
    told = "From wherever somebody drives a fault, a request or the attempt's end leads to HOLD; "
    told += "from there, too, an attempt begins."
    drawing.words(560, 445, told, size=12)
    drawing.words(1010, 315, "emergency stop,", size=11)
    drawing.words(1010, 329, "from anywhere", size=11)
    return drawing.svg()


def cycle() -> str:
    """One cycle of the flywheel."""
    drawing = Drawing(760, 520, "One cycle of the flywheel")
    names = list(_CYCLE)
    boxes = {}
    for place, state in enumerate(names):
        angle = 2 * math.pi * place / len(names) - math.pi / 2
        x, y = 380 + 265 * math.cos(angle), 255 + 195 * math.sin(angle)
        boxes[state] = Box(x, y, 168, 52, (state.value, _CYCLE[state]))
    for begin, end in zip(names, [*names[1:], names[0]], strict=True):
        drawing.arrow(boxes[begin], boxes[end], bend=14)
    for box in boxes.values():
        drawing.box(box)
    drawing.words(380, 185, "the verdict, one of", size=12)
    for place, (state, told) in enumerate(_VERDICTS.items()):
        fill, edge = (SOFT, ACCENT) if state is State.PROMOTE else (WARM_SOFT, WARM)
        drawing.box(Box(380, 222 + 54 * place, 190, 44, (state.value, told), fill, edge))
    return drawing.svg()


def _colours(mode: Mode) -> tuple[str, str]:
    if mode is Mode.ESTOP:
        return WARM_SOFT, WARM
    if mode in (Mode.IDLE, Mode.HOLD):
        return PAPER, "#7d8894"
    return SOFT, ACCENT


if __name__ == "__main__":
    for name, drawn in (("concept_modes", modes()), ("concept_flywheel", cycle())):
        (ROOT / "docs" / "pictures" / f"{name}.svg").write_text(drawn, encoding="utf-8")
