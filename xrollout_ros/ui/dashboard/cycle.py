"""The page *Cycle*: where the flywheel is, a comparison as it accumulates, which policies there were; by hand, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import ui

from xrollout_ros.core.errors import DataError
from xrollout_ros.cycle import by_hand
from xrollout_ros.cycle.machine import abandon
from xrollout_ros.cycle.record import CycleRecord, State
from xrollout_ros.cycle.reporting import convergence
from xrollout_ros.cycle.stages import MEANING
from xrollout_ros.ui import text
from xrollout_ros.ui.cycle_page import PAGE
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.buttons import tell, twice
from xrollout_ros.ui.dashboard.cycles import Course, Cycles, Seen
from xrollout_ros.ui.dashboard.frame import GREY, Facts, card, chart, hint, page, show_chart
from xrollout_ros.ui.dashboard.live import Live
from xrollout_ros.ui.flywheel_output import compared, ending, live_rate

LOOK_S, PROGRESS_S = 1.0, 0.2
REPORTS = "/cycle"
"""Where the reports of cycles are served: ``/cycle/3/report.html``."""
_ENDINGS = (State.PROMOTE, State.REJECT, State.INCONCLUSIVE, State.DONE)
_WAY = tuple(state for state in State if state not in _ENDINGS)


class CyclePage:
    """One who looks on.

    Args:
        cycles: the flywheel.
        live: the graph, which tells how far a step is.
        role: whether it has buttons.
    """

    def __init__(self, cycles: Cycles, live: Live, role: Role) -> None:
        self._cycles, self._live, self._acts = cycles, live, role is Role.ACT
        self._shown: Seen | None = None
        with page("Cycle", role):
            self._problem = ui.label().classes("text-lg").props('role="alert"')
            self._nothing = hint(
                "There is no flywheel in this folder yet.",
                f"xrollout flywheel run --model checkpoint.pt --folder {cycles.place.root}",
            )
            self._all = ui.column().classes("w-full gap-0")
            with self._all:
                self._make()
        ui.timer(LOOK_S, self._look)
        ui.timer(PROGRESS_S, self._progress)

    def _make(self) -> None:
        with card("Now"):
            self._head = ui.label().classes("text-xl font-semibold").props('role="status"')
            self._way = ui.row().classes("gap-1 w-full").props('role="list" aria-label="Steps of a cycle"')
            self._doing = ui.label().classes("numbers")
            self._bar = ui.linear_progress(0, show_value=False, size="0.9rem").props(
                'aria-label="Progress of this step"'
            )
            self._facts = Facts("for", "stage", "deployed did", "collected", "trained from", "why", "next step")
            self._running = ui.row().classes("gap-2")
            if self._acts:
                with self._running:
                    self._button("Stop after this step", "pause", "brown-8", self._stop)
                    self._button("Drop this cycle", "delete", "blue-grey-8", self._abandon)
        with card("New policy against the deployed one"):
            self._said = ui.label().classes("numbers")
            self._chart = chart(_chart(None))
        with card("Deployed"):
            self._policy = Facts("policy", "since", "why", "checkpoint", "before it")
            self._history = ui.column().classes("gap-0 opacity-80 text-sm")
            if self._acts:
                self._button("Take the one before back", "undo", "blue-grey-8", self._roll_back)
        with card("Success of what was deployed, cycle by cycle"):
            self._rates = chart(_rates([]), "h-56")
        with card("Cycles"):
            self._cycles_box = ui.column().classes("w-full gap-2")

    # --- looking --------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        seen = await self._cycles.look()
        if seen is self._shown:
            return
        self._shown = seen
        self._problem.set_text(seen.problem)
        there = seen.newest is not None or seen.deployed is not None
        self._nothing.set_visibility(not there and not seen.problem)
        self._all.set_visibility(there)
        if there:
            self._show(seen)

    def _progress(self) -> None:
        record, told = self._shown.newest if self._shown is not None else None, self._live.model().flywheel
        here = record is not None and told is not None and told.number == record.number and told.state == record.state
        self._doing.set_visibility(here)
        self._bar.set_visibility(here)
        if here and told is not None:
            of = f" {told.done} of {told.total}" if told.total else ""
            self._doing.set_text(f"{told.doing}{of}")
            self._bar.set_value(round(told.done / told.total, 3) if told.total else 0)

    def _show(self, seen: Seen) -> None:
        self._show_now(seen)
        course = seen.course
        self._said.set_text("nothing is compared yet" if course is None else _told(course))
        show_chart(self._chart, _chart(course), self._said.text)
        state = seen.deployed
        if state is not None:
            before = state.before.policy_id if state.before is not None else "none to go back to"
            self._policy.show(
                policy=state.policy.policy_id, since=text.moment(state.since), why=state.why,
                checkpoint=state.policy.checkpoint, **{"before it": before},
            )  # fmt: skip
            self._history.clear()
            with self._history:
                for line in reversed(state.history):
                    ui.label(line)
        deployed = convergence(seen.records)["deployed"]
        words = "; ".join(f"cycle {each['cycle']}: {each['successes']} of {each['trials']}" for each in deployed)
        show_chart(self._rates, _rates(deployed), f"Successes by cycle: {words or 'none yet'}")
        self._cycles_box.clear()
        with self._cycles_box:
            for record in reversed(seen.records):
                self._row(record, seen)

    def _show_now(self, seen: Seen) -> None:
        record = seen.newest
        if record is None:
            self._head.set_text("no cycle has begun")
            return
        self._head.set_text(f"Cycle {record.number}: {ending(record)}{_at_it(seen, record)}")
        self._way.clear()
        been = {each.state for each in record.transitions}
        last = record.state if record.state in _ENDINGS else None
        with self._way:
            for state in (*_WAY, *((last,) if last is not None else ())):
                here = state is record.state
                colour = "blue-8" if here else "green-9" if state in been else "blue-grey-6"
                step = ui.badge(state.value).props(f'color={colour} role="listitem"')
                if here:
                    step.props('aria-current="step"')
        self._running.set_visibility(record.state is not State.DONE)
        stopped = record.stop
        collected, curated = record.collected, record.curated
        self._facts.show(
            stage=f"{record.stage.value}: {MEANING[record.stage]}" if record.stage is not None else "",
            collected="" if collected is None else f"{collected.demonstrations} demonstrations, {collected.way}",
            why=stopped.reason if stopped is not None else record.reason,
            **{
                "for": record.target.replace("_", " "),
                "deployed did": live_rate(record),
                "trained from": "" if curated is None else f"{curated.episodes} episodes, {curated.rows} rows",
                "next step": stopped.next_step if stopped is not None else record.next_step,
            },
        )

    def _row(self, record: CycleRecord, seen: Seen) -> None:
        with ui.row().classes("w-full items-center gap-3 border-b border-slate-400/40 pb-2"):
            ui.label(str(record.number)).classes("text-lg font-bold w-6")
            with ui.column().classes("grow gap-0 min-w-0"):
                aim = f", for {record.target.replace('_', ' ')}" if record.target else ""
                ui.label(f"{ending(record)}{aim}").classes("font-semibold")
                parts = [text.moment(record.began_at), live_rate(record), compared(record)]
                ui.label(" · ".join(part for part in parts if part)).classes("numbers text-sm opacity-80")
            if (self._cycles.place.folder(record) / PAGE).is_file():
                ui.link("report", f"{REPORTS}/{record.number}/{PAGE}", new_tab=True)
            if self._acts and record.trained is not None and record.state is State.DONE:
                policy, deployed = record.trained.policy, seen.deployed
                if deployed is None or deployed.policy.checkpoint_hash != policy.checkpoint_hash:
                    name = f"Deploy the policy of cycle {record.number}"
                    self._button(name, "upgrade", "blue-grey-8", partial(self._promote, record.number))

    # --- acting ---------------------------------------------------------------------------------------------------

    def _button(self, name: str, icon: str, colour: str, do: Callable[[], str]) -> None:
        button = ui.button(name, icon=icon).props(f"color={colour}")
        button.on_click(twice(button, partial(tell, do)))

    def _stop(self) -> str:
        owner = self._cycles.place.owner()
        if owner is None:
            raise DataError("nobody runs the cycles of this flywheel", "`xrollout flywheel run` does.")
        self._cycles.place.ask_to_stop()
        return "it ends after the attempt or step that is under way; `xrollout flywheel run` goes on"

    def _abandon(self) -> str:
        with self._cycles.place.held():
            record = abandon(self._cycles.place, "dropped on the dashboard")
        return f"cycle {record.number} is abandoned; what was collected stays"

    def _roll_back(self) -> str:
        return f"policy {by_hand.roll_back(self._cycles.place, 'on the dashboard').policy.policy_id} is deployed again"

    def _promote(self, number: int) -> str:
        state = by_hand.promote(self._cycles.place, number, "on the dashboard")
        return f"policy {state.policy.policy_id} is deployed"


def _at_it(seen: Seen, record: CycleRecord) -> str:
    if record.state is State.DONE or record.stop is not None:
        return ""
    return f" (process {seen.owner} is at it)" if seen.owner is not None else " (nobody is at it)"


def _told(course: Course) -> str:
    now = course.e_values[-1] if course.e_values else 1.0
    most = max((1.0, *course.e_values))
    return (
        f"cycle {course.number}: {len(course.e_values)} of at most {course.most} pairs; e-value {now:.3g}, largest "
        f"{most:.3g}; at {course.bound:.3g} the new policy is shown to be better"
    )


def _chart(course: Course | None) -> dict[str, Any]:
    """E-value after each pair, on a logarithmic axis, and the bound that it must reach."""
    values, bound = (course.e_values, course.bound) if course is not None else ((), 20.0)
    return {
        "grid": {"left": 60, "right": 30, "top": 25, "bottom": 45},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "value", "name": "pairs of trials", "nameLocation": "middle", "nameGap": 26,
                  "min": 0, "max": max(course.most if course is not None else 1, len(values))},
        "yAxis": {"type": "log", "name": "e-value", "min": 0.01, "max": max(100.0, *(value * 2 for value in values))
                  if values else 100.0},
        "series": [
            {
                "type": "line", "step": "end", "showSymbol": False, "lineStyle": {"color": "#2563eb", "width": 2},
                "data": [[0, 1.0], *([number, max(value, 0.01)] for number, value in enumerate(values, 1))],
                "markLine": {
                    "symbol": "none", "silent": True, "lineStyle": {"color": "#15803d", "width": 2, "type": "dashed"},
                    "label": {"formatter": f"bound {bound:.3g}", "position": "insideEndTop", "color": GREY},
                    "data": [{"yAxis": bound}],
                },
            }
        ],
    }  # fmt: skip


def _rates(deployed: list[dict[str, Any]]) -> dict[str, Any]:
    """Success by cycle with its interval."""
    rates = [each["successes"] / each["trials"] if each["trials"] else 0.0 for each in deployed]
    return {
        "grid": {"left": 60, "right": 30, "top": 15, "bottom": 45},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "category", "name": "cycle", "nameLocation": "middle", "nameGap": 26,
                  "data": [str(each["cycle"]) for each in deployed]},
        "yAxis": {"type": "value", "min": 0, "max": 1},
        "series": [
            {"name": "success", "type": "line", "symbolSize": 9, "data": [round(rate, 3) for rate in rates],
             "lineStyle": {"color": "#2563eb"}, "itemStyle": {"color": "#2563eb"}},
            {"name": "95 % from", "type": "line", "data": [round(each["low"], 3) for each in deployed],
             "lineStyle": {"type": "dotted", "color": GREY}, "itemStyle": {"color": GREY}, "symbol": "none"},
            {"name": "95 % to", "type": "line", "data": [round(each["high"], 3) for each in deployed],
             "lineStyle": {"type": "dotted", "color": GREY}, "itemStyle": {"color": GREY}, "symbol": "none"},
        ],
    }  # fmt: skip
