"""The graph's description as ``launch_ros`` actions; only the files in ``launch/`` import this."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from launch import LaunchContext, LaunchDescription
from xrollout_ros.core.errors import XRolloutError
from xrollout_ros.graph.arguments import ARGUMENTS, Graph
from xrollout_ros.graph.description import GraphDescription, Process, describe
from xrollout_ros.graph.middleware import middleware
from xrollout_ros.graph.starter import FIRST_DELAY_S, RESTARTS_PER_MINUTE, only_one

_held = contextlib.ExitStack()


def launch_description(graph: Graph) -> LaunchDescription:
    """The same arguments, names and processes as ``xrollout up``."""
    arguments = [
        DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.help)
        for argument in ARGUMENTS[graph]
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_start, args=[graph])])


def _start(context: LaunchContext, graph: Graph) -> list[Any]:
    given = {argument.name: context.launch_configurations[argument.name] for argument in ARGUMENTS[graph]}
    try:
        description = describe(graph, given)
        _held.enter_context(only_one())
    except XRolloutError as error:
        # Raised as it is, launch prints a trace and hides the remedy.
        raise RuntimeError(str(error)) from None
    variables, warning = middleware()
    return [
        *(SetEnvironmentVariable(name, value) for name, value in variables.items()),
        *([LogInfo(msg=warning)] if warning else []),
        LogInfo(msg=f"its report, also at any later time: xrollout report {description.run} --data {description.data}"),
        *(_node(process) for process in description.processes),
        *_end_with_manager(description),
    ]


def _node(process: Process) -> Node:
    return Node(
        package="xrollout",
        executable=process.name,
        parameters=[process.parameters],
        output="screen",
        respawn=process.managed,
        respawn_delay=FIRST_DELAY_S,
        respawn_max_retries=RESTARTS_PER_MINUTE if process.managed else 0,
        sigterm_timeout="3.5",
        sigkill_timeout="0.5",
    )


def _end_with_manager(description: GraphDescription) -> list[Any]:
    def ended(event: ProcessExited, context: LaunchContext) -> list[Any] | None:
        name = event.process_name.rsplit("-", 1)[0]
        if name == "manager":
            reason = "the run is complete" if event.returncode == 0 else f"manager ended with {event.returncode}"
            return [EmitEvent(event=Shutdown(reason=reason))]
        if event.returncode and not context.is_shutdown:
            return [LogInfo(msg=f"{name} ended with {event.returncode}; starting it again")]
        return None

    handler: Callable[..., Any] = ended
    return [RegisterEventHandler(OnProcessExit(on_exit=handler))]
