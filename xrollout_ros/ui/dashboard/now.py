"""The page *Now*: what the robot does, why, and what a person may do about it."""

from __future__ import annotations

from pathlib import Path

from nicegui import ui

from xrollout_ros.core.modes import Mode, Phase
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.runtime.monitor_model import ActionView, MonitorModel, ScoreView
from xrollout_ros.ui import text
from xrollout_ros.ui.dashboard.access import Role
from xrollout_ros.ui.dashboard.buttons import Buttons
from xrollout_ros.ui.dashboard.frame import GREY, MODE_COLOURS, OUTCOME_COLOURS, Facts, card, chart, page
from xrollout_ros.ui.dashboard.gauges import Gauge, Gauges
from xrollout_ros.ui.dashboard.live import HISTORY_S, Live
from xrollout_ros.ui.dashboard.scene import SceneCard
from xrollout_ros.ui.view import SHOWN_EVENTS, event_words, tag_words

PERIOD_S = 0.1
"""Between two looks of a page."""
CURVES_S, CAMERAS_S = 0.5, 2.0
CAMERA = "/camera"
"""Where pictures come from; a topic follows."""
LAST = 20
"""Attempts whose success is shown beside that of the run."""
NONE = {"show": False}
SILENT_S = 2.0
"""A graph that says nothing for longer is taken to be gone: heartbeats come five times a second."""


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
                    SceneCard(live)
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
        """Whether something is other than what was drawn; texts and values NiceGUI compares by itself."""
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
            self._action = Gauges()

    def _policy(self) -> None:
        with card("Policy"):
            self._policy_facts = Facts("policy", "engine", "inference", "queue", "discarded", "errors")
            self._scores = Gauges()

    def _curves(self) -> None:
        with card(f"Last {HISTORY_S:.0f} s"):
            self._chart = chart(
                {
                    "grid": {"left": 45, "right": 35, "top": 25, "bottom": 60},
                    "legend": {"bottom": 0, "type": "scroll", "textStyle": {"color": GREY}},
                    "xAxis": {"type": "time", "axisLabel": {"hideOverlap": True}},
                    "yAxis": [{"type": "value", "name": "ms"}, {"type": "value", "name": "score", "splitLine": NONE}],
                    "series": [],
                },
                "h-56",
            ).props('aria-label="Inference latency and scores over time"')

    def _events(self) -> None:
        with card("Safety and failures"):
            self._event_list = ui.column().classes("gap-1 w-full")

    def _recorder(self) -> None:
        with card("Recorder"):
            self._recorder_facts = Facts("state", "bag", "written", "lost", "ring", "disk", "error")

    def _nodes(self) -> None:
        with card("Nodes"):
            self._node_list = ui.row().classes("gap-2 flex-wrap")

    def _refresh(self) -> None:
        model = self._live.model()
        gone = not model.heard or model.waiting_s > SILENT_S
        self._quiet.set_visibility(gone)
        self._quiet_line.set_text(f"The graph has not been heard for {text.duration(model.waiting_s)}." if gone else "")
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
        self._mode.set_text(name)
        self._mode_box.style(f"background: {MODE_COLOURS[Mode.ESTOP if model.mode is None else model.mode]}")
        line = f"for {text.duration(model.mode_age_s)}" if model.mode is not None else "the supervisor was not heard"
        if model.operator:
            line += f" · {model.operator} is in control"
        self._mode_line.set_text(line)
        self._reason.set_text(model.reason)
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
            self._progress.set_visibility(bool(episode.total))
            self._progress.set_value(model.closed / episode.total if episode.total else 0)
        rate = success_rate(model.successes, model.counted)
        self._success.set_text(f"success {rate}" if model.counted else "no attempt yet")
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
        self._action.show([_of_action(each) for each in model.action])

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
        self._scores.show([_of_score(each) for each in model.scores])

    def _show_events(self, model: MonitorModel) -> None:
        lines = [(f"{text.duration(event.age_s)} ago", event_words(event)) for event in model.safety[:SHOWN_EVENTS]]
        lines += [("tag", ": ".join(tag_words(tag))) for tag in model.failures[:SHOWN_EVENTS]]
        if not self._changed("events", lines):
            return
        self._event_list.clear()
        with self._event_list:
            if not lines:
                ui.label("nothing yet").classes("opacity-75")
            for when, what in lines:
                with ui.row().classes("gap-2 no-wrap"):
                    ui.label(when).classes("opacity-75 whitespace-nowrap numbers")
                    ui.label(what)

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
            disk=f"{text.size(recorder.disk_free)} free",
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


def _of_action(each: ActionView) -> Gauge:
    share = (each.value - each.lower) / (each.upper - each.lower) if each.upper > each.lower else 0.5
    told = f"{each.value:.3g}{' ✂' if each.clipped else ''}"
    return Gauge(each.name, told, share, "orange-9" if each.clipped else "primary")


def _of_score(each: ScoreView) -> Gauge:
    if each.threshold is None:
        return Gauge(each.name, f"{each.value:.3g}", None)
    over = each.value > each.threshold
    told = f"{each.value:.3g} of {each.threshold:g}"
    return Gauge(each.name, told, each.value / each.threshold, "red-9" if over else "primary")
