"""What a policy makes of camera images: a few features for each camera, which join the state."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from xrollout_ros.core.errors import SpecError

Images = Mapping[str, Tensor]
"""RGB by camera name, ``(B, H, W, 3) uint8``, top row first."""

KEYPOINTS = 32
_GROUPS = 8


class ResidualBlock(nn.Module):
    """Two convolutions and a way past them (He et al. 2016, arXiv:1512.03385), which halve the image.

    Group normalization (Wu and He 2018, arXiv:1803.08494) knows no batch, so training and inference compute the same.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(_GROUPS, outputs),
        )
        self.past = nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, O, H/2, W/2)`` for ``(B, I, H, W)``."""
        return nn.functional.silu(self.body(maps) + self.past(maps))


class SpatialSoftmax(nn.Module):
    """Where in the image each map is largest, softly (Levine et al. 2016, arXiv:1504.00702)."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, maps: Tensor) -> Tensor:
        """Expected places ``(B, 2K)``, across and down in [-1, 1], of maps ``(B, K, H, W)``."""
        height, width = maps.shape[-2:]
        shares = torch.softmax(maps.flatten(2) / self.temperature, dim=-1).view_as(maps)
        across = shares.sum(-2) @ torch.linspace(-1, 1, width, device=maps.device)
        down = shares.sum(-1) @ torch.linspace(-1, 1, height, device=maps.device)
        return torch.cat([across, down], dim=-1)


class ImageEncoder(nn.Module):
    """A small residual network: where its keypoints are, and what the image holds on the whole."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 16, 5, stride=2, padding=2, bias=False),
            nn.GroupNorm(_GROUPS, 16),
            nn.SiLU(),
            ResidualBlock(16, 32),
            ResidualBlock(32, 64),
        )
        self.keypoints = nn.Sequential(nn.Conv2d(64, KEYPOINTS, 1), SpatialSoftmax())
        # Of one scale with a normalized state, whatever the convolutions make.
        self.out = nn.Sequential(nn.Linear(2 * KEYPOINTS + 64, features), nn.LayerNorm(features))

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, F)`` of ``(B, H, W, 3) uint8``."""
        maps = self.trunk(images.permute(0, 3, 1, 2).float() / 127.5 - 1)
        features: Tensor = self.out(torch.cat([self.keypoints(maps), maps.mean((-2, -1))], dim=-1))
        return features


class Vision(nn.Module):
    """An encoder for each camera, since each sees the scene from elsewhere; in order of the cameras' names.

    Args:
        cameras: height and width of each camera's images.
        features: for each camera.
    """

    def __init__(self, cameras: Mapping[str, tuple[int, int]], features: int) -> None:
        super().__init__()
        self._sizes = dict(sorted(cameras.items()))
        self.features = features
        self.encoders = nn.ModuleList([ImageEncoder(features) for _ in self._sizes])

    def forward(self, images: Images | None) -> Tensor:
        """Features ``(B, C, F)`` of C cameras; images of others are not looked at.

        Raises:
            SpecError: a camera's images are missing, or of another size or type.
        """
        found = []
        for (name, size), encoder in zip(self._sizes.items(), self.encoders, strict=True):
            image = None if images is None else images.get(name)
            if image is None or image.dtype != torch.uint8 or image.shape[1:] != (*size, 3):
                what = "none" if image is None else f"shape {tuple(image.shape[1:])}, {image.dtype}"
                raise SpecError(
                    f"the policy was given images of camera {name!r}: {what}",
                    f"It needs ({size[0]}, {size[1]}, 3), uint8, of each of {', '.join(self._sizes)}.",
                )
            found.append(encoder(image))
        return torch.stack(found, dim=1)
