"""How training data are varied while a policy trains, so that it meets more than was shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xrollout_ros.core.document import Name, Strict
from xrollout_ros.core.errors import SpecError
from xrollout_ros.core.mirror import MirrorSpec
from xrollout_ros.core.processors import Processor
from xrollout_ros.core.robot import RobotSpec

if TYPE_CHECKING:
    from xrollout_ros.learning.augment.windows import Augmenter

Deviation = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)]


class AugmentSpec(Strict):
    """What is varied, and how far; without arguments nothing is. docs/augmentation.md says what each does."""

    state_noise: Deviation = Field(
        default=0.0,
        description="deviation of the noise on the point that the actions move (safety.point), or without one on "
        "measured positions, in the observation's units; the actions lead back to the demonstrated path",
    )
    observation_noise: dict[Name, Deviation] = Field(
        default_factory=dict,
        description="observation: deviation of the noise on what no action moves, in its units; actions stay",
    )
    action_noise: Share = Field(
        default=0.0,
        description="deviation of the noise on one row's actions, as a share of each one's range; the rows after it "
        "undo it",
    )
    time_warp: Annotated[float, Field(ge=1, le=4, allow_inf_nan=False)] = Field(
        default=1.0, description="windows are played up to this many times as fast, or as slowly; 1: as they were"
    )
    mirror: bool = Field(default=False, description="half of the samples are mirrored, as the TaskSpec's `mirror` says")
    image_crop: Annotated[float, Field(ge=0, lt=0.5, allow_inf_nan=False)] = Field(
        default=0.0, description="images are cut on each side by up to this share, at random, and enlarged again"
    )
    image_color: Share = Field(
        default=0.0, description="largest relative change of an image's brightness, contrast and saturation"
    )

    @property
    def varies_windows(self) -> bool:
        """Whether states and actions are varied; images may be in any case."""
        noise = self.state_noise or self.action_noise or any(self.observation_noise.values())
        return bool(noise) or self.time_warp > 1 or self.mirror


def make_augmenter(
    spec: AugmentSpec,
    robot: RobotSpec,
    mirror: MirrorSpec | None = None,
    processors: Sequence[Processor] = (),
    cameras: Sequence[str] = (),
) -> Augmenter | None:
    """What varies batches of windows; None: nothing is to be varied.

    Args:
        spec: what, and how far.
        robot: whose windows they are.
        mirror: the TaskSpec's section.
        processors: what was done to the states before the policy sees them.
        cameras: whose images the policy sees.

    Raises:
        SpecError: something is asked for that cannot be done without telling the policy what is not so.
    """
    if not spec.varies_windows:
        return None
    for name in ("state_noise", "mirror"):
        if cameras and getattr(spec, name):
            raise SpecError(
                f"augment.{name}: the policy sees images ({', '.join(cameras)}), which would show something else",
                f"Leave {name} out, or train a policy that sees states only.",
            )
    from xrollout_ros.learning.augment.windows import Augmenter

    return Augmenter(spec, robot, mirror, processors)
