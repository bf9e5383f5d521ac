"""What holds for each episode when only some layers count, as one DuckDB view. It says what ``effective`` says."""

from __future__ import annotations

from itertools import product

from xrollout_ros.episodes.catalog.columns import EPISODES, OVERRIDDEN, names
from xrollout_ros.episodes.layers import Layers

_FAILURE = {
    "failure_mode": ("mode", "VARCHAR", "''"),
    "failure_stage": ("stage", "VARCHAR", "''"),
    "failure_moment_s": ("moment_s", "DOUBLE", "NULL"),
    "failure_severity": ("severity", "DOUBLE", "NULL"),
    "failure_confidence": ("confidence", "DOUBLE", "NULL"),
    "failure_author": ("author", "VARCHAR", "''"),
}

_LATEST_OUTCOME = """arg_max(name, place) {only} AS {name}outcome,
                arg_max(json_extract_string(value, '$'), place) {only} AS {name}source,
                arg_max(reason, place) {only} AS {name}reason"""


def layer_test(layers: Layers) -> str:
    """Whether an annotation's layer counts, as SQL."""
    tests = ["TRUE"]
    if layers.only is not None:
        tests.append(f"layer IN ({', '.join(map(quoted, layers.only)) or 'NULL'})")
    if layers.without:
        tests.append(f"layer NOT IN ({', '.join(map(quoted, layers.without))})")
    return " AND ".join(tests)


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def layered_view(layers: Layers) -> str:
    """``CREATE VIEW layered_episodes``, over ``all_episodes`` and ``all_annotations``."""
    own = {name: f"coalesce(e.bag_{name}, e.{name})" for name in OVERRIDDEN}
    # People's words come before those of models.
    by_people = f"(coalesce(o.by_people, FALSE) OR {own['outcome_source']} = 'human')"
    said = {
        name: f"CASE WHEN {by_people} THEN o.own_{name} ELSE o.{name} END" for name in ("outcome", "source", "reason")
    }
    outcome = f"coalesce({said['outcome']}, {own['outcome']})"
    computed = {
        "outcome": outcome,
        "outcome_source": f"coalesce({said['source']}, {own['outcome_source']})",
        "outcome_reason": f"coalesce({said['reason']}, {own['outcome_reason']})",
        "tags": _tags(own["tags"]),
        "properties": f"CASE WHEN p.patch IS NULL THEN {own['properties']} "
        f"ELSE CAST(json_merge_patch(CAST({own['properties']} AS JSON), p.patch) AS VARCHAR) END",
        "attempt": _rule(outcome, success=False),
        "success": _rule(outcome, success=True),
    }
    for name, (key, kind, none) in _FAILURE.items():
        value = f"TRY_CAST(json_extract_string(f.judgement, '$.{key}') AS {kind})"
        computed[name] = f"CASE WHEN f.judgement IS NULL OR {outcome} = 'success' THEN {none} ELSE {value} END"
    columns = ", ".join(f"{computed[name]} AS {name}" if name in computed else f"e.{name}" for name in names(EPISODES))
    return f"""
        CREATE VIEW layered_episodes AS
        WITH said AS (SELECT * FROM all_annotations WHERE NOT retracted AND {layer_test(layers)}),
        outcomes AS (
            SELECT episode_id, bool_or(starts_with(author, 'human:')) AS by_people,
                {_LATEST_OUTCOME.format(name="", only="")},
                {_LATEST_OUTCOME.format(name="own_", only="FILTER (NOT starts_with(author, 'model:'))")}
            FROM said WHERE kind = 'outcome' GROUP BY episode_id),
        judged AS (
            SELECT episode_id, json_extract_string(value, '$.author') AS judge,
                arg_max(value, place) AS judgement, min(place) AS begun
            FROM said WHERE kind = 'failure' GROUP BY ALL),
        failures AS (
            SELECT episode_id, first(judgement ORDER BY starts_with(judge, 'human:') DESC, begun) AS judgement
            FROM judged GROUP BY episode_id),
        latest AS (
            SELECT episode_id, kind, name, arg_max(coalesce(value, ''), place) AS value
            FROM said WHERE kind IN ('tag', 'property') GROUP BY ALL),
        tagged AS (
            SELECT episode_id, coalesce(list(name ORDER BY name) FILTER (value != ''), []) AS put,
                coalesce(list(name) FILTER (value = ''), []) AS taken
            FROM latest WHERE kind = 'tag' GROUP BY episode_id),
        properties AS (
            SELECT episode_id,
                json_group_object(name, CASE WHEN value = '' THEN 'null'::JSON ELSE value::JSON END) AS patch
            FROM latest WHERE kind = 'property' GROUP BY episode_id)
        SELECT {columns} FROM all_episodes e
        LEFT JOIN outcomes o USING (episode_id) LEFT JOIN failures f USING (episode_id)
        LEFT JOIN tagged t USING (episode_id) LEFT JOIN properties p USING (episode_id)
    """


def _tags(own: str) -> str:
    bag = f"from_json({own}, '[\"VARCHAR\"]')"
    kept = f"[x FOR x IN {bag} IF NOT list_contains(t.taken, x)]"
    more = f"[x FOR x IN t.put IF NOT list_contains({bag}, x)]"
    return f"CASE WHEN t.put IS NULL THEN {own} ELSE CAST(to_json(list_concat({kept}, {more})) AS VARCHAR) END"


def _rule(outcome: str, *, success: bool) -> str:
    """What counts, from the one place that knows, as a list of the cases that do."""
    # With pydantic, which questions about all layers do without.
    from xrollout_ros.core.episode import EpisodeKind, Outcome, Result, counts_in_rate

    cases = []
    for kind, each, helped in product(EpisodeKind, Outcome, (False, True)):
        attempt = counts_in_rate(kind, each)
        if attempt and (not success or Result(each, helped).success):
            cases.append(f"({quoted(kind.value)}, {quoted(each.value)}, {str(helped).upper()})")
    return f"(e.kind, {outcome}, e.helped) IN ({', '.join(cases)})"
