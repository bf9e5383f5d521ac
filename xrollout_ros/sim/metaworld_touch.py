"""Who touches whom in a Meta-World scene, and how to meddle with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from xrollout_ros.sim.truth import Truth

_PADS = ("leftpad", "rightpad")
_FINGERS = ("leftclaw", "rightclaw", *_PADS)
_HAND = ("hand", "right_hand", "right_l6", *_FINGERS)
_POSITION = slice(9, 12)
"""Of the object's free joint in ``qpos``, in every scene with one object."""


class Touch:
    """Looks at MuJoCo's contacts and changes friction and position of the one object."""

    def __init__(self, env: Any) -> None:
        """Find the geoms of fingers and object; a scene without a free object has none of the latter."""
        # Not with this module: MuJoCo chooses its OpenGL when it is imported (``rendering.choose_gl``).
        import mujoco

        self._contact_force = mujoco.mj_contactForce
        self._env = env
        model: Any = env.model
        body = model.geom_bodyid
        known = {model.body(index).name for index in range(model.nbody)}
        free = [joint for joint in range(model.njnt) if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE]
        self._object = np.isin(body, [model.jnt_bodyid[joint] for joint in free])
        self._pads = [body == model.body(name).id if name in known else np.zeros(len(body), bool) for name in _PADS]
        self._hand = np.isin(body, [model.body(name).id for name in _HAND if name in known])
        self._slippery = self._object | np.isin(body, [model.body(name).id for name in _FINGERS if name in known])
        self._friction = model.geom_friction[self._slippery].copy()
        self._force = np.zeros(6)

    def truth(self, outside: bool) -> Truth:
        """The scene now; ``outside``: whether the object began out of the scene's own range."""
        env, data = self._env, self._env.data
        pressed, touched = [False, False], False
        strike_n = 0.0
        for index in range(data.ncon):
            first, second = data.contact[index].geom1, data.contact[index].geom2
            one, other = (first, second) if self._hand[first] else (second, first)
            if not self._hand[one] or self._hand[other]:
                continue
            self._contact_force(env.model, data, index, self._force)
            normal_n = float(self._force[0])
            if not self._object[other]:
                strike_n = max(strike_n, normal_n)
            elif normal_n > 0:
                touched = True
                pressed = [was or bool(pad[one]) for was, pad in zip(pressed, self._pads, strict=True)]
        return Truth(
            hand=np.array(env.get_endeff_pos(), dtype=np.float64),
            object=np.array(env._get_pos_objects(), dtype=np.float64),
            goal=np.array(env._target_pos, dtype=np.float64),
            held=all(pressed),
            touched=touched,
            strike_n=strike_n,
            outside=outside,
        )

    def push_object(self, x: float, y: float) -> None:
        """Move the object along the table, m; the next step takes it from there."""
        position = self._env.data.qpos[_POSITION]
        position[:2] += (x, y)

    def set_grip(self, share: float) -> None:
        """Leave this share of the friction of fingers and object."""
        self._env.model.geom_friction[self._slippery] = share * self._friction
