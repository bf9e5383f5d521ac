"""An episode as a reviewer sees it in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.columns import Columns
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.episode import EpisodeMeta, Outcome, SafetyRecord
from xrollout_ros.core.modes import Severity
from xrollout_ros.mining.review.api import Case, Done
from xrollout_ros.mining.review.decisions import Decision
from xrollout_ros.mining.review.queue import Waiting
from xrollout_ros.mining.success.label import Label
from xrollout_ros.mining.taxonomy import MODES, FailureMode
from xrollout_ros.ui import text
from xrollout_ros.ui.facts import Facts

MODE_KEYS = dict(zip("123456789abcdefg", (mode.value for mode in FailureMode), strict=False))
"""Key: mode."""
OUTCOME_KEYS = {"s": Outcome.SUCCESS, "f": Outcome.FAILURE, "d": Outcome.UNKNOWN}
KEYS = (
    ("c", "confirm"),
    ("m", "mode"),
    ("s", "success"),
    ("f", "failure"),
    ("d", "unknown"),
    ("n", "next"),
    ("r", "reason"),
    ("t", "moment"),
    ("o", "open"),
    ("u", "undo"),
    ("h", "help"),
    ("q", "quit"),
)
_STYLE = {Outcome.SUCCESS: "green", Outcome.FAILURE: "red", Outcome.ABORT: "red", Outcome.UNKNOWN: "yellow"}


def show_case(console: Console, case: Case, waits: Waiting | None, left: int, meta: EpisodeMeta | None) -> None:
    """All that is known of an episode.

    Args:
        console: where to.
        case: the episode.
        waits: its place in the queue.
        left: how many wait after it.
        meta: what its bag says; None: the bag cannot be read.
    """
    console.print()
    console.rule(Text(f"{case.episode_id} · {text.plural(left, 'episode')} left after it"), align="left", style="dim")
    facts = Facts()
    for label, value in lines_of(case, waits, meta):
        facts.add(label, value)
    console.print(facts.table)


def lines_of(case: Case, waits: Waiting | None, meta: EpisodeMeta | None) -> Iterator[tuple[str, Text]]:
    """What a reviewer is to know of an episode, line by line: a label, empty where it goes on, and words.

    Args:
        case: the episode.
        waits: its place in the queue.
        meta: what its bag says; None: the bag cannot be read.
    """
    row, holds = case.row, case.holds
    if waits is not None:
        why = ", ".join(each.value for each in waits.why)
        yield "why", Text(why + ("; two reviewers are to see it" if waits.double else ""))
    place = " ".join(part for part in (row["scene"], row["start"]) if part)
    seed = "none" if row["seed"] is None else row["seed"]
    yield "task", Text(f"{row['task']} on {row['robot']}, {place}, seed {seed}")
    yield "policy", Text(row["policy_id"] or "none")
    when = text.moment(str(row["started_at"]))
    yield "recorded", Text(f"{when}, {row['kind']}, {row['duration_s']:.2f} s")
    said = f", said by {holds.source.value}" + (f": {holds.reason}" if holds.reason else "")
    yield "outcome", Text.assemble((holds.outcome.value, f"bold {_STYLE[holds.outcome]}"), said)
    for number, each in enumerate(case.judgements):
        where = f" in {each.stage}" if each.stage else ""
        head = (each.mode, "bold" if number == 0 else "")
        told = f"{where} at {each.moment_s:.2f} s, confidence {each.confidence:.2f}, {each.author}"
        yield "" if number else "said of it", Text.assemble(head, told)
        yield "", Text(each.evidence, style="dim")
    if case.hidden:
        yield "hidden", Text("what another reviewer has decided, until you have")
    if case.sealed:
        yield "hidden", Text("what a success classifier says, until you have decided")
    if holds.tags:
        yield "tags", Text(", ".join(holds.tags))
    for label, moment in _moments(meta):
        yield label, Text(moment)
    if meta is None:
        yield "bag", Text(f"{case.bag} cannot be read; what is shown is from the catalog", style="yellow")


def _moments(meta: EpisodeMeta | None) -> list[tuple[str, str]]:
    if meta is None:
        return []
    lines = [f"{span.operator} drove from {span.begin_s:.2f} s to {span.end_s:.2f} s" for span in meta.interventions]
    by_check: dict[tuple[str, Severity], list[SafetyRecord]] = {}
    for event in meta.safety_events:
        if event.began:
            by_check.setdefault((event.check, event.severity), []).append(event)
    for (check, severity), events in sorted(by_check.items(), key=lambda item: -item[0][1]):
        first, more = events[0], len(events) - 1
        again = f"; {more} times more until {events[-1].at_s:.2f} s" if more else ""
        value = f"{first.value:.4g}, allowed {first.limit:.4g}"
        lines.append(f"{check} ({severity.name.lower()}) at {first.at_s:.2f} s: {value}{again}")
    return [("" if number else "moments", line) for number, line in enumerate(lines)]


def show_keys(console: Console) -> None:
    """The keys, in a line or two that break between them."""
    lines = [Text()]
    for key, what in KEYS:
        part = Text.assemble((f" {key} ", "reverse"), f" {what}  ")
        if lines[-1] and len(lines[-1]) + len(part) > console.width:
            lines.append(Text())
        lines[-1].append_text(part)
    for line in lines:
        console.print(line, no_wrap=True)


def show_modes(console: Console, judgements: Sequence[str] = ()) -> None:
    """The modes with their keys; those that were said of the episode stand out."""
    shown = []
    for key, mode in MODE_KEYS.items():
        shown.append(Text.assemble((f" {key} ", "reverse"), (f" {mode}", "bold" if mode in judgements else "")))
    console.print(Columns(shown, padding=(0, 2), column_first=True))


def show_meanings(console: Console) -> None:
    """What each mode means."""
    rows = Table.grid(padding=(0, 2))
    for key, mode in MODE_KEYS.items():
        rows.add_row(Text(f" {key} ", style="reverse"), mode, Text(MODES[FailureMode(mode)].meaning, style="dim"))
    console.print(rows)


def in_words(decision: Decision) -> str:
    """A decision in a few words."""
    if decision.why is None:
        return decision.outcome.value
    return f"{decision.outcome.value}, {decision.why.mode} at {decision.why.moment_s:.2f} s"


def label_in_words(label: Label) -> str:
    """What a success classifier had said, for whoever has decided."""
    what = "was unsure" if label.outcome is None else f"had said {label.outcome.value}"
    return f"the success classifier {what} (probability of success {label.probability:.2f}); your word holds"


def show_done(console: Console, done: Done) -> None:
    """What was written."""
    console.print(Text.assemble(("✓ ", "green"), in_words(done.decision)))
    own = done.decision.why.mode if done.decision.why else done.decision.outcome.value
    for author, word in done.others.items():
        said = "the same" if word.label == own else word.label
        console.print(f"  {author} has said {said}; both are in the journal, and the last word holds", style="dim")
    if done.label is not None:
        console.print(f"  {label_in_words(done.label)}", style="dim")
