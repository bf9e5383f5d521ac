"""Camera images without a screen; each in a process of its own, since MuJoCo chooses its OpenGL at import."""

from __future__ import annotations

import os
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SET_UP = """
import hashlib, numpy as np
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.resources import load_robot, load_task
from xrollout_ros.sim.robot import make_sim_robot
robot, task = load_robot("metaworld_sawyer"), load_task("push")
"""

pytest.importorskip("metaworld")
needs_osmesa = pytest.mark.skipif(find_library("OSMesa") is None, reason="libosmesa6 is not installed")


def run(script: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    done = subprocess.run(
        [sys.executable, "-c", SET_UP + script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_osmesa
def test_images_come_at_the_camera_rate_right_way_up_and_change_nothing() -> None:
    run("""
def roll(cameras):
    sim = make_sim_robot(robot, task, cameras=cameras, shapes=False)
    seen = [sim.reset(1, "nominal")] + [sim.step([0.5, 0.2, -0.5, 1.0]) for _ in range(17)]
    sim.close()
    return seen
seen = roll(["corner"])
camera = robot.cameras[0]
every = round(robot.policy_rate_hz / camera.rate_hz)
assert [o.step for o in seen if o.images] == [s for s in range(18) if s % every == 0]
image = seen[0].images["corner"]
assert image.shape == (camera.height, camera.width, 3) and image.dtype == np.uint8 and image.flags.c_contiguous
assert image.std() > 10 and not np.array_equal(image, seen[every].images["corner"])
# The puck lies on the table, and the table is below the empty background: red arm high, table's wood low.
wood = (np.abs(image.astype(int) - [140, 110, 90]).sum(axis=2) < 60)
rows = np.nonzero(wood)[0]
assert wood.sum() > 500 and rows.mean() > camera.height * 0.5, (wood.sum(), rows.mean())
bare = roll([])
assert not any(o.images for o in bare)
for a, b in zip(seen, bare):
    assert robot.state_vector(a.values).tobytes() == robot.state_vector(b.values).tobytes()
""")


@needs_osmesa
def test_an_unknown_camera_of_the_scene_is_named() -> None:
    out = run("""
attic = robot.cameras[0].model_copy(update={"name": "attic"})
try:
    make_sim_robot(robot.model_copy(update={"cameras": (attic,)}), task, cameras=["attic"])
except SpecError as error:
    print(error)
""")
    assert "'attic'" in out and "corner" in out


@needs_osmesa
def test_a_gymnasium_environment_of_mujoco_draws_too() -> None:
    run("""
car, car_task = load_robot("gym_mountain_car"), load_task("mountain_car")
sim = car.sim.model_copy(update={"env_id": "Reacher-v5", "make": {"width": 96, "height": 64}, "success": "terminated",
                                 "observation": {"position": (0, 1), "velocity": (1, 2)}})
camera = robot.cameras[0].model_copy(update={"width": 96, "height": 64})
twice = tuple(car.actions[0].model_copy(update={"name": name}) for name in ("a", "b"))
spec = car.model_copy(update={"sim": sim, "cameras": (camera,), "actions": twice})
driven = make_sim_robot(spec, car_task, cameras=["corner"])
assert driven.reset(0, "nominal").images["corner"].shape == (64, 96, 3)
driven.close()
wrong = spec.model_copy(update={"cameras": (camera.model_copy(update={"width": 95}),)})
driven = make_sim_robot(wrong, car_task, cameras=["corner"])
try:
    driven.reset(0, "nominal")
    raise SystemExit("a picture of another size was let through")
except SpecError as error:
    assert "(64, 95, 3)" in str(error), error
""")


def test_without_osmesa_the_error_says_what_to_install_and_the_robot_still_works_blind() -> None:
    run("""
import xrollout_ros.sim.rendering as rendering
rendering.find_library = lambda name: None
try:
    make_sim_robot(robot, task, cameras=["corner"])
    raise SystemExit("no error")
except SpecError as error:
    assert "libosmesa6" in str(error), error
assert make_sim_robot(robot, task).reset(0, "nominal").step == 0
""")


def test_mujoco_imported_before_without_a_screen_gives_a_clear_error() -> None:
    run("""
import os
os.environ.pop("DISPLAY", None); os.environ.pop("WAYLAND_DISPLAY", None)
import mujoco
try:
    make_sim_robot(robot, task, cameras=["corner"])
    raise SystemExit("no error")
except SpecError as error:
    assert "MUJOCO_GL=osmesa" in str(error), error
""")
