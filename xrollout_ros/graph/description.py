"""The graph as data: its processes and their parameters. Both starters read it; it imports no ROS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from xrollout_ros.core.clock import SystemClock
from xrollout_ros.core.episode import CONTROL, DELAY_STEPS, RUN, TEMPERATURE, EpisodeKind
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.ids import new_id
from xrollout_ros.core.levels import check_level
from xrollout_ros.core.ports import Expert
from xrollout_ros.core.resources import full_path, load_robot, load_task
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.core.task import TaskSpec
from xrollout_ros.cycle.gates import check_gate, default_level
from xrollout_ros.cycle.robots import named_robot
from xrollout_ros.episodes import paths
from xrollout_ros.graph.arguments import (
    ARGUMENTS,
    Graph,
    argument_names,
    check_choice,
    positive_number,
    split_words,
    true_or_false,
    whole_number,
)
from xrollout_ros.graph.keeping import Value, keeping
from xrollout_ros.graph.starting import read_starts
from xrollout_ros.mining.labellers import load_labellers
from xrollout_ros.runtime.action_control import make_control
from xrollout_ros.runtime.engines import check_engine
from xrollout_ros.runtime.operators.sources import HUMAN
from xrollout_ros.runtime.operators.specs import load_operators
from xrollout_ros.runtime.operators.team import make_sources
from xrollout_ros.runtime.operators.terminal import own_terminal
from xrollout_ros.runtime.overrides import with_interpolation, with_level
from xrollout_ros.sim.faults import check_faults, faults_json, parse_faults
from xrollout_ros.sim.operators import make_expert
from xrollout_ros.sim.truth import FOLDER


@dataclass(frozen=True)
class Process:
    """One process of the graph."""

    name: str
    """Node name, and the name of its executable."""
    parameters: dict[str, Value] = field(default_factory=dict)
    managed: bool = True
    """Brought back by the starter; the end of one that is not is the end of the graph."""
    vital: bool = True
    """False: the graph goes on without it, when it dies again and again."""

    @property
    def module(self) -> str:
        """Python module that runs it."""
        return f"xrollout_ros.graph.nodes.{self.name}"


@dataclass(frozen=True)
class GraphDescription:
    """Everything that a starter needs."""

    graph: Graph
    processes: tuple[Process, ...]
    """In the order of bring-up; the manager, whose end ends the graph, is last."""
    robot: RobotSpec
    task: TaskSpec
    data: Path
    episodes: int
    """0: no end."""
    run: str
    """Its id, which each of its episodes names."""


def describe(graph: str, arguments: Mapping[str, str]) -> GraphDescription:
    """Check the arguments and describe the graph; nothing is started.

    Args:
        graph: ``deploy`` or ``record``.
        arguments: values by name; what is absent or empty takes its default.

    Raises:
        SpecError: an argument, robot or task is unknown or wrong.
        CheckpointError: the model is missing, unsafe, or made for another robot or task; or the calibration beside it
            is damaged or of another.
        BagError: the data folder cannot be written.
    """
    if graph not in ARGUMENTS:
        raise SpecError(f"unknown graph {graph!r}", f"Known are {', '.join(ARGUMENTS)}.")
    known: Graph = graph
    unknown = sorted(set(arguments) - set(argument_names(known)))
    if unknown:
        raise SpecError(
            f"unknown argument {', '.join(unknown)} of graph {graph!r}",
            f"Known are {', '.join(argument_names(known))}; give them as name:=value.",
        )
    given = {argument.name: arguments.get(argument.name) or argument.default for argument in ARGUMENTS[known]}
    usual = {argument.name: argument.default for argument in ARGUMENTS[known]}
    for name in ("start", "seed", "episodes") if given.get("starts") else ():
        if given[name] != usual[name]:
            raise SpecError(
                f"argument {name} is {given[name]!r}, and starts names the very starts to attempt",
                "Give one or the other.",
            )
    return {"deploy": _deploy, "record": _record, "flywheel": _flywheel}[known](given)


def _deploy(given: Mapping[str, str]) -> GraphDescription:
    from xrollout_ros.learning.calibration.sidecar import read_calibration
    from xrollout_ros.learning.compatibility import check_driver, check_robot, check_task
    from xrollout_ros.learning.metadata import read_bytes, read_meta, sha256

    if not given["model"]:
        raise SpecError("no model was given", "Give model:=checkpoint.pt; `xrollout train` makes one.")
    model = Path(given["model"]).expanduser().resolve()
    meta = read_meta(model)
    task = load_task(given["task"] or meta.task)
    robot = load_robot(given["robot"] or meta.robot)
    check_task(meta, task, model)
    check_robot(meta, robot, model)
    check_driver(meta, model)
    model_hash = sha256(read_bytes(model))
    read_calibration(model, model_hash)
    level = check_level(given["level"]) if given["level"] else default_level(robot)
    if (level == "L0") != (robot.sim is not None):
        raise SpecError(
            f"level {level}: robot {robot.id!r} is {'simulated' if robot.sim is not None else 'a real one'}",
            "L0 is simulation, L1 to L4 are of real robots.",
        )
    check_gate(robot, level, model, model_hash)
    with_level(robot, level)
    kinds = [EpisodeKind.ATTEMPT.value, EpisodeKind.EVALUATION.value]
    check_choice("kind", given["kind"], kinds)
    robot = with_interpolation(robot, given["interpolation"])
    check_engine(given["engine"])
    check_choice("device", given["device"], ["auto", "cpu", "cuda"])
    parameters: dict[str, Value] = {
        "model": str(model),
        "model_hash": model_hash,
        "engine": given["engine"],
        "device": given["device"],
        DELAY_STEPS: whole_number(DELAY_STEPS, given[DELAY_STEPS], 0),
        TEMPERATURE: positive_number(TEMPERATURE, given[TEMPERATURE]),
    }
    control = make_control(given[CONTROL])
    control.constrain(robot, task)
    acting = {CONTROL: control.name, **control.parameters, TEMPERATURE: parameters[TEMPERATURE]}
    manager: dict[str, Value] = {
        "model": str(model), "kind": given["kind"], "tags": given["tags"], DELAY_STEPS: parameters[DELAY_STEPS],
        "acting": json.dumps(acting), "level": level,
    }  # fmt: skip
    drivers = [Process("policy", parameters)]
    recovery = _recovery_model(given, robot)
    if recovery is not None:
        recovery_meta, recovery_hash = read_meta(recovery), sha256(read_bytes(recovery))
        check_robot(recovery_meta, robot, recovery)
        check_driver(recovery_meta, recovery)
        manager |= {"recovery_policy": recovery_meta.policy_id, "recovery_hash": recovery_hash}
        parameters = {**parameters, "model": str(recovery), "model_hash": recovery_hash, TEMPERATURE: 1.0}
        drivers.append(Process("recovery_policy", parameters))
    if given["operator"]:
        manager["operator"], teleop = _teleop(given, robot, task)
        drivers.append(teleop)
    return _assemble("deploy", given, robot, task, drivers, manager, 10)


def _recovery_model(given: Mapping[str, str], robot: RobotSpec) -> Path | None:
    """The checkpoint of the robot's learned recovery; None where it has none.

    Raises:
        SpecError: there is a model and no such recovery, or such a recovery and no model.
    """
    learned, model = robot.safety.learned, given["recovery_model"]
    if not learned and model:
        raise SpecError(
            f"recovery_model {model}: robot {robot.id!r} has no recovery of the kind 'learned'",
            "Add `- kind: learned` to safety.recoveries of its RobotSpec, or leave the argument out.",
        )
    if not learned:
        return None
    if model:
        return Path(model).expanduser().resolve()
    if not learned[0].model:
        raise SpecError(
            f"robot {robot.id!r} has the recovery 'learned', and no model for it",
            "Give recovery_model:=recovery.pt, or `model` in its entry in the RobotSpec.",
        )
    spec = Path(full_path(given["robot"]))
    folder = spec.parent if spec.suffix in (".yaml", ".yml") else Path.cwd()
    return (folder / Path(learned[0].model).expanduser()).resolve()


def _record(given: Mapping[str, str], *, bootstrap: bool = True) -> GraphDescription:
    if not given["task"]:
        raise SpecError("no task was given", "Give task:=pick_and_place; `xrollout record --help` says more.")
    task = load_task(given["task"])
    robot = load_robot(given["robot"] or task.robot)
    name, teleop = _teleop(given, robot, task)
    # Starts that somebody chose are no bootstrapping; the list says what they are.
    tags = ",".join(tag for tag in ("bootstrap" if bootstrap and not given["starts"] else "", given["tags"]) if tag)
    extra: dict[str, Value] = {
        "level": default_level(robot),
        "operator": name,
        "kind": EpisodeKind.DEMONSTRATION.value,
        "tags": tags,
    }
    return _assemble("record", given, robot, task, [teleop], extra, 8)


def _flywheel(given: Mapping[str, str]) -> GraphDescription:
    from xrollout_ros.cycle.place import DEFAULT, Place
    from xrollout_ros.cycle.recipe import load_recipe

    place = Place(Path(given["folder"] or DEFAULT).expanduser().resolve(), SystemClock())
    load_recipe(given["recipe"])
    deployed, model = place.deployed(), given["model"]
    if deployed is not None and model and Path(model).expanduser().resolve() != Path(deployed.policy.checkpoint):
        raise SpecError(
            f"model {model}: policy {deployed.policy.policy_id} is deployed in {place.root} already",
            "Leave model out, or give another folder.",
        )
    cycling: dict[str, Value] = {
        "flywheel": str(place.root),
        "recipe": full_path(given["recipe"]),
        "until_cycle": whole_number("until_cycle", given["until_cycle"], -1),
        "wait": true_or_false("wait", given["wait"]),
    }
    # Attempts are listed by the cycles; the operator demonstrates alone and is never on call.
    common = {**given, "start": "", "starts": "", "drive": "", "episodes": "0", "seed": "0", "strategy": "episodic"}
    model = model if deployed is None else deployed.policy.checkpoint
    robot = named_robot(given["robot"], Path(model) if model else None, given["task"])
    if robot is not None and robot.sim is None:
        raise SpecError(
            f"robot {robot.id!r} is a real one: its cycles wait for people",
            "`xrollout flywheel run` tells what is to be done, step by step; no graph is started for that.",
        )
    if model:
        usual = {argument.name: argument.default for argument in ARGUMENTS["deploy"]}
        made = _deploy({**usual, **common, "model": model})
    else:
        made = _record({**common, "tags": given["tags"]}, bootstrap=False)
    *others, manager = made.processes
    manager = replace(manager, parameters={**manager.parameters, **cycling})
    return replace(made, graph="flywheel", processes=(*others, manager))


def _teleop(given: Mapping[str, str], robot: RobotSpec, task: TaskSpec) -> tuple[str, Process]:
    """Name of the operator, and its process."""
    specs = load_operators(given["operator"])

    def scripted(name: str) -> Expert:
        return make_expert(name, robot, task)

    names = [source.name for source in make_sources(specs, robot, scripted)]
    terminal = own_terminal() if "keyboard" in names else ""
    words = ",".join(full_path(word.strip()) for word in given["operator"].split(","))
    return "+".join(names), Process("teleop", {"operator": words, "terminal": terminal})


def _assemble(
    graph: Graph,
    given: Mapping[str, str],
    robot: RobotSpec,
    task: TaskSpec,
    drivers: list[Process],
    manager: dict[str, Value],
    simulated_episodes: int,
) -> GraphDescription:
    simulated = robot.sim is not None
    people = any(spec.source in HUMAN for spec in load_operators(given["operator"])) if given["operator"] else False
    drive = given["drive"] or ("stepped" if simulated and not people else "real_time")
    check_choice("drive", drive, ["stepped", "real_time"])
    if drive == "stepped" and not simulated:
        raise SpecError(f"drive stepped: robot {robot.id!r} is not simulated", "Use drive:=real_time.")
    if drive == "stepped" and people:
        raise SpecError(
            f"drive stepped: simulated time does not wait for a person (operator {given['operator']})",
            "Use drive:=real_time, or operator:=scripted.",
        )
    start = given["start"] or task.default_start
    check_choice("start", start, sorted(task.starts))
    starts = read_starts(given["starts"])
    if starts is not None:
        starts.check(task, robot, given["starts"])
    cameras = true_or_false("camera", given["camera"])
    if cameras and not robot.cameras:
        raise SpecError(f"camera true: robot {robot.id!r} has no camera", "Leave it out.")
    kept = keeping(given, robot, cameras=cameras)
    faults = _faults(given.get("faults", ""), robot)
    load_labellers(split_words(given["labellers"]))
    data = paths.writable_data_dir(given["data"])
    episodes = whole_number("episodes", given["episodes"] or str(simulated_episodes if simulated else 0), 0)
    episodes = episodes if starts is None else len(starts)
    seed = whole_number("seed", given["seed"], 0)

    # Files are named by their full path: a node need not run in the folder of whoever starts it.
    common: dict[str, Value] = {
        "robot": full_path(given["robot"]) or robot.id,
        "task": full_path(given["task"]) or task.id,
        "drive": drive,
    }
    stored: dict[str, Value] = {"data": str(data)}
    processes = (
        [Process("sim_robot", {**common, "cameras": cameras, "private_log": str(data / FOLDER)})] if simulated else []
    )
    processes += [
        Process("recorder", {**common, **stored, "cameras": cameras, **kept.recorder}),
        Process(
            "supervisor",
            {
                **common,
                **{name: given.get(name, "") for name in ("interpolation", CONTROL)},
                "level": manager.get("level", "L0" if simulated else "L1"),
            },
        ),
        *(Process(driver.name, {**common, **driver.parameters}) for driver in drivers),
    ]
    if kept.strategy.keeps_attempts:
        processes.append(
            Process("tagger", {**common, **stored, "labellers": ",".join(split_words(given["labellers"]))})
        )
    managed, run = ",".join(process.name for process in processes), new_id()
    parameters: dict[str, Value] = {
        **common, **stored, **manager, **kept.manager, "nodes": managed, "start": start, "episodes": episodes,
        "seed": seed, "site": given["site"], "faults": faults, "starts": full_path(given["starts"]), RUN: run,
    }  # fmt: skip
    if kept.uploader:
        processes.append(Process("uploader", {**stored, **kept.uploader}, vital=False))
    processes.append(Process("manager", parameters, managed=False))
    return GraphDescription(graph, tuple(processes), robot, task, data, episodes, run)


def _faults(given: str, robot: RobotSpec) -> str:
    """As JSON; checked against the robot before anything is started."""
    faults = parse_faults(given)
    if not faults:
        return ""
    if robot.sim is None:
        raise SpecError(f"faults {given!r}: robot {robot.id!r} is a real one", "Faults are for simulated robots.")
    check_faults(faults, robot, movable=robot.sim.backend == "metaworld")
    return faults_json(faults)
