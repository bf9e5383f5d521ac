"""How far a success classifier's labels are relied on, as the terminal and JSON show it."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.text import Text

from xrollout_ros.mining.success.checks import ClassifierStanding
from xrollout_ros.mining.success.rule import RuleState, Standing
from xrollout_ros.ui import text

STYLE = {
    RuleState.GATHERING: "yellow",
    RuleState.WIDEN: "green",
    RuleState.HOLD: "yellow",
    RuleState.RETRAIN: "red",
}


def show_standing(console: Console, each: ClassifierStanding) -> None:
    """The rule for one classifier: its state, why, and what to do next."""
    what = f"auto-labels of {each.task} on {each.robot}"
    if each.problem:
        console.print(Text.assemble(f"{what}: ", (each.problem, "red")), soft_wrap=True)
        return
    now, found = each.standing, each.standing.tally
    if not each.current:
        console.print(
            f"{what}, classifier {each.classifier}, an earlier one: {text.plural(found.labels, 'label')} in force, "
            f"{each.unverified} unverified" + ("; `xrollout label` replaces these" if each.unverified else ""),
            soft_wrap=True,
        )
        return
    state = (now.state.value, f"bold {STYLE[now.state]}")
    console.print(Text.assemble(f"{what}, classifier {each.classifier}: ", state), soft_wrap=True)
    console.print(
        f"  {text.plural(found.labels, 'label')}, {each.unverified} unverified; in the human sample {found.drawn}, of "
        f"these checked {found.checked}"
        + (f", undecided {found.undecided}" if found.undecided else "")
        + (f", {found.older} before these" if found.older else ""),
        soft_wrap=True,
    )
    for line in lines(now):
        console.print(f"  {line}", soft_wrap=True)


def lines(now: Standing) -> list[str]:
    """Why the rule says so, and what to do next."""
    found = now.tally
    said = [now.reason]
    if found.disagreed:
        said.append(
            f"{found.false_successes} said to be no success, {found.false_failures} said to be one; by its own word "
            f"{found.expected:.1%} of the checked labels would be wrong"
        )
    return [*said, f"→ {now.next_step}"]


def standing_json(each: ClassifierStanding) -> dict[str, Any]:
    """All of it."""
    if each.problem:
        return {"task": each.task, "robot": each.robot, "state": "damaged", "reason": each.problem}
    return {
        "task": each.task,
        "robot": each.robot,
        "classifier": each.classifier,
        "current": each.current,
        "unverified": each.unverified,
        **rule_json(each.standing),
    }


def rule_json(now: Standing) -> dict[str, Any]:
    """The rule's part of it."""
    found = now.tally
    return {
        "state": now.state.value,
        "reason": now.reason,
        "next_step": now.next_step,
        "human_sample": now.share,
        "disagreement": None if math.isnan(now.disagreement) else now.disagreement,
        "low": now.low,
        "high": now.high,
        "labels": found.labels,
        "drawn": found.drawn,
        "checked": found.checked,
        "agreed": found.agreed,
        "false_successes": found.false_successes,
        "false_failures": found.false_failures,
        "undecided": found.undecided,
        "older": found.older,
        "expected_disagreement": found.expected if found.checked else None,
    }
