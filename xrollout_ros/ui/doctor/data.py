"""Checks of the data folder: can it be written, fast enough, for long enough, and is what lies in it whole."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.episodes.catalog.api import FOLDER, Catalog
from xrollout_ros.episodes.records import Records, read_records
from xrollout_ros.ui import text
from xrollout_ros.ui.doctor.finding import Check, Finding, Subject, error, ok, skipped, warning

_SHOWN = 3
LEAST_BYTES = 2**30
"""Free space below which nobody should start, where no bag tells what one takes."""
LEAST_BAGS = 5
WANTED_BAGS = 100
_STATE_BYTES = 400
"""Of one message of state with all that XRollout records beside it, roughly."""


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above that is there."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def writable(subject: Subject) -> Iterator[Finding]:
    """The folder can be written, faster than the robot talks."""
    thing = f"data folder {subject.data}"
    folder = _existing(subject.data)
    remedy = "Mend its rights, free the disk, or name another (--data, XROLLOUT_DATA)."
    if not folder.is_dir():
        yield error(thing, f"{folder} is not a folder", "a folder", remedy)
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield error(thing, f"{folder} cannot be written by this user", "a writable folder", remedy)
        return
    try:
        rate = subject.machine.write_rate(folder)
    except OSError as problem:
        yield error(thing, f"{folder} cannot be written ({problem})", "a writable folder with free space", remedy)
        return
    needed = _needed_rate(subject.robot) if subject.robot is not None else 0.0
    value, allowed = f"writes {text.size(rate)}/s", f"{text.size(2 * needed)}/s, twice what the robot publishes"
    slower = "Record fewer cameras, smaller or compressed ones, or to a faster disk."
    if rate < needed:
        yield error(thing, value, allowed, slower)
    elif rate < 2 * needed:
        yield warning(thing, value, allowed, slower)
    else:
        yield ok(thing, value if subject.data.is_dir() else f"{value}; it will be made")


def _needed_rate(robot: RobotSpec) -> float:
    """Bytes/s that the robot's topics make, images uncompressed."""
    images = sum(camera.width * camera.height * 3 * camera.rate_hz for camera in robot.cameras)
    return images + _STATE_BYTES * (sum(entry.rate_hz for entry in robot.observations) + 4 * robot.control_rate_hz)


def space(subject: Subject) -> Iterator[Finding]:
    """There is room for many more bags like those that are there."""
    thing = f"disk of {subject.data}"
    _, free = subject.machine.disk_bytes(_existing(subject.data))
    remedy = "Free the disk, move old bags away, or name another folder (--data, XROLLOUT_DATA)."
    records = _records(subject)
    sizes = [record.bytes for record in records.records] if records is not None else []
    if not sizes:
        if free < LEAST_BYTES:
            yield error(thing, f"{text.size(free)} free", f"{text.size(LEAST_BYTES)} or more", remedy)
        else:
            yield ok(thing, f"{text.size(free)} free")
        return
    typical = statistics.median(sizes)
    bags = int(free / max(1.0, typical))
    value = f"{text.size(free)} free, room for {bags} bags of {text.size(typical)}"
    if bags < LEAST_BAGS:
        yield error(thing, value, f"{WANTED_BAGS} bags or more", remedy)
    elif bags < WANTED_BAGS:
        yield warning(thing, value, f"{WANTED_BAGS} bags or more", remedy)
    else:
        yield ok(thing, value)


def bags(subject: Subject) -> Iterator[Finding]:
    """Every bag can be read."""
    records = _records(subject)
    if records is None:
        yield skipped("bags", f"{subject.data} is not there yet")
        return
    for entry in records.unreadable[:_SHOWN]:
        torn = "torn" in entry.problem
        yield warning(
            f"bag {entry.path}",
            entry.problem,
            "closed, whole bags of XRollout",
            "The recorder mends it at its next start."
            if torn
            else "Move it out of the data folder, or end who writes.",
        )
    if len(records.unreadable) > _SHOWN:
        yield warning(
            "bags", f"{len(records.unreadable)} cannot be read", "none", "`xrollout episodes list` names them."
        )
    if not records.unreadable:
        lost = sum(record.lost for record in records.records)
        more = f", {text.plural(lost, 'message')} lost in them" if lost else ""
        yield ok("bags", f"{len(records.records)} whole{more}")


def journal(subject: Subject) -> Iterator[Finding]:
    """Every line of the journal can be read."""
    records = _records(subject)
    if records is None:
        yield skipped("journal", f"{subject.data} is not there yet")
        return
    for problem in records.journal_problems[:_SHOWN]:
        remedy = "What it said is lost: judge that attempt again, then delete the line."
        yield warning("journal", problem, "whole lines", remedy)
    if not records.journal_problems:
        yield ok("journal", "every line is whole")


def catalog(subject: Subject) -> Iterator[Finding]:
    """The catalog knows what lies on the disk, and nothing else."""
    if not (subject.data / FOLDER).is_dir():
        yield skipped("catalog", "there is none yet; the recorder or `xrollout query` begins it")
        return
    with Catalog(subject.data) as open_catalog:
        apart = open_catalog.disagreements()
    remedy = "`xrollout index` brings it in line; bags and journal hold everything."
    for found in apart[:_SHOWN]:
        yield warning("catalog", found, "as bags and journal have it", remedy)
    if len(apart) > _SHOWN:
        yield warning("catalog", f"{len(apart)} disagreements in all", "none", remedy)
    if not apart:
        yield ok("catalog", "agrees with bags and journal")


def _records(subject: Subject) -> Records | None:
    return read_records(subject.data) if subject.data.is_dir() else None


CHECKS = (
    Check("data folder", writable),
    Check("disk space", space),
    Check("bags", bags),
    Check("journal", journal),
    Check("catalog", catalog),
)
