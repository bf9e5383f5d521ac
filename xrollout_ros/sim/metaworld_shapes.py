"""A Meta-World scene as a handful of shapes: arm, fingers, table, objects, goal."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from xrollout_ros.core.ports import Shape

_ARM = (
    "base", "right_arm_base_link", "right_l0", "right_l1", "right_l2", "right_l3", "right_l4", "right_l5",
    "right_l6", "right_hand", "hand",
)  # fmt: skip
_JOINTS = ("right_l1", "right_l2", "right_l3", "right_l4", "right_l5", "right_l6", "hand")
_FINGERS = (("finger_right", "rightclaw_it"), ("finger_left", "leftclaw_it"))
_FURNITURE = ("world", "tablelink", "RetainingWall", "base", "mocap")
_MAX_SCENE = 16

Color = tuple[float, float, float, float]

_RED = (0.55, 0.12, 0.12, 1.0)
_DARK = (0.15, 0.15, 0.15, 1.0)
_WOOD = (0.72, 0.66, 0.58, 1.0)
_GOAL = (0.1, 0.8, 0.2, 0.4)


class SceneShapes:
    """Reads the shapes of one scene from MuJoCo's model and data, which it never changes."""

    def __init__(self, env: Any) -> None:
        self._env = env
        model: Any = env.model
        self._arm = [model.body(name).id for name in _ARM]
        self._joints = [model.body(name).id for name in _JOINTS]
        self._constant = (Shape("table", "box", (0.0, 0.6, -0.027), size=(1.4, 0.8, 0.054), color=_WOOD),)
        geoms: list[tuple[str, int, Color]] = [(name, model.geom(geom).id, _DARK) for name, geom in _FINGERS]
        geoms += _scene_geoms(model)
        self._geoms = [(name, index, *_primitive(model, index), color) for name, index, color in geoms]
        self._indices = [index for _, index, _, _, _ in self._geoms]
        self._quaternion = np.zeros(4)

    def now(self) -> tuple[Shape, ...]:
        """The shapes as they are now, always in the same order and under the same names."""
        data = self._env.data
        arm = tuple(map(tuple, data.xpos[self._arm].tolist()))
        shapes = [*self._constant, Shape("arm", "line", (0.0, 0.0, 0.0), size=(0.05, 0.0, 0.0), color=_RED, points=arm)]
        for name, position in zip(_JOINTS, data.xpos[self._joints].tolist(), strict=True):
            shapes.append(Shape(f"joint/{name}", "sphere", tuple(position), size=(0.07, 0.07, 0.07), color=_RED))
        positions = data.geom_xpos[self._indices].tolist()
        turns = data.geom_xmat[self._indices]
        for (name, _, kind, size, color), position, turn in zip(self._geoms, positions, turns, strict=True):
            mujoco.mju_mat2Quat(self._quaternion, turn)
            w, x, y, z = self._quaternion.tolist()
            shapes.append(Shape(name, kind, tuple(position), (x, y, z, w), size, color))
        x, y, z = self._env._target_pos.tolist()
        shapes.append(Shape("goal", "sphere", (x, y, z), size=(0.04, 0.04, 0.04), color=_GOAL))
        return tuple(shapes)


def _scene_geoms(model: Any) -> list[tuple[str, int, Color]]:
    """Geoms of everything that is neither robot nor furniture, named by the outermost body they hang on."""
    found: dict[str, list[int]] = {}
    for index in range(model.ngeom):
        root = model.body(model.body_rootid[model.geom_bodyid[index]]).name
        if root not in _FURNITURE:
            found.setdefault(root, []).append(index)
    named: list[tuple[str, int, Color]] = []
    for root, indices in found.items():
        # Primitives show holes that the box round a mesh would hide; a thing made of meshes only gets the boxes.
        solid = [i for i in indices if model.geom_type[i] != mujoco.mjtGeom.mjGEOM_MESH] or indices
        for number, index in enumerate(solid):
            name = root if len(solid) == 1 else f"{root}/{number}"
            red, green, blue, opacity = (round(value, 3) for value in model.geom_rgba[index].tolist())
            named.append((name, index, (red, green, blue, max(opacity, 0.3))))
    return named[:_MAX_SCENE]


def _primitive(model: Any, index: int) -> tuple[str, tuple[float, float, float]]:
    """Kind and full extents, m, of the shape that stands for a geom."""
    a, b, c = model.geom_size[index].tolist()
    kind = model.geom_type[index]
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return "sphere", (2 * a, 2 * a, 2 * a)
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        return "cylinder", (2 * a, 2 * a, 2 * b)
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return "cylinder", (2 * a, 2 * a, 2 * (a + b))
    if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return "sphere", (2 * a, 2 * b, 2 * c)
    return "box", (2 * a, 2 * b, 2 * c)
