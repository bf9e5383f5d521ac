"""The terminal view of a running graph: a pure function from what was observed to what is drawn."""

from __future__ import annotations

from pathlib import Path

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xrollout_ros.core.modes import Mode, Phase
from xrollout_ros.mining.statistics import success_rate
from xrollout_ros.runtime.monitor_model import FailureLine, MonitorModel, NodeHealth, SafetyLine
from xrollout_ros.ui import text

SLOW_TICK_S = 0.05
"""Half of what the supervisor may take to hold; a longer tick is worth a look."""
SHOWN_EVENTS = 4

_MODE_STYLE = {
    Mode.IDLE: "bold black on bright_black",
    Mode.AUTONOMOUS: "bold black on green",
    Mode.HOLD: "bold black on yellow",
    Mode.HANDOVER: "bold black on cyan",
    Mode.TELEOP: "bold white on blue",
    Mode.RECOVERING: "bold black on magenta",
    Mode.ESTOP: "bold white on red",
}
_OUTCOME_STYLE = {"success": "green", "failure": "red", "abort": "magenta", "unknown": "yellow"}


def render(model: MonitorModel) -> RenderableType:
    """Draw the model; readable from 80 columns on."""
    if not model.heard:
        return _waiting(model)
    parts: list[RenderableType] = [_headline(model), _attempt(model)]
    parts.append(_side_by_side(_control(model), _recorder(model)))
    parts.append(_nodes(model))
    if model.rates:
        parts.append(_rates(model))
    if model.safety or model.failures:
        parts.append(_events(model))
    return Group(*parts)


def lines(model: MonitorModel) -> str:
    """The same in one line, for output that is not a terminal."""
    if not model.heard:
        return f"waiting for {model.namespace}/… ({text.duration(model.waiting_s)})"
    parts = [model.mode.name if model.mode is not None else "mode unknown"]
    if model.episode is not None:
        total = f"/{model.episode.total}" if model.episode.total else ""
        parts.append(f"attempt {model.episode.number}{total} {model.episode.phase.name.lower()}")
        if model.episode.outcome:
            parts.append(model.episode.outcome)
    parts.append(f"success {model.successes}/{model.counted}")
    if model.help_wanted:
        parts.append(f"help wanted: {model.help_wanted}")
    parts.append(f"{model.command_rate_hz:.0f} commands/s")
    if model.policy is not None:
        parts.append(f"inference {text.milliseconds(model.policy.latency_s)}")
    if model.recorder is not None and model.recorder.lost:
        parts.append(f"{model.recorder.lost} messages lost")
    silent = [node.name for node in model.nodes if node.late]
    if silent or model.missing:
        parts.append("silent: " + ", ".join([*silent, *model.missing]))
    return " · ".join(parts)


def _waiting(model: MonitorModel) -> RenderableType:
    message = Text.assemble(
        (f"waiting for {model.namespace}/… — is a graph running?", "bold yellow"),
        "\nstart one with ",
        ("xrollout up deploy model:=checkpoint.pt", "bold"),
        f"\nnothing heard for {text.duration(model.waiting_s)} "
        "(the same ROS_DOMAIN_ID, and the same machine unless discovery is opened?)",
    )
    return Panel(message, title="xrollout monitor", border_style="yellow")


def _headline(model: MonitorModel) -> RenderableType:
    line = Text()
    if model.mode is None:
        line.append(" MODE UNKNOWN ", style="bold white on red")
        line.append(" the supervisor has not been heard")
        return line
    line.append(f" {model.mode.name} ", style=_MODE_STYLE[model.mode])
    line.append(f" for {text.duration(model.mode_age_s)}")
    if model.operator:
        line.append(f" · {model.operator} is in control", style="bold")
    if model.help_wanted:
        line.append(f" · help wanted: {model.help_wanted}", style="bold yellow")
    if model.reason:
        line.append(f" · {model.reason}")
    return line


def _attempt(model: MonitorModel) -> RenderableType:
    episode = model.episode
    rows = Table.grid(padding=(0, 1), expand=True)
    rows.add_column(no_wrap=True)
    rows.add_column(ratio=1)
    if episode is None:
        _row(rows, "attempt", Text("none yet", style="dim"))
    else:
        total = f" of {episode.total}" if episode.total else ""
        what = Text(f"{episode.number}{total}  {episode.phase.name.lower()}  ")
        if episode.outcome:
            what.append(episode.outcome, style=_OUTCOME_STYLE.get(episode.outcome, ""))
            what.append(f" (said by {episode.outcome_source})" if episode.outcome_source else "")
            what.append(f" {episode.outcome_reason}", style="dim")
        elif episode.phase is Phase.RUNNING:
            what.append("in progress", style="dim")
        _row(rows, "attempt", what)
        seed = "none" if episode.seed is None else str(episode.seed)
        _row(rows, "task", f"{episode.task} ({episode.kind}, start {episode.start}, seed {seed})")
        _row(rows, "robot", episode.robot)
        if episode.total:
            _row(rows, "progress", ProgressBar(total=episode.total, completed=model.closed, width=40))
    _row(rows, "success", str(success_rate(model.successes, model.counted)))
    return Panel(rows, title="attempt", title_align="left")


def _control(model: MonitorModel) -> RenderableType:
    rows = _facts()
    source = "none heard" if model.command_source is None else model.command_source.name.lower()
    _row(rows, "commands", f"{model.command_rate_hz:.1f}/s from {source}")
    policy = model.policy
    if policy is None:
        _row(rows, "policy", Text("not heard", style="dim"))
    else:
        _row(rows, "policy", f"{policy.policy_id or 'none loaded'} ({policy.engine})")
        _row(rows, "inference", text.milliseconds(policy.latency_s))
        _row(rows, "queue", text.plural(policy.queue_left, "action") + " left")
        if policy.chunks_discarded:
            _row(rows, "discarded", text.plural(policy.chunks_discarded, "chunk"))
        if policy.errors:
            _row(rows, "errors", Text(f"{policy.errors}: {policy.last_error}", style="red"))
    return Panel(rows, title="control", title_align="left")


def _recorder(model: MonitorModel) -> RenderableType:
    recorder = model.recorder
    rows = _facts()
    if recorder is None:
        _row(rows, "recorder", Text("not heard", style="dim"))
        return Panel(rows, title="recorder", title_align="left")
    state = Text("● recording", style="bold red") if recorder.recording else Text("○ closed", style="dim")
    _row(rows, "state", state)
    _row(rows, "bag", Text(Path(recorder.bag).name or "–", overflow="fold"))
    _row(rows, "written", f"{text.size(recorder.bytes_written)}, {recorder.received} messages")
    lost_style = "bold red" if recorder.lost else "green"
    _row(rows, "lost", Text(str(recorder.lost), style=lost_style))
    _row(rows, "ring", f"the last {text.duration(recorder.ring_s)}")
    _row(rows, "disk free", text.size(recorder.disk_free))
    if recorder.upload_queue >= 0:
        _row(rows, "to upload", text.plural(recorder.upload_queue, "bag"))
    if recorder.upload_error:
        _row(rows, "upload", Text(recorder.upload_error, style="bold yellow"))
    if recorder.error:
        _row(rows, "error", Text(recorder.error, style="bold red"))
    return Panel(rows, title="recorder", title_align="left")


def _nodes(model: MonitorModel) -> RenderableType:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    table.add_column("node", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("heartbeat", justify="right", no_wrap=True)
    table.add_column("up", justify="right", no_wrap=True)
    table.add_column("worst tick", justify="right", no_wrap=True)
    table.add_column("restarts", justify="right", no_wrap=True)
    for node in model.nodes:
        table.add_row(*_node(node), style="bold red" if node.late else None)
    for name in model.missing:
        table.add_row(Text(name), "never heard", "–", "–", "–", "–", style="bold red")
    return Panel(table, title="nodes", title_align="left")


def _node(node: NodeHealth) -> tuple[RenderableType, ...]:
    heartbeat = f"LATE {text.duration(node.heartbeat_age_s)}" if node.late else f"{node.heartbeat_age_s:.1f} s ago"
    tick = Text(text.milliseconds(node.worst_tick_s), style="yellow" if node.worst_tick_s > SLOW_TICK_S else "")
    restarts = Text(str(node.restarts), style="yellow" if node.restarts else "")
    return Text(node.name), Text(node.lifecycle), heartbeat, text.duration(node.uptime_s), tick, restarts


def _rates(model: MonitorModel) -> RenderableType:
    # Silence is no alarm here: events come when something happens. Who must not be silent has a heartbeat.
    cells = [
        Text.assemble(rate.topic, " ", (f"{rate.rate_hz:.0f} Hz", "bold" if rate.rate_hz else "dim"))
        for rate in model.rates
    ]
    return Panel(Columns(cells, padding=(0, 2)), title="topics", title_align="left")


def _events(model: MonitorModel) -> RenderableType:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True, style="dim")
    rows.add_column()
    for event in model.safety[:SHOWN_EVENTS]:
        style = "yellow" if event.began else "dim"
        _row(rows, f"{text.duration(event.age_s)} ago", Text(event_words(event), style=style))
    for failure in model.failures[:SHOWN_EVENTS]:
        what, evidence = tag_words(failure)
        _row(rows, "tag", Text.assemble((what, "red"), f": {evidence}"))
    return Panel(rows, title="safety and failures", title_align="left")


def event_words(event: SafetyLine) -> str:
    """A change of a safety check."""
    action = f": {event.action_taken}" if event.action_taken else ""
    return f"{event.check} ({event.severity.lower()}) {'began' if event.began else 'ended'}{action}"


def tag_words(tag: FailureLine) -> tuple[str, str]:
    """What went wrong, and why one thinks so."""
    return f"{tag.mode}{f' in {tag.stage}' if tag.stage else ''}", tag.evidence


def _facts() -> Table:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True, style="dim")
    rows.add_column(overflow="fold")
    return rows


def _row(rows: Table, label: str, value: RenderableType) -> None:
    """Add a line; a string is drawn as it is, so that a bracket in a message's text is not taken for markup."""
    rows.add_row(label, Text(value, overflow="fold") if isinstance(value, str) else value)


def _side_by_side(left: RenderableType, right: RenderableType) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(left, right)
    return grid
