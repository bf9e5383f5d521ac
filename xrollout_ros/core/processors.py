"""What is done to observations before a policy sees them, as data: a list of small steps.

The RobotSpec declares them, training stores them in the checkpoint, and from there on they belong to the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from xrollout_ros.core.document import Finite, Name, Positive, Strict

Size = Annotated[int, Field(ge=1, le=8192)]


@dataclass(frozen=True)
class Entry:
    """One named part of what a policy sees."""

    size: int
    unit: str


class Normalize(Strict):
    """``(value - mean) / scale``; an image is divided by 255 first and becomes float32."""

    kind: Literal["normalize"]
    observation: Name | None = None
    camera: Name | None = None
    mean: Finite | tuple[Finite, ...] = 0.0
    scale: Positive | tuple[Positive, ...] = 1.0

    @model_validator(mode="after")
    def _check(self) -> Normalize:
        if (self.observation is None) == (self.camera is None):
            raise ValueError("normalize wants either `observation` or `camera`")
        return self


class Reference(Strict):
    """A pose to be relative to."""

    position: Name
    orientation: Name | None = None


class RelativePose(Strict):
    """The pose as seen from a reference: where the attempt began, or another observation of the same moment."""

    kind: Literal["relative_pose"]
    position: Name
    orientation: Name | None = Field(default=None, description="quaternion x, y, z, w")
    reference: Literal["start"] | Reference = "start"
    keep: bool = Field(default=False, description="keep the originals, and add `<name>_relative`")


class Difference(Strict):
    """``of - minus`` as a further input: networks learn "between" slowly from two positions."""

    kind: Literal["difference"]
    name: Name
    of: Name
    minus: Name


class History(Strict):
    """The values of the last ``length`` ticks side by side, oldest first; before the first tick the first repeats."""

    kind: Literal["history"]
    observation: Name
    length: Annotated[int, Field(ge=2, le=64)]


class Crop(Strict):
    """A part of a camera's image."""

    kind: Literal["crop"]
    camera: Name
    x: Annotated[int, Field(ge=0)]
    y: Annotated[int, Field(ge=0)]
    width: Size
    height: Size


class Resize(Strict):
    """A camera's image in another size, interpolated between pixels (bilinear)."""

    kind: Literal["resize"]
    camera: Name
    width: Size
    height: Size


Processor = Annotated[Normalize | RelativePose | Difference | History | Crop | Resize, Field(discriminator="kind")]


def outcome(
    processors: Iterable[Processor], entries: Mapping[str, Entry], images: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, Entry], dict[str, tuple[int, int]]]:
    """What comes out of a list of steps.

    Args:
        processors: the steps, in order.
        entries: what goes in, by name.
        images: width and height of each camera's images.

    Returns:
        What comes out: entries in the order of the policy's input vector, and images.

    Raises:
        ValueError: a step names what is not there, or what does not fit.
    """
    state, pictures = dict(entries), dict(images)
    for place, step in enumerate(processors):
        where = f"processors[{place}] ({step.kind})"
        if isinstance(step, Crop | Resize) or (isinstance(step, Normalize) and step.camera is not None):
            _picture(step, pictures, where)
        else:
            _entry(step, state, where)
    return state, pictures


def _known(name: str, entries: Mapping[str, object], where: str, what: str) -> None:
    if name not in entries:
        raise ValueError(f"{where} names {what} {name!r}; there is {', '.join(entries) or 'none'}")


def _picture(step: Crop | Resize | Normalize, pictures: dict[str, tuple[int, int]], where: str) -> None:
    camera = step.camera or ""
    _known(camera, pictures, where, "camera")
    if isinstance(step, Crop):
        width, height = pictures[camera]
        if step.x + step.width > width or step.y + step.height > height:
            raise ValueError(
                f"{where} cuts [{step.x}, {step.x + step.width}) x [{step.y}, {step.y + step.height}) out of "
                f"{camera!r}, whose images are {width}x{height}"
            )
    if isinstance(step, Normalize):
        for values in (step.mean, step.scale):
            if isinstance(values, tuple) and len(values) not in (1, 3):
                raise ValueError(f"{where} has {len(values)} values for the channels of {camera!r}; give 1 or 3")
    else:
        pictures[camera] = (step.width, step.height)


def _entry(step: Processor, state: dict[str, Entry], where: str) -> None:
    if isinstance(step, Normalize) and step.observation is not None:
        _known(step.observation, state, where, "observation")
        size = state[step.observation].size
        for values in (step.mean, step.scale):
            if isinstance(values, tuple) and len(values) != size:
                raise ValueError(f"{where} has {len(values)} values for {step.observation!r}, which has {size}")
        state[step.observation] = Entry(size, "1")
    elif isinstance(step, Difference):
        for name in (step.of, step.minus):
            _known(name, state, where, "observation")
        if state[step.of] != state[step.minus]:
            raise ValueError(f"{where}: {step.of!r} and {step.minus!r} differ in size or unit")
        _new(step.name, state[step.of], state, where)
    elif isinstance(step, History):
        _known(step.observation, state, where, "observation")
        entry = state[step.observation]
        state[step.observation] = Entry(entry.size * step.length, entry.unit)
    elif isinstance(step, RelativePose):
        _pose(step, state, where)


def _pose(step: RelativePose, state: dict[str, Entry], where: str) -> None:
    poses = [(step.position, step.orientation)]
    if isinstance(step.reference, Reference):
        poses.append((step.reference.position, step.reference.orientation))
        if step.orientation is not None and step.reference.orientation is None:
            raise ValueError(f"{where}: an orientation cannot be relative to a reference that has none")
    for position, orientation in poses:
        for name, size in ((position, 3), (orientation, 4)):
            if name is None:
                continue
            _known(name, state, where, "observation")
            if state[name].size != size:
                raise ValueError(f"{where}: {name!r} has {state[name].size} values, a pose needs {size}")
    if step.keep:
        for given in (step.position, step.orientation):
            if given is not None:
                _new(f"{given}_relative", state[given], state, where)


def _new(name: str, entry: Entry, state: dict[str, Entry], where: str) -> None:
    if name in state:
        raise ValueError(f"{where} would make {name!r}, which there is already")
    state[name] = entry
