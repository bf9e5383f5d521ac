"""The arguments of the graphs, as ``ros2 launch`` and ``xrollout up`` take them, and what their values mean; no ROS."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from xrollout_ros.core.action import Interpolation
from xrollout_ros.core.episode import CONTROL, DELAY_STEPS, TEMPERATURE
from xrollout_ros.core.errors import SpecError
from xrollout_ros.graph.keeping import ARGUMENTS as KEEPING
from xrollout_ros.runtime.action_control import CONTROLS
from xrollout_ros.runtime.engines import DEFAULT_ENGINE, ENGINES
from xrollout_ros.sim.faults import FAULT_NAMES

Graph = Literal["deploy", "record", "flywheel"]


class Argument(NamedTuple):
    """One argument of a graph, as ``ros2 launch`` and ``xrollout up`` take it."""

    name: str
    default: str
    help: str


_COMMON = (
    Argument("robot", "", "RobotSpec id or YAML file; empty: the task's"),
    *(Argument(*argument) for argument in KEEPING),
    Argument("data", "", "folder of the bags; empty: XROLLOUT_DATA, else ./raw_rollouts"),
    Argument("start", "", "named start distribution of the task; empty: the task's default"),
    Argument(
        "starts",
        "",
        "the very starts to attempt, one after the other: start:seed,… or a JSON file (docs/collecting.md), which may "
        "be a plan of `xrollout mine`; instead of start, seed and episodes",
    ),
    Argument("drive", "", "stepped (simulation) or real_time; empty: stepped for a simulated robot"),
    Argument("camera", "false", "true: the robot's cameras are rendered, published and recorded"),
    Argument("site", "", "where this happens, kept with every episode"),
    Argument("labellers", "", "plug-ins that say why attempts failed besides the rules, comma-separated"),
    Argument("tags", "", "tags for every episode, comma-separated"),
)
ARGUMENTS: dict[Graph, tuple[Argument, ...]] = {
    "deploy": (
        Argument("model", "", "checkpoint to deploy (needed)"),
        Argument("task", "", "TaskSpec id or YAML file; empty: the checkpoint's"),
        Argument("episodes", "", "attempts to make, 0: each on request; empty: 10 in simulation, else 0"),
        Argument("seed", "1000", "seed of the first attempt's start; the next ones count up"),
        Argument("kind", "attempt", "attempt or evaluation"),
        Argument(
            "level",
            "",
            "environment level, L0 simulation to L4 production: limits get tighter, and a policy must have passed the "
            "gate of the level before; empty: L0 in simulation, else L1",
        ),
        Argument("recovery_model", "", "checkpoint of a robot's recovery `learned`; empty: as its RobotSpec says"),
        Argument("engine", DEFAULT_ENGINE, f"inference engine: {', '.join(ENGINES)}"),
        Argument("device", "auto", "where the policy is computed: cpu, cuda, or auto (cuda for a large network)"),
        Argument(
            "interpolation",
            "",
            f"between the rows of a chunk: {', '.join(each.value for each in Interpolation)}; empty: the robot's",
        ),
        Argument(
            "operator",
            "",
            "who may take over: keyboard, joy, leader, pose, scripted, several (joy,pedal) or a YAML file",
        ),
        Argument(
            "faults",
            "",
            f"what goes wrong in a simulated robot: {', '.join(FAULT_NAMES)}, several with their strengths "
            "(object_bump:0.05,action_noise) or a YAML file",
        ),
        Argument(
            CONTROL, "limits", f"what holds the policy while it acts: {', '.join(CONTROLS)}, with a number calm:0.5"
        ),
        Argument(TEMPERATURE, "1", "by which the noise of a flow policy is multiplied: above 1 it tries more"),
        Argument(DELAY_STEPS, "0", "simulated inference delay in policy steps (stepped drive)"),
        *_COMMON,
    ),
    "record": (
        Argument("task", "", "TaskSpec id or YAML file (needed)"),
        Argument("operator", "scripted", "who demonstrates: scripted, keyboard, joy, leader, pose, … or a YAML file"),
        Argument("episodes", "", "demonstrations to make, 0: each on request; empty: 8 in simulation, else 0"),
        Argument("seed", "0", "seed of the first attempt's start; the next ones count up"),
        *_COMMON,
    ),
    "flywheel": (
        Argument("model", "", "the first policy; empty: the one that is deployed, else one is trained first"),
        Argument("task", "", "TaskSpec id or YAML file; empty: the policy's"),
        Argument("folder", "", "folder of the flywheel: cycles, pyramid, what is deployed; empty: ./flywheel"),
        Argument("recipe", "", "YAML file that says what a cycle is made of; empty: the usual one"),
        Argument("until_cycle", "-1", "run cycles up to this number, then end; -1: when the action run_cycle asks"),
        Argument("wait", "false", "true: a cycle waits for attempts that others make, until a trigger begins it"),
        Argument("operator", "scripted", "who demonstrates: scripted"),
        Argument("engine", DEFAULT_ENGINE, f"inference engine: {', '.join(ENGINES)}"),
        Argument("device", "auto", "where the policy is computed: cpu, cuda, or auto (cuda for a large network)"),
        Argument("faults", "", "what goes wrong in a simulated robot, as for deploy"),
        *(each for each in _COMMON if each.name not in ("start", "starts", "drive", "strategy")),
    ),
}


def argument_names(graph: Graph) -> list[str]:
    """Names of a graph's arguments."""
    return [argument.name for argument in ARGUMENTS[graph]]


def split_words(given: str) -> list[str]:
    """The words of a comma-separated list, without empty ones."""
    return [word.strip() for word in given.split(",") if word.strip()]


def check_choice(name: str, value: str, allowed: list[str]) -> None:
    """Refuse a value that is not allowed.

    Raises:
        SpecError: naming the argument, the value, and what is allowed.
    """
    if value not in allowed:
        raise SpecError(f"argument {name} is {value!r}", f"Allowed are {', '.join(allowed)}.")


def whole_number(name: str, value: str, least: int) -> int:
    """A whole number from ``least``.

    Raises:
        SpecError: it is none.
    """
    try:
        number = int(value)
    except ValueError:
        number = least - 1
    if number < least:
        raise SpecError(f"argument {name} is {value!r}", f"Allowed is a whole number from {least}.")
    return number


def positive_number(name: str, value: str) -> float:
    """A finite number above 0.

    Raises:
        SpecError: it is none.
    """
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise SpecError(f"argument {name} is {value!r}", "Allowed is a number above 0.")
    return number


def true_or_false(name: str, value: str) -> bool:
    """What ``true`` or ``false`` means.

    Raises:
        SpecError: it is neither.
    """
    check_choice(name, value.lower(), ["true", "false"])
    return value.lower() == "true"
