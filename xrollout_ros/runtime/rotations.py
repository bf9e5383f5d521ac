"""Quaternions (x, y, z, w), as ROS writes them."""

from __future__ import annotations

import numpy as np

from xrollout_ros.core.chunk import Array


def unit(turn: Array) -> Array:
    """A quaternion (x, y, z, w) of length 1; one of zeros, which in ROS means "not given", is no turn at all."""
    length = float(np.linalg.norm(turn))
    return turn / length if length > 1e-9 else np.array([0.0, 0.0, 0.0, 1.0])


def upright(turn: Array) -> Array:
    """Of the two quaternions of one turn the one whose w is not negative, so that a turn has one value."""
    return -turn if turn[3] < 0 else turn


def multiply(first: Array, second: Array) -> Array:
    """Hamilton product of two quaternions (x, y, z, w)."""
    (ax, ay, az, aw), (bx, by, bz, bw) = first, second
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def rotate(turn: Array, vector: Array) -> Array:
    """A vector ``(3,)`` turned by a unit quaternion (x, y, z, w)."""
    axis = turn[:3]
    across = 2 * np.cross(axis, vector)
    return np.asarray(vector + turn[3] * across + np.cross(axis, across))
