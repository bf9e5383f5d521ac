"""Camera images of a MuJoCo scene without a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from ctypes.util import find_library
from typing import Any

import numpy as np
import numpy.typing as npt

from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.sensing import CameraSpec

_REMEDY = "Install it (Debian, Ubuntu: apt-get install libosmesa6), set MUJOCO_GL=egl on a machine with a GPU, "
_REMEDY += "or do without the camera."


def choose_gl() -> None:
    """Choose OSMesa for MuJoCo unless ``MUJOCO_GL`` says otherwise; MuJoCo reads it once, when it is imported.

    Raises:
        SpecError: OSMesa is chosen but not installed.
    """
    if not os.environ.get("MUJOCO_GL") and "mujoco" not in sys.modules:
        if find_library("OSMesa") is None:
            raise SpecError("a camera was asked for, but the library OSMesa that renders it is missing", _REMEDY)
        os.environ["MUJOCO_GL"] = "osmesa"


class SceneRenderer:
    """Renders a scene's own cameras; tied to the thread that makes it."""

    def __init__(self, model: Any, data: Any, cameras: Sequence[CameraSpec]) -> None:
        """Open a renderer for each camera.

        Raises:
            SpecError: the scene lacks a camera, or no OpenGL can be had.
        """
        import mujoco

        self._data = data
        self._views: dict[str, tuple[Any, int, bool]] = {}
        there = {_plain(model.camera(index).name): index for index in range(model.ncam)}
        for camera in cameras:
            if _plain(camera.name) not in there:
                raise SpecError(
                    f"the scene has no camera {camera.name!r}",
                    "It has " + ", ".join(model.camera(index).name for index in range(model.ncam)) + ".",
                )
            view = model.vis.global_
            view.offwidth, view.offheight = max(view.offwidth, camera.width), max(view.offheight, camera.height)
            try:
                renderer = mujoco.Renderer(model, camera.height, camera.width)
            except Exception as error:  # each OpenGL library has its own
                self.close()
                using = os.environ.get("MUJOCO_GL") or "a window system"
                raise SpecError(
                    f"camera {camera.name!r} cannot be rendered with {using}: {error}",
                    f"Set MUJOCO_GL=osmesa before the program starts. {_REMEDY}",
                ) from error
            index = there[_plain(camera.name)]
            # Meta-World hangs its fixed corner cameras head down.
            fixed = model.cam_mode[index] == mujoco.mjtCamLight.mjCAMLIGHT_FIXED and model.cam_bodyid[index] == 0
            head_down = bool(fixed and data.cam_xmat[index].reshape(3, 3)[2, 1] < -1e-6)
            self._views[camera.name] = (renderer, index, head_down)

    def render(self, camera: str) -> npt.NDArray[np.uint8]:
        """What a camera sees now, ``(H, W, 3) uint8`` RGB, top row first."""
        renderer, index, head_down = self._views[camera]
        renderer.update_scene(self._data, camera=index)
        image: npt.NDArray[np.uint8] = renderer.render()
        return np.array(image[::-1, ::-1] if head_down else image)

    def close(self) -> None:
        """Free the OpenGL contexts."""
        for renderer, _, _ in self._views.values():
            renderer.close()
        self._views.clear()


def _plain(name: str) -> str:
    """Scene names such as ``gripperPOV`` as a RobotSpec may write them."""
    return name.replace("_", "").lower()
