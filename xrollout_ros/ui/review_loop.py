"""Review in the terminal: one episode after another, a key for each decision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console

from xrollout_ros.core.errors import DataError, XRolloutError
from xrollout_ros.episodes.catalog.filters import Condition
from xrollout_ros.mining.review.api import Case, Reviews
from xrollout_ros.mining.review.queue import Waiting
from xrollout_ros.mining.success.label import LAYER as LABELS_LAYER
from xrollout_ros.mining.taxonomy import IN_SUCCESSES
from xrollout_ros.ui import review_screen as screen
from xrollout_ros.ui import text
from xrollout_ros.ui.keys import GONE
from xrollout_ros.ui.review_line import Line, asks_why, meta_of, moment_of

_NUMBER = re.compile(r"\d+([.,]\d*)?")


class Input(Protocol):
    """The keyboard."""

    def key(self) -> str:
        """The next key."""
        ...

    def line(self, prompt: str) -> str | None:
        """A line of text; None: nothing."""
        ...

    def forget(self) -> None:
        """Pass over what was typed until now."""
        ...


class Opener(Protocol):
    """Shows an episode in a viewer."""

    def open(self, episode_id: str, at_s: float | None = None, without_layers: Sequence[str] = ()) -> str:
        """Start it, at a moment or at the one that counts, without what layers say of it, and say what happened."""
        ...


class Session:
    """One reviewer's work in one terminal."""

    def __init__(
        self, reviews: Reviews, where: Sequence[Condition], console: Console, keys: Input, opener: Opener
    ) -> None:
        self._reviews, self._console, self._keys, self._opener = reviews, console, keys, opener
        self._line = Line(where)
        self._decided: list[str] = []
        self._reason = ""
        self._moment_s: float | None = None

    def run(self) -> int:
        """Show what waits until nothing does, or the reviewer quits; how many decisions stand."""
        wanted: str | None = None
        while True:
            waits = self._line.next(self._reviews, wanted)
            if waits is None:
                skipped = (
                    f" ({text.plural(len(self._line.passed), 'episode')} passed over)" if self._line.passed else ""
                )
                self._console.print(f"nothing waits for {self._reviews.author}{skipped}", style="green")
                return len(self._decided)
            try:
                case = self._reviews.case(waits.episode_id)
            except DataError as error:  # it was deleted at this moment
                self._console.print(str(error), style="yellow")
                self._line.passed.add(waits.episode_id)
                continue
            self._reason, self._moment_s = "", None
            self._show(case, waits)
            step = self._decide(case, waits)
            if step is None:
                return len(self._decided)
            wanted = step or None

    def _show(self, case: Case, waits: Waiting) -> None:
        screen.show_case(self._console, case, waits, self._line.left, meta_of(case.bag))
        self._keys.forget()  # what was typed before it was to be seen is no decision about it
        screen.show_keys(self._console)

    def _decide(self, case: Case, waits: Waiting) -> str | None:
        """Keys until something is decided.

        Returns:
            Empty: go on; an id: go on with this episode; None: quit.
        """
        while True:
            key = self._keys.key()
            if key in ("q", "esc", GONE):
                return None
            if key in ("n", "space", "right"):
                self._line.passed.add(case.episode_id)
                return ""
            if key in ("u", "backspace"):
                if (back := self._undo()) is not None:
                    return back
            elif key == "h":
                self._help()
            elif key == "r":
                self._ask_reason()
            elif key == "t":
                self._ask_moment(float(case.row["duration_s"]))
            elif key == "o":
                without = (LABELS_LAYER,) if case.sealed else ()
                self._console.print(self._opener.open(case.episode_id, moment_of(case), without), soft_wrap=True)
            elif self._say(case, key):
                return ""

    def _say(self, case: Case, key: str) -> bool:
        """Whether a key was a decision, which is in the journal then."""
        mode: str | None = None
        outcome = screen.OUTCOME_KEYS.get(key)
        if asks_why(key, case):
            mode = self._ask_mode(case, leave=key == "f")
            if mode is None:
                return False
        elif key.isdigit() and key in screen.MODE_KEYS:
            mode = screen.MODE_KEYS[key]
        elif outcome is None and key != "c":
            return False
        try:
            done = self._reviews.decide(
                case.episode_id, mode=mode or None, outcome=outcome, moment_s=self._moment_s, reason=self._reason
            )
        except XRolloutError as error:
            self._console.print(str(error), style="red")
            return False
        self._decided.append(case.episode_id)
        screen.show_done(self._console, done)
        return True

    def _ask_mode(self, case: Case, *, leave: bool) -> str | None:
        """A mode by its key; empty: none is said; None: back."""
        screen.show_modes(self._console, [each.mode for each in case.judgements])
        self._console.print("key of the mode" + ("; enter: failure, nobody knows why" if leave else "") + "; esc: back")
        while True:
            key = self._keys.key()
            if key in screen.MODE_KEYS and not (leave and screen.MODE_KEYS[key] in IN_SUCCESSES):
                return screen.MODE_KEYS[key]
            if leave and key == "enter":
                return ""
            if key in ("esc", "q", GONE, "backspace"):
                self._console.print("back", style="dim")
                return None

    def _undo(self) -> str | None:
        """Take this session's last decision back; the episode comes again."""
        if not self._decided:
            self._console.print("nothing of this session is left to undo; `xrollout review undo` goes further back")
            return None
        episode_id = self._decided[-1]
        try:
            self._reviews.undo(episode_id)
        except XRolloutError as error:
            self._console.print(str(error), style="red")
            return None
        self._decided.pop()
        self._console.print(f"took back what was said of {episode_id}", style="yellow")
        return episode_id

    def _ask_reason(self) -> None:
        said = self._keys.line("reason: ")
        if said is not None:
            self._reason = said
            self._console.print(f"reason of the next decision: {said or 'none'}", style="dim")

    def _ask_moment(self, duration_s: float) -> None:
        said = self._keys.line(f"moment, s since the start (0 to {duration_s:.2f}): ")
        if said is None:
            return
        moment_s = float(said.replace(",", ".")) if _NUMBER.fullmatch(said) else -1.0
        if 0 <= moment_s <= duration_s:
            self._moment_s = moment_s
            self._console.print(f"moment of the next decision: {moment_s:.2f} s", style="dim")
        else:
            self._console.print(f"{said!r} is no moment of it: give 0 to {duration_s:.2f}", style="red")

    def _help(self) -> None:
        screen.show_keys(self._console)
        self._console.print(
            "a digit says its mode at once; n leaves an episode undecided; a reason or moment belongs to the decision "
            "that follows"
        )
        screen.show_meanings(self._console)
