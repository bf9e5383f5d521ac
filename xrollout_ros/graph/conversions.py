"""Between the runtime's types and the graph's messages."""

from __future__ import annotations

import array
import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from xrollout.msg import ActionChunk as ActionChunkMsg
from xrollout.msg import Command as CommandMsg
from xrollout.msg import SafetyEvent as SafetyEventMsg
from xrollout.msg import TeleopCommand as TeleopCommandMsg
from xrollout_ros.core.chunk import ActionChunk, Command, OperatorAction, SafetyEvent
from xrollout_ros.core.clock import NS, Clock
from xrollout_ros.core.fields import stamp_ns
from xrollout_ros.core.modes import Request, Severity
from xrollout_ros.core.ports import Shape


def time_msg(ns: int) -> Time:
    """Nanoseconds as a ``builtin_interfaces/Time``."""
    return Time(sec=ns // NS, nanosec=ns % NS)


def chunk_to_msg(chunk: ActionChunk, sent_ns: int = 0) -> ActionChunkMsg:
    """An action chunk as a message; ``sent_ns`` is the wall clock's time now."""
    return ActionChunkMsg(
        stamp=time_msg(chunk.stamp_ns),
        episode_id=chunk.episode_id,
        policy_id=chunk.policy_id,
        sequence=chunk.sequence,
        step=chunk.step,
        start=time_msg(chunk.start_ns),
        period_s=chunk.period_ns / NS,
        action_dim=chunk.actions.shape[1],
        data=array.array("f", np.ascontiguousarray(chunk.actions, dtype=np.float32).tobytes()),
        prefix_length=chunk.prefix_length,
        observed=time_msg(chunk.observed_ns),
        sent=time_msg(sent_ns),
        inference_s=chunk.inference_s,
        score_names=list(chunk.scores),
        score_values=list(chunk.scores.values()),
    )


def chunk_from_msg(msg: ActionChunkMsg) -> ActionChunk:
    """A message as an action chunk; a row that is not whole gives a shape that the checks refuse."""
    data = np.asarray(msg.data, dtype=np.float32)
    whole = msg.action_dim > 0 and data.size % msg.action_dim == 0
    return ActionChunk(
        msg.episode_id,
        msg.policy_id,
        msg.sequence,
        msg.step,
        stamp_ns(msg.stamp),
        stamp_ns(msg.start),
        round(msg.period_s * NS) if math.isfinite(msg.period_s) else 0,
        data.reshape(-1, msg.action_dim) if whole else data,
        msg.prefix_length,
        stamp_ns(msg.observed),
        0,
        msg.inference_s,
        dict(zip(msg.score_names, msg.score_values, strict=False)),
    )


def on_steady_clock(chunk: ActionChunk, clock: Clock) -> ActionChunk:
    """A chunk that has come now: its times are wall-clock stamps, the player runs on the steady clock."""
    wall_ns = clock.wall_ns()
    shift_ns = clock.steady_ns() - wall_ns
    return replace(chunk, start_ns=chunk.start_ns + shift_ns, stamp_ns=chunk.stamp_ns + shift_ns, accepted_ns=wall_ns)


def operator_to_msg(action: OperatorAction) -> TeleopCommandMsg:
    """An operator's action as a message."""
    return TeleopCommandMsg(
        stamp=time_msg(action.stamp_ns),
        episode_id=action.episode_id,
        step=action.step,
        operator_id=action.operator,
        action=action.action.tolist(),
        enabled=action.enabled,
        requests=[int(request) for request in action.requests],
        reason=action.reason,
    )


def operator_from_msg(msg: TeleopCommandMsg) -> OperatorAction:
    """A message as an operator's action."""
    action = np.asarray(msg.action, dtype=np.float64)
    known = {int(request) for request in Request}
    return OperatorAction(
        msg.episode_id,
        msg.operator_id,
        msg.step,
        stamp_ns(msg.stamp),
        action,
        msg.enabled,
        tuple(Request(number) for number in msg.requests if number in known),
        msg.reason,
    )


def command_to_msg(command: Command, stamp: int, late_s: float = 0.0) -> CommandMsg:
    """A command as a message.

    Args:
        command: the command.
        stamp: its time in ns since the epoch (the steady clock is not).
        late_s: real time: how long after its scheduled time it is sent.
    """
    return CommandMsg(
        stamp=time_msg(stamp),
        episode_id=command.episode_id,
        step=command.step,
        source=int(command.source),
        mode=int(command.mode),
        chunk_sequence=command.chunk_sequence,
        chunk_index=command.chunk_index,
        accepted=time_msg(command.accepted_ns),
        late_s=late_s,
        action=command.action.tolist(),
        help_wanted=command.help_wanted,
        recovery=command.recovery,
        clipped=command.clipped.tolist(),
    )


def event_to_msg(event: SafetyEvent, stamp: int) -> SafetyEventMsg:
    """A safety event as a message; ``stamp`` as for a command."""
    return SafetyEventMsg(
        stamp=time_msg(stamp),
        episode_id=event.episode_id,
        check=event.check,
        severity=int(event.severity),
        value=float(event.value),
        limit=float(event.limit),
        action_taken=event.action_taken,
        began=event.began,
    )


def event_from_msg(msg: SafetyEventMsg) -> SafetyEvent:
    """A message as a safety event."""
    return SafetyEvent(
        stamp_ns(msg.stamp),
        msg.episode_id,
        msg.check,
        Severity(msg.severity),
        msg.value,
        msg.limit,
        msg.action_taken,
        msg.began,
    )


_MARKERS = {"sphere": Marker.SPHERE, "box": Marker.CUBE, "cylinder": Marker.CYLINDER, "line": Marker.LINE_STRIP}


def scene_to_msg(shapes: Iterable[Shape], frame: str, stamp: int) -> MarkerArray:
    """The scene as markers that RViz and Foxglove draw."""
    markers = []
    for number, shape in enumerate(shapes):
        marker = Marker(ns=shape.name, id=number, type=_MARKERS[shape.kind], action=Marker.ADD)
        marker.header.frame_id = frame
        marker.header.stamp = time_msg(stamp)
        place, turn = marker.pose.position, marker.pose.orientation
        place.x, place.y, place.z = shape.position
        turn.x, turn.y, turn.z, turn.w = shape.orientation
        marker.scale.x, marker.scale.y, marker.scale.z = shape.size
        red, green, blue, opacity = shape.color
        marker.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
        for x, y, z in shape.points:
            point = type(place)(x=x, y=y, z=z)
            marker.points.append(point)
        markers.append(marker)
    return MarkerArray(markers=markers)
