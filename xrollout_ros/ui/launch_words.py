"""What the shell may complete the arguments of a graph to: names, then values (``model:=check`` …).

Tests hold the tables against the graphs' own arguments, whose module takes longer to import than a person may wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xrollout_ros.ui import candidates
from xrollout_ros.ui.arguments import SEPARATOR
from xrollout_ros.ui.candidates import Complete

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_TRUTH = candidates.one_of("true", "false")
_FREE = candidates.one_of()
"""Any number or text."""
_OPERATOR = candidates.several_of(candidates.operators, or_file=True)
_FAULTS = candidates.several_of(candidates.faults, or_file=True)
_DEVICE = candidates.one_of("auto", "cpu", "cuda")
_ENGINE = candidates.any_of(candidates.engines)
_COMMON: dict[str, Complete] = {
    "camera": _TRUTH,
    "correction_after": _FREE,
    "correction_before": _FREE,
    "corrections": _TRUTH,
    "data": candidates.folders,
    "highlight_after": _FREE,
    "labellers": _FREE,
    "reset_seconds": _FREE,
    "resume": _TRUTH,
    "ring_mib": _FREE,
    "ring_seconds": _FREE,
    "robot": candidates.robots,
    "site": _FREE,
    "tags": _FREE,
    "task": candidates.tasks,
    "upload": candidates.folders,
    "upload_mbit": _FREE,
}
_ATTEMPTS: dict[str, Complete] = {
    **_COMMON,
    "drive": candidates.one_of("stepped", "real_time"),
    "episodes": _FREE,
    "operator": _OPERATOR,
    "seed": _FREE,
    "start": candidates.starts,
    "starts": candidates.files,
    "strategy": candidates.any_of(candidates.strategies),
}
WORDS: dict[str, dict[str, Complete]] = {
    "deploy": {
        **_ATTEMPTS,
        "control": candidates.any_of(candidates.controls),
        "delay_steps": _FREE,
        "device": _DEVICE,
        "engine": _ENGINE,
        "faults": _FAULTS,
        "interpolation": candidates.any_of(candidates.interpolations),
        "kind": candidates.one_of("attempt", "evaluation"),
        "level": candidates.levels,
        "model": candidates.files,
        "recovery_model": candidates.files,
        "temperature": _FREE,
    },
    "record": _ATTEMPTS,
    "flywheel": {
        **_COMMON,
        "device": _DEVICE,
        "engine": _ENGINE,
        "faults": _FAULTS,
        "folder": candidates.folders,
        "model": candidates.files,
        "operator": candidates.one_of("scripted"),
        "recipe": candidates.files,
        "until_cycle": _FREE,
        "wait": _TRUTH,
    },
}
"""By graph and argument."""


def launch_arguments(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Arguments of the graph that are not given yet, or values of the one that is begun."""
    words = WORDS.get(str(ctx.params.get("graph")), {})
    given = dict(word.split(SEPARATOR, 1) for word in ctx.params.get("arguments") or () if SEPARATOR in word)
    name, separator, begun = incomplete.partition(SEPARATOR)
    if not separator:
        return candidates.names((each + SEPARATOR for each in sorted(words) if each not in given), incomplete)
    ctx.params |= given  # a value may depend on another: starts are a task's
    found = words[name](ctx, parameter, begun) if name in words else []
    for each in found:
        if each.type == "plain":
            each.value = f"{name}{SEPARATOR}{each.value}"
    return found
