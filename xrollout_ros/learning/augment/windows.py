"""Varies batches of windows, in the robot's units, on the CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.mirror import MirrorSpec, Reflection
from xrollout_ros.core.processors import Processor
from xrollout_ros.core.robot import RobotSpec
from xrollout_ros.learning.augment.inputs import Inputs
from xrollout_ros.learning.augment.moves import Room, Warp, leading, spread
from xrollout_ros.learning.augment.spec import AugmentSpec


class Augmenter:
    """Made by ``augment.make_augmenter``; holds no state, so that all randomness is the generator's.

    Raises:
        SpecError: see ``make_augmenter``.
    """

    def __init__(
        self, spec: AugmentSpec, robot: RobotSpec, mirror: MirrorSpec | None, processors: Sequence[Processor]
    ) -> None:
        inputs = Inputs(robot, processors)
        self._warp = _Pace(spec.time_warp, robot, inputs) if spec.time_warp > 1 else None
        self._astray = _Astray(spec.state_noise, robot, inputs) if spec.state_noise else None
        self._sensors = _Sensors(spec, robot, inputs) if any(spec.observation_noise.values()) else None
        self._slips = _Slips(spec.action_noise, robot) if spec.action_noise else None
        self._mirror = _Mirror(mirror, robot, inputs) if spec.mirror else None

    @torch.no_grad()
    def __call__(
        self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Varied states, actions and mask; what is given is not changed.

        Args:
            state: ``(B, I) float32``, what the policy sees.
            actions: ``(B, H, A) float32``.
            mask: ``(B, H) float32``, 1 where a row is real.
            generator: the only source of randomness.

        Returns:
            The same shapes. The mask differs where a window is played faster than data go on, or slower.
        """
        if self._warp is not None:
            actions, mask = self._warp(actions, mask, generator)
        else:
            actions = actions.clone()
        if self._astray is not None:
            state = self._astray(state, actions, mask, generator)
        if self._sensors is not None:
            state = self._sensors(state, generator)
        if self._slips is not None:
            self._slips(actions, mask, generator)
        if self._mirror is not None:
            state, actions = self._mirror(state, actions, mask, generator)
        return state, actions, mask


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator)


def _normal(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


class _Pace:
    """Plays windows at another pace."""

    def __init__(self, largest: float, robot: RobotSpec, inputs: Inputs) -> None:
        efforts = [dim.name for dim in robot.actions if dim.kind is ActionKind.EFFORT]
        if efforts:
            raise SpecError(
                f"augment.time_warp: what an effort ({', '.join(efforts)}) does depends on the pace", "Leave it out."
            )
        paced = [entry.name for entry in robot.observations if "/s" in entry.unit]
        told = inputs.remembers or ", ".join(paced)
        if told:
            raise SpecError(
                f"augment.time_warp: the policy sees the pace of the past ({told}), which would be another",
                "Leave it out, or train without these observations.",
            )
        self._most = math.log(largest)
        self._warp = Warp(robot)

    def __call__(self, actions: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        factor = ((2 * _uniform((len(actions), 1), generator) - 1) * self._most).exp()
        return self._warp(actions, mask, factor)


class _Moved(NamedTuple):
    """What the actions move, as far as the RobotSpec says."""

    places: list[int]
    """In the state vector."""
    deltas: list[int]
    """The actions that move them, one for each, where they are deltas; empty: positions, which say where to be."""
    scale: float
    """Units of the observation for one of a delta."""

    @classmethod
    def by(cls, robot: RobotSpec) -> _Moved:
        """The point of the RobotSpec's safety; without one, what measures positions."""
        point, slices = robot.safety.point, robot.state_slices()
        if point is not None and point.actions:
            names = [dim.name for dim in robot.actions]
            moves = [names.index(name) for name in point.actions]
            deltas = [place for place in moves if robot.actions[place].kind is ActionKind.DELTA]
            where = slices[point.observation]
            return cls(list(range(where.start, where.stop)), deltas, point.scale)
        measured = [dim.measured for dim in robot.actions if dim.kind is ActionKind.POSITION]
        return cls([slices[each.observation].start + each.index for each in measured if each is not None], [], 1.0)


class _Astray:
    """Puts the robot beside the demonstrated path, and lets the actions lead back to it.

    As in DART (Laskey et al. 2017, arXiv:1703.09327) the policy learns to recover from what noise did, but nothing has
    to be demonstrated for it: what undoes a displacement is known, since the RobotSpec says what the actions move. A
    position is where to be and stays as it is; deltas get the displacement's opposite, spread over the window.
    """

    def __init__(self, deviation: float, robot: RobotSpec, inputs: Inputs) -> None:
        moved = _Moved.by(robot)
        if not moved.places:
            shown = ", ".join(f"{dim.name} is a {dim.kind.value}" for dim in robot.actions)
            raise SpecError(
                f"augment.state_noise: robot {robot.id!r} does not say what its actions move ({shown})",
                "Name the point that deltas move (safety.point), or where positions are measured, in the RobotSpec "
                "that episodes are recorded with.",
            )
        displaced = inputs.displaced(moved.places, "augment.state_noise")
        self._moved = torch.tensor(deviation * displaced, dtype=torch.float32)
        self._room = Room(robot, moved.deltas) if moved.deltas else None
        self._back = -deviation / moved.scale

    def __call__(self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        """The state; the actions are changed in place."""
        noise = _normal((len(state), len(self._moved)), generator)
        if self._room is not None:
            taken = self._room.taken(actions)
            back = spread(taken, (noise * (self._back / self._room.half))[:, None], mask[..., None])
            self._room.add(actions, self._room.allowed(taken, back, mask))
        return torch.addmm(state, noise, self._moved)


class _Sensors:
    """Noise on what the actions do not move, as of an imprecise sensor."""

    def __init__(self, spec: AugmentSpec, robot: RobotSpec, inputs: Inputs) -> None:
        slices, moved = robot.state_slices(), _Moved.by(robot).places
        places: list[int] = []
        deviations: list[float] = []
        for name, deviation in spec.observation_noise.items():
            if name not in slices:
                raise SpecError(
                    f"augment.observation_noise names {name!r}, which robot {robot.id!r} does not observe",
                    f"It observes {', '.join(slices)}.",
                )
            here = range(slices[name].start, slices[name].stop)
            if spec.state_noise and set(here) & set(moved):
                raise SpecError(
                    f"augment.observation_noise names {name!r}, which state_noise is about", "Give one of the two."
                )
            places += here
            deviations += [deviation] * len(here)
        moved_by = inputs.displaced(places, "augment.observation_noise")
        self._moved = torch.tensor(np.array(deviations)[:, None] * moved_by, dtype=torch.float32)

    def __call__(self, state: Tensor, generator: torch.Generator) -> Tensor:
        return torch.addmm(state, _normal((len(state), len(self._moved)), generator), self._moved)


class _Slips:
    """One row of each window goes astray, and those after it make up for it; grippers stay as they are.

    Deltas and velocities take it back, so that their sum is what it was; positions say by themselves where to be next.
    """

    def __init__(self, share: float, robot: RobotSpec) -> None:
        efforts = [dim.name for dim in robot.actions if dim.kind is ActionKind.EFFORT]
        if efforts:
            raise SpecError(
                f"augment.action_noise: nothing says how to make up for an effort ({', '.join(efforts)})",
                "Leave it out.",
            )
        places = [place for place, dim in enumerate(robot.actions) if dim.kind is not ActionKind.GRIPPER]
        if not places:
            raise SpecError("augment.action_noise: the robot has no actions but grippers", "Leave it out.")
        summed = [robot.actions[place].kind is not ActionKind.POSITION for place in places]
        self._summed = torch.tensor(summed, dtype=torch.float32)
        self._room, self._deviation = Room(robot, places), 2 * share

    def __call__(self, actions: Tensor, mask: Tensor, generator: torch.Generator) -> None:
        """Changes the actions in place."""
        rows = leading(mask)
        row = (_uniform((len(actions), 1), generator) * (rows - 1)).floor()
        place = torch.arange(actions.shape[1])
        after = ((place > row) & (place < rows)).float()[..., None]
        here = (place == row).float()[..., None] * after.amax(1, keepdim=True)
        taken = self._room.taken(actions)
        mine = (taken * here).sum(1, keepdim=True)
        noise = self._deviation * _normal((len(actions), 1, taken.shape[2]), generator)
        slip = (mine + noise).clamp(-1, 1) - mine
        back = spread(taken, -slip * self._summed, after)
        # Where those after it cannot make up for all of it, it was less.
        slip = torch.lerp(slip, -back.sum(1, keepdim=True), self._summed)
        self._room.add(actions, self._room.allowed(taken, torch.addcmul(back, slip, here), mask))


class _Mirror:
    """Shows half of the windows in a mirror, except those whose actions would break a limit there."""

    def __init__(self, mirror: MirrorSpec | None, robot: RobotSpec, inputs: Inputs) -> None:
        if mirror is None:
            raise SpecError(
                "augment.mirror: the TaskSpec does not say what its attempts look like in a mirror",
                "Leave it out, or give the TaskSpec the section `mirror` (docs/specs.md).",
            )
        try:
            of_state = mirror.of_state({entry.name: entry.size for entry in robot.observations})
            of_action = mirror.of_action(robot.actions)
        except ValueError as error:
            raise SpecError(
                f"the TaskSpec's mirror does not fit robot {robot.id!r}: {error}", "Mend the TaskSpec."
            ) from error
        seen, added = inputs.mirrored(of_state)
        self._state = _Reflected(seen, added)
        self._action = _Reflected(of_action, np.zeros(robot.action_dim))
        self._room = Room(robot, list(range(robot.action_dim)))
        lower, upper = self._action(self._room.lower), self._action(self._room.upper)
        sides = torch.minimum(lower, upper) < self._room.lower, torch.maximum(lower, upper) > self._room.upper
        self._may_leave = bool((sides[0] | sides[1]).any())

    def __call__(
        self, state: Tensor, actions: Tensor, mask: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        chosen = _uniform((len(state), 1), generator) < 0.5
        mirrored = self._action(actions)
        if self._may_leave:
            out = (mirrored < self._room.lower) | (mirrored > self._room.upper)
            chosen &= ~(out.any(2) & (mask > 0)).any(1, keepdim=True)
        return torch.where(chosen, self._state(state), state), torch.where(chosen[..., None], mirrored, actions)


class _Reflected:
    """A reflection of the last axis."""

    def __init__(self, reflection: Reflection, added: npt.NDArray[np.float64]) -> None:
        source, factor = reflection
        self._source = None if (source == np.arange(len(source))).all() else torch.tensor(source)
        self._factor = torch.tensor(factor, dtype=torch.float32)
        self._added = torch.tensor(added, dtype=torch.float32) if added.any() else None

    def __call__(self, values: Tensor) -> Tensor:
        values = (values if self._source is None else values[..., self._source]) * self._factor
        return values if self._added is None else values + self._added
