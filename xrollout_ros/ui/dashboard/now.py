"""The page *Now*: what the robot does, why, and what a person may do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from nicegui import ui

from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.core.modes import Mode, Phase
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.runtime.monitor_model import MonitorModel
from xrollout_ros.ui import text
from xrollout_ros.ui.asking import ASKS, SURE_S, Ask
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.frame import MODE_COLOURS, OUTCOME_COLOURS, Facts, card, page
from xrollout_ros.ui.dashboard.live import HISTORY_S, Live

PERIOD_S = 0.1
"""Between two looks of a page."""
CURVES_S, CAMERAS_S = 0.5, 2.0
CAMERA = "/camera"
"""Where pictures come from; a topic follows."""
LAST, EVENTS = 20, 4
"""Attempts whose success is shown beside that of the run; newest events of each kind."""
GREY, NONE = "#808080", {"show": False}
SILENT_S = 2.0
"""A graph that says nothing for longer is taken to be gone: heartbeats come five times a second."""
_LOOKS = {
    "Take over": ("pan_tool", "blue-8"),
    "Hand back": ("smart_toy", "green-9"),
    "Hold": ("pause", "orange-10"),
    "Success": ("check", "green-9"),
    "Failure": ("close", "deep-orange-10"),
    "Save highlight": ("movie", "blue-grey-8"),
    "STOP": ("dangerous", "red-10"),
    "Reset stop": ("restart_alt", "blue-grey-8"),
}
"""Icon and colour of each button."""


class NowPage:
    """One page that somebody has open.

    Args:
        live: the graph.
        role: of whoever looks.
    """

    def __init__(self, live: Live, role: Role) -> None:
        self._live, self._role = live, role
        self._shown: dict[str, object] = {}
        with page("Now", role):
            self._silence()
            with ui.column().classes("w-full gap-3") as self._all:
                self._banner()
                if role is Role.ACT:
                    Buttons(live)
                with ui.element("div").classes("columns-1 md:columns-2 xl:columns-3 gap-3 w-full"):
                    self._attempt()
                    self._cameras()
                    self._command()
                    self._policy()
                    self._curves()
                    self._events()
                    self._recorder()
                    self._nodes()
        self._refresh()
        ui.timer(PERIOD_S, self._refresh)
        ui.timer(CURVES_S, self._draw)

    def _changed(self, name: str, value: object) -> bool:
        """Whether something is other than what the page has."""
        if name in self._shown and self._shown[name] == value:
            return False
        self._shown[name] = value
        return True

    def _silence(self) -> None:
        with ui.card().classes("w-full p-4 bg-amber-100 text-black").props('role="status"') as self._quiet:
            self._quiet_line = ui.label().classes("text-lg font-semibold")
            ui.label("Start a graph: xrollout up deploy model:=checkpoint.pt").classes("font-mono")
            ui.label("It must be in the same ROS_DOMAIN_ID, and on this machine unless discovery is opened.")

    def _banner(self) -> None:
        banner = ui.row().classes("w-full items-center gap-4 p-3 rounded text-white").props('role="status"')
        with banner as self._mode_box:
            self._mode = ui.label().classes("text-3xl font-bold")
            with ui.column().classes("gap-0"):
                self._mode_line = ui.label().classes("numbers")
                self._reason = ui.label()
                self._help = ui.label().classes("text-lg font-bold bg-white text-black px-2 rounded")

    def _attempt(self) -> None:
        with card("Attempt"):
            self._attempt_facts = Facts("attempt", "running", "task", "start", "robot", "outcome")
            self._progress = ui.linear_progress(0, show_value=False).props('aria-label="Attempts made"')
            self._success = ui.label().classes("text-xl font-semibold numbers")
            self._lately = ui.label().classes("numbers")
            self._dots = ui.row().classes("gap-1 flex-wrap").props('role="img"')

    def _cameras(self) -> None:
        with card("Cameras") as self._camera_card:
            self._camera_list = ui.column().classes("w-full gap-2")
        self._show_cameras()
        ui.timer(CAMERAS_S, self._show_cameras)

    def _show_cameras(self) -> None:
        topics = self._live.pictures.topics()
        if not self._changed("cameras", topics):
            return
        self._camera_card.set_visibility(bool(topics))
        self._camera_list.clear()
        with self._camera_list:
            for topic in topics:
                picture = ui.element("img").classes("w-full rounded").props(f'alt="What {topic} shows now"')
                picture.props(f"src={CAMERA}{topic}")
                ui.label(topic).classes("text-sm opacity-75")

    def _command(self) -> None:
        with card("Command"):
            self._command_facts = Facts("commands", "from")
            self._bars = ui.element("div").classes("facts numbers items-center")

    def _policy(self) -> None:
        with card("Policy"):
            self._policy_facts = Facts("policy", "engine", "inference", "queue", "discarded", "errors")
            self._scores = ui.element("div").classes("facts numbers items-center")

    def _curves(self) -> None:
        with card(f"Last {HISTORY_S:.0f} s"):
            self._chart = ui.echart(
                {
                    "animation": False,
                    "grid": {"left": 45, "right": 35, "top": 25, "bottom": 60},
                    "legend": {"bottom": 0, "type": "scroll", "textStyle": {"color": GREY}},
                    "xAxis": {"type": "time", "axisLabel": {"hideOverlap": True}},
                    "yAxis": [{"type": "value", "name": "ms"}, {"type": "value", "name": "score", "splitLine": NONE}],
                    "series": [],
                }
            ).classes("w-full h-56")

    def _events(self) -> None:
        with card("Safety and failures"):
            self._event_list = ui.column().classes("gap-1 w-full")

    def _recorder(self) -> None:
        with card("Recorder"):
            self._recorder_facts = Facts("state", "bag", "written", "lost", "ring", "disk free", "error")

    def _nodes(self) -> None:
        with card("Nodes"):
            self._node_list = ui.row().classes("gap-2 flex-wrap")

    def _refresh(self) -> None:
        model = self._live.model()
        gone = not model.heard or model.waiting_s > SILENT_S
        if self._changed("gone", (gone, round(model.waiting_s) if gone else 0)):
            self._quiet.set_visibility(gone)
            self._quiet_line.set_text(f"The graph has not been heard for {text.duration(model.waiting_s)}.")
            self._all.classes(add="opacity-50" if gone else "", remove="" if gone else "opacity-50")
        self._show_mode(model)
        self._show_attempt(model)
        self._show_command(model)
        self._show_policy(model)
        self._show_events(model)
        self._show_recorder(model)
        self._show_nodes(model)

    def _show_mode(self, model: MonitorModel) -> None:
        name = model.mode.name if model.mode is not None else "MODE UNKNOWN"
        if self._changed("mode", name):
            self._mode.set_text(name)
            colour = MODE_COLOURS[model.mode] if model.mode is not None else MODE_COLOURS[Mode.ESTOP]
            self._mode_box.style(f"background: {colour}")
        line = f"for {text.duration(model.mode_age_s)}" if model.mode is not None else "the supervisor was not heard"
        if model.operator:
            line += f" · {model.operator} is in control"
        if self._changed("mode line", line):
            self._mode_line.set_text(line)
        if self._changed("reason", model.reason):
            self._reason.set_text(model.reason)
        if self._changed("help", model.help_wanted):
            self._help.set_text(f"Help wanted: {model.help_wanted}")
            self._help.set_visibility(bool(model.help_wanted))

    def _show_attempt(self, model: MonitorModel) -> None:
        episode = model.episode
        if episode is not None:
            total = f" of {episode.total}" if episode.total else ""
            said = f" (said by {episode.outcome_source})" if episode.outcome_source else ""
            self._attempt_facts.show(
                attempt=f"{episode.number}{total}, {episode.phase.name.lower()}",
                running=f"{model.attempt_s:.1f} s" if episode.phase is Phase.RUNNING else "",
                task=f"{episode.task} ({episode.kind})",
                start=f"{episode.start}, seed {'none' if episode.seed is None else episode.seed}",
                robot=episode.robot,
                outcome=f"{episode.outcome}{said} {episode.outcome_reason}".strip(),
            )
            if self._changed("progress", (model.closed, episode.total)):
                self._progress.set_visibility(bool(episode.total))
                self._progress.set_value(model.closed / episode.total if episode.total else 0)
        counted = max(model.closed, model.successes)
        if self._changed("success", (model.successes, counted)):
            self._success.set_text(f"success {success_rate(model.successes, counted)}" if counted else "no attempt yet")
        last = model.recent[-LAST:]
        if self._changed("recent", last):
            won = sum(outcome == "success" for outcome in last)
            self._lately.set_text(f"last {len(last)}: {success_rate(won, len(last))}" if last else "")
            self._dots.clear()
            self._dots.props(f'aria-label="Outcomes, newest last: {", ".join(last)}"')
            with self._dots:
                for outcome in last:
                    dot = ui.element("div").classes("w-3 h-3 rounded-sm").tooltip(outcome)
                    dot.style(f"background: {OUTCOME_COLOURS[outcome]}")

    def _show_command(self, model: MonitorModel) -> None:
        source = model.command_source
        self._command_facts.show(
            commands=f"{model.command_rate_hz:.0f}/s",
            **{"from": "none heard" if source is None else source.name.lower()},
        )
        if self._changed("action names", tuple(each.name for each in model.action)):
            self._bars.clear()
            self._values: list[tuple[ui.linear_progress, ui.label]] = []
            with self._bars:
                for each in model.action:
                    ui.label(each.name)
                    with ui.row().classes("items-center gap-2 no-wrap w-full"):
                        bar = ui.linear_progress(0.5, show_value=False).props(f'aria-label="{each.name}"')
                        self._values.append((bar, ui.label().classes("w-20 text-right")))
        for (bar, label), each in zip(self._values, model.action, strict=True) if model.action else ():
            share = (each.value - each.lower) / (each.upper - each.lower) if each.upper > each.lower else 0.5
            if self._changed(f"action {each.name}", (round(share, 3), each.clipped)):
                bar.set_value(min(1.0, max(0.0, share)))
                bar.props(f"color={'orange-9' if each.clipped else 'primary'}")
                label.set_text(f"{each.value:.3g}{' ✂' if each.clipped else ''}")

    def _show_policy(self, model: MonitorModel) -> None:
        policy = model.policy
        if policy is None:
            self._policy_facts.show(policy="not heard")
            return
        self._policy_facts.show(
            policy=policy.policy_id or "none loaded",
            engine=policy.engine,
            inference=text.milliseconds(policy.latency_s),
            queue=f"{text.plural(policy.queue_left, 'action')} left",
            discarded=text.plural(policy.chunks_discarded, "chunk"),
            errors=f"{policy.errors}: {policy.last_error}" if policy.errors else "none",
        )
        if self._changed("score names", tuple(each.name for each in model.scores)):
            self._scores.clear()
            self._score_rows: list[tuple[ui.linear_progress, ui.label]] = []
            with self._scores:
                for each in model.scores:
                    ui.label(each.name)
                    with ui.row().classes("items-center gap-2 no-wrap w-full"):
                        bar = ui.linear_progress(0, show_value=False).props(f'aria-label="{each.name}"')
                        bar.set_visibility(each.threshold is not None)
                        self._score_rows.append((bar, ui.label()))
        for (bar, label), each in zip(self._score_rows, model.scores, strict=True) if model.scores else ():
            if self._changed(f"score {each.name}", round(each.value, 4)):
                if each.threshold is not None:
                    bar.set_value(min(1.0, max(0.0, each.value / each.threshold)))
                    bar.props(f"color={'red-9' if each.value > each.threshold else 'primary'}")
                of = f" of {each.threshold:g}" if each.threshold is not None else ""
                label.set_text(f"{each.value:.3g}{of}")

    def _show_events(self, model: MonitorModel) -> None:
        lines = []
        for event in model.safety[:EVENTS]:
            what = f"{event.check} ({event.severity}) {'began' if event.began else 'ended'}"
            lines.append((f"{text.duration(event.age_s)} ago", what, event.action_taken))
        lines += [
            ("tag", f"{tag.mode}{f' in {tag.stage}' if tag.stage else ''}", tag.evidence)
            for tag in model.failures[:EVENTS]
        ]
        if not self._changed("events", lines):
            return
        self._event_list.clear()
        with self._event_list:
            if not lines:
                ui.label("nothing yet").classes("opacity-75")
            for when, what, more in lines:
                with ui.row().classes("gap-2 no-wrap"):
                    ui.label(when).classes("opacity-75 whitespace-nowrap numbers")
                    ui.label(f"{what}{f': {more}' if more else ''}")

    def _show_recorder(self, model: MonitorModel) -> None:
        recorder = model.recorder
        if recorder is None:
            self._recorder_facts.show(state="not heard")
            return
        self._recorder_facts.show(
            state="recording" if recorder.recording else "closed",
            bag=Path(recorder.bag).name,
            written=f"{text.size(recorder.bytes_written)}, {text.plural(recorder.received, 'message')}",
            lost=str(recorder.lost),
            ring=f"the last {text.duration(recorder.ring_s)}",
            disk_free=text.size(recorder.disk_free),
            error=recorder.error or recorder.upload_error,
        )

    def _show_nodes(self, model: MonitorModel) -> None:
        nodes = [
            (node.name, node.lifecycle, node.restarts, round(node.heartbeat_age_s) if node.late else 0)
            for node in model.nodes
        ]
        nodes += [(name, "never heard", 0, -1) for name in model.missing]
        if not self._changed("nodes", nodes):
            return
        self._node_list.clear()
        with self._node_list:
            for name, state, restarts, late_s in nodes:
                late = f", silent for {late_s} s" if late_s > 0 else ""
                again = f", {text.plural(restarts, 'restart')}" if restarts else ""
                badge = ui.badge(f"{name}: {state}{late}{again}").classes("p-2")
                badge.props(f"color={'red-9' if late_s else 'blue-grey-8'}")

    def _draw(self) -> None:
        history = self._live.history
        if not history or not self._changed("drawn", history[-1].at_s):
            return
        names = [name for name, _ in history[-1].scores]
        series = [
            {
                "name": "inference", "type": "line", "showSymbol": False,
                "data": [[sample.at_s * 1e3, round(sample.latency_s * 1e3, 2)] for sample in history],
            }
        ]  # fmt: skip
        series += [
            {
                "name": name, "type": "line", "showSymbol": False, "yAxisIndex": 1,
                "data": [[sample.at_s * 1e3, round(dict(sample.scores).get(name, 0.0), 4)] for sample in history],
            }
            for name in names
        ]  # fmt: skip
        self._chart.run_chart_method("setOption", {"series": series})


class Buttons:
    """What a person may ask for."""

    def __init__(self, live: Live) -> None:
        self._live = live
        with ui.element("div").classes("grid grid-cols-2 sm:grid-cols-4 xl:grid-cols-8 gap-2 w-full"):
            for ask in ASKS:
                icon, colour = _LOOKS[ask.name]
                button = ui.button(ask.name, icon=icon).props(f"color={colour}").classes("w-full min-h-14")
                button.on_click(self._twice(ask, button) if ask.twice else partial(self._do, ask))

    def _twice(self, ask: Ask, button: ui.button) -> Callable[[], Awaitable[None]]:
        sure = False

        def back() -> None:
            nonlocal sure
            sure = False
            button.set_text(ask.name)

        async def pressed() -> None:
            nonlocal sure
            if sure:
                back()
                await self._do(ask)
                return
            sure = True
            button.set_text(f"{ask.name}: sure?")
            ui.timer(SURE_S, back, once=True)

        return pressed

    async def _do(self, ask: Ask) -> None:
        episode = self._live.model().episode
        try:
            said = await asyncio.to_thread(ask.do, self._live.actor, episode.episode_id if episode is not None else "")
        except XRolloutError as error:
            ui.notify(str(error), type="negative", timeout=10_000, close_button=True)
            return
        ui.notify(said, type="positive")
