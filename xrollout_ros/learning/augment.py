"""How training data are varied while a policy trains, so that it meets more than was shown."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from xrollout_ros.core.document import Name, Strict

Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]


class AugmentSpec(Strict):
    """What is varied, and how far; without arguments nothing is. docs/augmentation.md says what each does."""

    state_noise: Deviation = Field(
        default=0.0,
        description="deviation of the noise on the point that the actions move (safety.point) and on measured values "
        "of actions, in the observation's units; the actions lead back to the demonstrated path",
    )
    observation_noise: dict[Name, Deviation] = Field(
        default_factory=dict,
        description="observation: deviation of the noise on what no action moves, in its units; actions stay",
    )
    action_noise: Share = Field(
        default=0.0,
        description="deviation of the noise on actions, as a share of each one's range; the next rows undo it",
    )
    time_warp: Annotated[float, Field(ge=1, le=4, allow_inf_nan=False)] = Field(
        default=1.0, description="windows are played up to this many times as fast, or as slowly; 1: as they were"
    )
    mirror: bool = Field(default=False, description="half of the samples are mirrored, as the TaskSpec's `mirror` says")
    image_crop: Share = Field(
        default=0.0, description="images are cut on each side by up to this share, at random, and enlarged again"
    )
    image_color: Share = Field(
        default=0.0, description="largest relative change of an image's brightness, contrast and saturation"
    )
