"""The page *Failures*: how the policy fails, most costly first, and from which starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.answers import show_answer
from xrollout_ros.ui.dashboard.commands import Question
from xrollout_ros.ui.dashboard.frame import card, page
from xrollout_ros.ui.dashboard.maps import group_name, map_of_failures, maps_of_starts

_MOST_MEMBERS = 12


def failures_page(findings: Question, role: Role) -> None:
    """Make the page.

    Args:
        findings: what mining says.
        role: who looks.
    """
    with page("Failures", role):
        show_answer(findings, "reading the newest policy's attempts", _show)


def _show(found: Mapping[str, Any]) -> None:
    attempts, successes = found["attempts"], found["successes"]
    policies = ", ".join(found["policies"])
    ui.label(f"{found['task']} on {found['robot']}: {success_rate(successes, attempts)}").classes(
        "text-xl font-semibold"
    )
    ui.label(f"policy {policies}").classes("opacity-80")
    with card("Failures, the costliest first"):
        if not found["groups"]:
            ui.label("none of these attempts failed: harder starts show more (`xrollout up deploy start:=wide`)")
        for rank, group in enumerate(found["groups"], 1):
            _group(rank, group, found["trends"].get(group["mode"], {}))
    map_of_failures(found)
    if found["coverage"] is None:
        ui.label(f"No map of the starts: {found['why_no_coverage']}")
        return
    maps_of_starts(found["coverage"], "success")


def _group(rank: int, group: Mapping[str, Any], trend: Mapping[str, Any]) -> None:
    with ui.expansion(group=None).classes("w-full") as row:
        with row.add_slot("header"), ui.row().classes("w-full items-center gap-3"):
            ui.label(f"{rank}").classes("text-lg font-bold w-6")
            ui.label(group_name(group)).classes("text-lg grow")
            share = f"{group['frequency']:.0%} ({group['low']:.0%} to {group['high']:.0%})"
            ui.label(f"{len(group['members'])} attempts, {share}").classes("numbers")
        if trend:
            ui.label(f"{trend['words']}").classes("opacity-80")
        with ui.row().classes("gap-3 flex-wrap"):
            others = [member for member in group["members"] if member != group["medoid"]]
            ui.link(f"{group['medoid'][-8:]} (the most typical)", f"/episode/{group['medoid']}")
            for member in others[:_MOST_MEMBERS]:
                ui.link(member[-8:], f"/episode/{member}")
            if len(others) > _MOST_MEMBERS:
                ui.label(f"and {len(others) - _MOST_MEMBERS} more")
