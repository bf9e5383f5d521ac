"""Changes of action chunks that leave alone where the robot gets to, vectorized over a batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xrollout_ros.core.action import ActionKind
from xrollout_ros.core.robot import RobotSpec

LEAST = 1e-9
"""Keeps what nothing is divided by from being 0."""


def leading(mask: Tensor) -> Tensor:
    """Number of rows ``(B, 1)`` before the first that is padding, for a mask ``(B, H)``."""
    return mask.cumprod(1).sum(1, keepdim=True)


def selector(places: list[int]) -> slice | list[int]:
    """What picks these places of a tensor's last axis; a slice costs the least."""
    if places and places == list(range(places[0], places[-1] + 1)):
        return slice(places[0], places[-1] + 1)
    return places


class Room:
    """Which values some of the actions may have, and how far they may change from row to row.

    Args:
        robot: its limits.
        places: P of its actions.
    """

    def __init__(self, robot: RobotSpec, places: list[int]) -> None:
        self.places = selector(places)
        self.lower = torch.tensor(robot.lower[places], dtype=torch.float32)
        self.upper = torch.tensor(robot.upper[places], dtype=torch.float32)
        self.middle, self.half = (self.lower + self.upper) / 2, (self.upper - self.lower) / 2
        limits = robot.derivative_limits[:, places]
        period_s = 1 / robot.policy_rate_hz
        self._changes = [
            (order, torch.tensor(limit * period_s**order, dtype=torch.float32))
            for order, limit in enumerate(limits, start=1)
            if np.isfinite(limit).any()
        ]

    @property
    def limits_changes(self) -> bool:
        """Whether there is any limit of speed, acceleration or jerk."""
        return bool(self._changes)

    def taken(self, actions: Tensor) -> Tensor:
        """These of the actions ``(B, H, A)``, in units of half their range, from its middle: ``(B, H, P)``."""
        return (actions[..., self.places] - self.middle) / self.half

    def add(self, actions: Tensor, change: Tensor) -> None:
        """Add a change ``(B, H, P)`` in units of half the range to actions ``(B, H, A)``, in place."""
        actions[..., self.places] += change * self.half

    def allowed(self, taken: Tensor, change: Tensor, mask: Tensor) -> Tensor:
        """As much of a change ``(B, H, P)`` as keeps to the limits of speed, acceleration and jerk.

        Where the actions break one already, it is the change that must not add to it. Padding (0 in the mask
        ``(B, H)``) has no limits.
        """
        for order, limit in self._changes:
            if taken.shape[1] > order:
                before, more = taken.diff(order, 1), change.diff(order, 1)
                bound = torch.maximum(limit / self.half, before.abs())
                most = (torch.where(more > 0, bound, -bound) - before) / more
                free = (more == 0) | (mask[:, order:, None] == 0)
                change = change * torch.where(free, 1.0, most).amin(1, keepdim=True).clamp(0, 1)
        return change

    def keeps(self, actions: Tensor, changed: Tensor, mask: Tensor) -> Tensor:
        """``(B, 1, 1)``: whether changed actions ``(B, H, P)`` break no limit of speed, acceleration or jerk further.

        Padding (0 in the mask ``(B, H)``) has no limits.
        """
        kept = torch.ones(len(actions), 1, 1, dtype=torch.bool)
        for order, limit in self._changes:
            if actions.shape[1] > order:
                bound = torch.maximum(limit, actions.diff(order, 1).abs().amax(1, keepdim=True)) * (1 + 1e-5)
                inside = (changed.diff(order, 1).abs() <= bound) | (mask[:, order:, None] == 0)
                kept &= inside.all(2, keepdim=True).all(1, keepdim=True)
        return kept


def spread(taken: Tensor, total: Tensor, rows: Tensor) -> Tensor:
    """What to add to values ``(B, H, P)`` in [-1, 1] so that their sum over the rows grows by ``total (B, 1, P)``.

    Each row takes its part by how much it can take, so that what one cannot do others do. Where they cannot all
    together, the sum grows by less.

    Args:
        taken: see ``Room.taken``.
        total: what to add, all in all.
        rows: ``(B, H, 1)``, 1 where something may be added.
    """
    sign = total.sign()
    room = torch.addcmul(torch.ones(()), taken, sign, value=-1).clamp_min(0) * rows
    share = (total.abs() / (room.sum(1, keepdim=True) + LEAST)).clamp_max(1)
    return room * (share * sign)


class Warp:
    """Plays windows faster or slower.

    What is summed up (a delta, a velocity) passes through the same places at other times, positions too, a gripper's
    value is that of the nearest row. No window is played faster than limits admit, and none with a gap is changed.

    Args:
        robot: kinds and limits of its actions.
    """

    def __init__(self, robot: RobotSpec) -> None:
        def places(*kinds: ActionKind) -> list[int]:
            return [place for place, dim in enumerate(robot.actions) if dim.kind in kinds]

        self._summed = selector(places(ActionKind.DELTA, ActionKind.VELOCITY))
        self._between = selector(places(ActionKind.POSITION))
        self._nearest = selector(places(ActionKind.GRIPPER))
        self._room = Room(robot, list(range(robot.action_dim)))
        # A sum is played faster by larger values; the most that each can grow is to its limit.
        lower, upper = self._room.lower[self._summed], self._room.upper[self._summed]
        self._shares = tuple(torch.where(limit == 0, 0.0, 1 / limit) for limit in (lower, upper))

    def __call__(self, actions: Tensor, mask: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
        """Actions ``(B, H, A)`` and mask ``(B, H)``, played ``factor (B, 1)`` times as fast.

        Rows beyond what is known of the window are masked, and stay as they were.
        """
        rows = leading(mask)
        whole = rows == mask.sum(1, keepdim=True)
        factor = torch.where(whole, torch.minimum(factor, self._fastest(actions)), 1.0)
        row = torch.arange(actions.shape[1], dtype=actions.dtype)
        at = row * factor
        known = at <= rows - factor.clamp_min(1) + 1e-4
        warped = actions.clone()
        if self._summed != []:
            # Time that each new row shares with each old one.
            begin, end = torch.maximum(at[..., None], row), torch.minimum((at + factor)[..., None], row + 1)
            warped[..., self._summed] = (end - begin).clamp_min(0) @ actions[..., self._summed]
        if self._between != []:
            near = (1 - (at[..., None] - row).abs()).clamp_min(0)
            warped[..., self._between] = near @ actions[..., self._between]
        if self._nearest != []:
            nearest = at.round().long().clamp_max(actions.shape[1] - 1)
            mine = actions[..., self._nearest]
            warped[..., self._nearest] = mine.gather(1, nearest[..., None].expand(-1, -1, mine.shape[2]))
        warped = torch.minimum(torch.maximum(warped, self._room.lower), self._room.upper)
        changed = factor != 1
        if self._room.limits_changes:
            changed &= self._room.keeps(actions, warped, known)[..., 0]
        return torch.where((changed & known)[..., None], warped, actions), torch.where(
            changed, known.to(mask.dtype), mask
        )

    def _fastest(self, actions: Tensor) -> Tensor:
        """``(B, 1)``, at least 1: how much faster each window can be without a value beyond its limits."""
        if self._summed == []:
            return torch.full((len(actions), 1), torch.inf)
        mine = actions[..., self._summed]
        lower, upper = self._shares
        used = torch.maximum(mine * lower, mine * upper).amax((1, 2))
        return (1 / used.clamp(LEAST, 1))[:, None]
