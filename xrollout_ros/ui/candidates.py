"""What the shell may complete a word to. Quick: no library of data or ROS is imported, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.episodes.catalog.columns import ALIASES
from xrollout_ros.episodes.paths import data_dir

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]
NEWEST = 50
"""Episodes that are offered at once."""


def names(found: Iterable[str], incomplete: str, *, or_file: bool = False) -> list[CompletionItem]:
    """Those that fit; files where none does, if one may stand there too."""
    from click.shell_completion import CompletionItem

    fitting = [CompletionItem(name) for name in found if name.startswith(incomplete)]
    return fitting or ([CompletionItem(incomplete, type="file")] if or_file else [])


def one_of(*words: str) -> Complete:
    """These words."""
    return lambda ctx, parameter, incomplete: names(words, incomplete)


def any_of(find: Callable[[], Iterable[str]]) -> Complete:
    """One of these."""
    return lambda ctx, parameter, incomplete: names(find(), incomplete)


def several_of(find: Callable[[], Iterable[str]], *, or_file: bool = False) -> Complete:
    """Names with commas between them."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, _ = incomplete.rpartition(",")
        taken = before.split(",")
        offered = (f"{before}{comma}{name}" for name in find() if name not in taken)
        return names(offered, incomplete, or_file=or_file and not comma)

    return complete


if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # which older versions of click do not subscript


class OneOf(_Type):
    """One of some values, which are found only when somebody asks: their home may take long to import."""

    name = "choice"

    def __init__(self, find: Callable[[], Iterable[str]]) -> None:
        """
        Args:
            find: the values.
        """
        self._find = find

    @property
    def _choice(self) -> click.Choice[str]:
        return click.Choice(list(self._find()))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if ctx is not None and ctx.resilient_parsing else self._choice.convert(value, param, ctx)

    def get_metavar(self, *args: Any, **kwargs: Any) -> str | None:  # which takes more from one version to the next
        return self._choice.get_metavar(*args, **kwargs)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return names(self._find(), incomplete)


class Words(_Type):
    """One of some words, which help and completion show; whoever takes it says what is allowed."""

    name = "word"

    def __init__(self, *words: str) -> None:
        """
        Args:
            words: those to show.
        """
        self.words = words

    def get_metavar(self, *args: Any, **kwargs: Any) -> str:
        return "|".join(self.words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return names(self.words, incomplete)


def outcomes() -> list[str]:
    """How an attempt may end."""
    from xrollout_ros.core.episode import Outcome

    return [each.value for each in Outcome]


def kinds() -> list[str]:
    """Why an attempt is made."""
    from xrollout_ros.core.episode import EpisodeKind

    return [each.value for each in EpisodeKind]


def modes() -> list[str]:
    """Failure modes that the rules know."""
    from xrollout_ros.mining.taxonomy import FailureMode

    return [each.value for each in FailureMode]


def operators() -> list[str]:
    """Who may operate."""
    from xrollout_ros.runtime.operators.sources import HUMAN, operator_ids

    return ["scripted", *HUMAN, *operator_ids()]


def faults() -> tuple[str, ...]:
    """What may go wrong in a simulated robot."""
    from xrollout_ros.sim.faults import FAULT_NAMES

    return tuple(FAULT_NAMES)


def engines() -> list[str]:
    """Inference engines."""
    from xrollout_ros.runtime.engines import ENGINES

    return list(ENGINES)


def generations() -> list[str]:
    """How rollouts may come about."""
    from xrollout_ros.sim.generation import GENERATIONS

    return list(GENERATIONS)


def controls() -> list[str]:
    """What may hold a policy while it acts."""
    from xrollout_ros.runtime.action_control import CONTROLS

    return list(CONTROLS)


def strategies() -> list[str]:
    """What of a run is kept."""
    from xrollout_ros.episodes.strategies import DESCRIPTIONS

    return list(DESCRIPTIONS)


def interpolations() -> list[str]:
    """How rows of a chunk are joined."""
    from xrollout_ros.core.action import Interpolation

    return [each.value for each in Interpolation]


def tasks(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped tasks, or a file."""
    from xrollout_ros.core.resources import task_ids

    return names(task_ids(), incomplete, or_file=True)


def robots(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shipped robots, or a file."""
    from xrollout_ros.core.resources import robot_ids

    return names(robot_ids(), incomplete, or_file=True)


def levels(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Environment levels, with what they are."""
    from click.shell_completion import CompletionItem

    from xrollout_ros.core.levels import MEANING

    return [CompletionItem(name, help=what) for name, what in MEANING.items() if name.startswith(incomplete)]


def starts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Named start distributions of the task that was named before."""
    from xrollout_ros.core.resources import load_task

    try:
        return names(load_task(str(ctx.params.get("task") or "")).starts, incomplete)
    except XRolloutError:
        return []


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def episodes(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Episodes whose id begins with this, the newest first; the one whose id ends with it; or the folder of a bag."""
    from click.shell_completion import CompletionItem

    if "/" in incomplete:
        return folders(ctx, parameter, incomplete)
    wanted = incomplete.upper()
    what = "SELECT episode_id, substr(started_at, 1, 16), task, outcome, failure_mode FROM episodes WHERE "
    # The plus keeps SQLite from the ids' index: it would have to sort all of them by their times.
    found = _asked(
        ctx, f"{what} +episode_id BETWEEN ? AND ? ORDER BY started_at DESC LIMIT ?", wanted, f"{wanted}~", NEWEST
    )
    if not found and wanted.isalnum():
        ending = _asked(ctx, f"{what} episode_id GLOB ? LIMIT 2", f"*{wanted}")
        found = ending if len(ending) == 1 else []
    return [
        CompletionItem(name, help=" ".join(filter(None, (at.replace("T", " "), *rest)))) for name, at, *rest in found
    ]


def episodes_or_file(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Episodes; files where none fits."""
    found = [] if "/" in incomplete else episodes(ctx, parameter, incomplete)
    return found or files(ctx, parameter, incomplete)


def episodes_then_tags(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """An episode, then tags that others have; tags alone where a filter chooses the episodes."""
    named = ctx.params.get("words") or ctx.params.get("where")
    return (recorded("tag") if named else episodes)(ctx, parameter, incomplete)


def recorded(column: str) -> Complete:
    """What the episodes have in a column of the catalog."""
    of, source = ALIASES.get(column, column), "episodes"
    if column == "tag":
        of, source = "json_each.value", "episodes, json_each(tags)"

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = _asked(ctx, f"SELECT DISTINCT {of} FROM {source} WHERE {of} != '' ORDER BY 1")
        return names((name for (name,) in found), incomplete)

    return complete


def _asked(ctx: click.Context, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the catalog of the data folder answers, as it is: it is neither begun nor brought up to date."""
    from xrollout_ros.episodes.catalog.api import FOLDER
    from xrollout_ros.episodes.catalog.live import FILE, SqliteStore

    file = Path(ctx.params.get("data") or data_dir()) / FOLDER / FILE
    if not file.is_file():
        return []
    try:
        store = SqliteStore(file, read_only=True)
    except XRolloutError:
        return []
    try:
        with store.read() as reading:
            return reading.rows(sql, values)
    except XRolloutError:
        return []
    finally:
        store.close()
