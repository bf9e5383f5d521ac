"""`xrollout query`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from xrollout_ros.core.errors import SpecError
from xrollout_ros.episodes.catalog.columns import ALIASES, PUBLIC
from xrollout_ros.episodes.catalog.filters import Condition
from xrollout_ros.episodes.catalog.query import DEFAULT_BY, Question
from xrollout_ros.episodes.layers import Layers, check_layer
from xrollout_ros.ui.candidates import several_of
from xrollout_ros.ui.console import output, print_json
from xrollout_ros.ui.epilog import epilog
from xrollout_ros.ui.filtering import conditions_of, filter_options
from xrollout_ros.ui.following import caught_up
from xrollout_ros.ui.options import data_option, json_option

if TYPE_CHECKING:
    import pyarrow as pa

    from xrollout_ros.episodes.catalog.api import Catalog

FORMATS = ("table", "json", "csv", "parquet")


_OF_GROUPS = (
    "by", "success_rate_lt", "success_rate_gt", "min_attempts", "max_attempts", "confidence", "picture",
)  # fmt: skip


def _layers(only: Iterable[str], without: Iterable[str]) -> Layers:
    chosen = frozenset(map(check_layer, only))
    return Layers(chosen or None, frozenset(map(check_layer, without)))


@click.command(
    epilog=epilog(
        "xrollout query --task pick_and_place --success-rate-lt 0.5 --min-attempts 10 --output failures.json",
        "xrollout query --by policy,failure --where outcome=failure,abort --where 'duration_s>10'",
        "xrollout query --by policy,start --picture rates.png",
        "xrollout query --episodes --failure never_reached --limit 20",
        'xrollout query --sql "SELECT failure_mode, count(*) FROM episodes GROUP BY ALL" --output modes.csv',
    )
)
@filter_options()
@click.option(
    "--by", metavar="COLUMN,…", shell_complete=several_of(lambda: (*ALIASES, *PUBLIC)),
    help=f"Group by these; none: one group.  [default: {','.join(DEFAULT_BY)}]",
)  # fmt: skip
@click.option("--success-rate-lt", type=float, metavar="RATE", help="Only groups that succeed less often.")
@click.option("--success-rate-gt", type=float, metavar="RATE", help="Only groups that succeed more often.")
@click.option(
    "--min-attempts", type=click.IntRange(min=0), default=1, show_default=True, help="Only groups with so many or more."
)
@click.option("--max-attempts", type=click.IntRange(min=0), help="Only groups with no more than so many.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of the Wilson interval.")
@click.option("--episodes", "listing", is_flag=True, help="List single episodes, the newest first, instead of groups.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Not more than so many.  [default: 100 listed here, else all]",
)
@click.option("--layer", multiple=True, metavar="LAYER", help="Only what was said in this layer, and by the bag.")
@click.option("--without-layer", multiple=True, metavar="LAYER", help="Without what was said in this layer.")
@click.option("--sql", metavar="SELECT", help="Ask DuckDB: one SELECT over `episodes` and `annotations`.")
@click.option("--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the answer there.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How it is written.  [default: by the file's extension, else table]",
)
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="Draw the rates as a heat map.")
@click.option("--columns", is_flag=True, help="List what can be asked for, and end.")
@data_option
@json_option
def query(
    data: Path, listing: bool, limit: int | None, sql: str | None, file: Path | None, form: str | None, as_json: bool,
    picture: Path | None, columns: bool, layer: tuple[str, ...], without_layer: tuple[str, ...], by: str | None,
    success_rate_lt: float | None, success_rate_gt: float | None, min_attempts: int, max_attempts: int | None,
    confidence: float, **filters: Any,
) -> None:  # fmt: skip
    """Ask the catalog which attempts succeed how often, or which episodes there are.

    Filters of one name add up: all must hold. Outcomes are those that hold now, later judgements included. An attempt
    counts if its outcome is known and it is neither a clip nor a demonstration; what an operator helped with is no
    success.
    """
    from xrollout_ros.ui import query_output

    if columns:
        if as_json:
            print_json(query_output.columns_json())
        else:
            query_output.show_columns(output())
        return
    form = query_output.form_of(file, form, as_json=as_json)
    conditions, layers = conditions_of(filters), _layers(layer, without_layer)
    if sql is not None and (listing or conditions):
        raise SpecError("--sql comes with filters or --episodes", "Say it all in the SELECT.")
    if sql is not None:
        _refuse("--sql", (*_OF_GROUPS, "limit"), "Say it all in the SELECT.")
    if listing:
        _refuse("--episodes", _OF_GROUPS, "That is of groups: leave --episodes out.")
    question = Question(
        where=conditions,
        by=DEFAULT_BY
        if by is None
        else tuple(name.strip() for name in by.split(",") if name.strip() not in ("", "none")),
        min_attempts=min_attempts,
        max_attempts=max_attempts,
        rate_lt=success_rate_lt,
        rate_gt=success_rate_gt,
        layers=layers,
        confidence=confidence,
        ids=form != "table",
    )
    with caught_up(data) as catalog:
        if sql is not None:
            _tell_table(catalog.sql(sql, layers), file, form)
        elif listing:
            shown = 100 if form == "table" and file is None else None
            _tell_episodes(catalog, conditions, limit or shown, layers, file, form)
        else:
            _tell_groups(catalog, question, limit, file, form, picture)


def _refuse(option: str, others: Sequence[str], remedy: str) -> None:
    """Refuse options that would be passed over.

    Raises:
        SpecError: one of them was given.
    """
    context = click.get_current_context()
    given = [name for name in others if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if given:
        raise SpecError(f"{option} comes with {', '.join('--' + name.replace('_', '-') for name in given)}", remedy)


def _tell_table(found: pa.Table, file: Path | None, form: str) -> None:
    from xrollout_ros.ui import query_output

    query_output.tell(query_output.Rows(found.column_names, found.to_pylist(), lambda: found), file, form, None, "row")


def _tell_episodes(
    catalog: Catalog, where: Sequence[Condition], limit: int | None, layers: Layers, file: Path | None, form: str
) -> None:
    from xrollout_ros.ui import query_output

    def arrow() -> pa.Table:
        return catalog.episodes(where, limit=limit, layers=layers)

    found = query_output.Rows(PUBLIC, catalog.listing(where, limit=limit, layers=layers), arrow)
    query_output.tell(found, file, form, query_output.EPISODE_COLUMNS, "episode")


def _tell_groups(
    catalog: Catalog, question: Question, limit: int | None, file: Path | None, form: str, picture: Path | None
) -> None:
    from xrollout_ros.ui import query_output

    groups = catalog.groups(question)[:limit]
    if form == "json":
        query_output.write_groups_json(catalog.data, question, groups, file)
    else:
        query_output.tell(query_output.group_rows(groups, question), file, form, None, "group")
    if not groups and form == "table":
        output().print(query_output.why_nothing(catalog, question), soft_wrap=True)
    if picture is not None:
        from xrollout_ros.ui.heat_map import draw

        draw(groups, question, picture)
        click.echo(f"wrote {picture}", err=True)
