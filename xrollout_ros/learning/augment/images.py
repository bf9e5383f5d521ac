"""Images of a training batch, varied: cut at random and enlarged again, and in other light."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from xrollout_ros.learning.models.vision import Images

_GREY = (0.299, 0.587, 0.114)
"""Share of red, green and blue in what the eye calls bright (ITU-R BT.601)."""


def augment_images(images: Images, generator: torch.Generator, *, crop: float, color: float) -> dict[str, Tensor]:
    """The images of a batch, each varied by itself: neither samples nor cameras of one sample have anything in common.

    For training alone. A policy that sees through it may not rely on a pixel's very place or tint.

    Args:
        images: ``(B, H, W, 3) uint8`` by camera.
        generator: the only source of randomness, on the CPU.
        crop: each side is cut by up to this share of the image, at random, and the rest enlarged again (bilinear);
            0 to less than 0.5.
        color: largest relative change of brightness, contrast and saturation; 0 to 1.

    Returns:
        Images of the same sizes; the cameras in order of their names.
    """
    return {name: _varied(images[name], generator, crop, color) for name in sorted(images)}


def _varied(images: Tensor, generator: torch.Generator, crop: float, color: float) -> Tensor:
    if not len(images) or (crop == 0 and color == 0):
        return images
    values = images.permute(0, 3, 1, 2).float() / 255
    if crop > 0:
        values = _cropped(values, crop, generator)
    if color > 0:
        values = _recolored(values, color, generator)
    return (values * 255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _cropped(values: Tensor, crop: float, generator: torch.Generator) -> Tensor:
    """``(B, 3, H, W)``, cut and enlarged."""
    cut = crop * torch.rand(len(values), 4, generator=generator).to(values.device)
    left, top, right, bottom = cut.unbind(1)
    nought = torch.zeros_like(left)
    # From places in the new image to places in the old one; both go from -1 to 1.
    across = torch.stack([1 - left - right, nought, left - right], dim=1)
    down = torch.stack([nought, 1 - top - bottom, top - bottom], dim=1)
    grid = affine_grid(torch.stack([across, down], dim=1), list(values.shape), align_corners=False)
    return grid_sample(values, grid, padding_mode="border", align_corners=False)


def _recolored(values: Tensor, color: float, generator: torch.Generator) -> Tensor:
    """``(B, 3, H, W)`` in [0, 1] and a little beyond."""
    factors = 1 + color * (2 * torch.rand(3, len(values), 1, 1, 1, generator=generator).to(values.device) - 1)
    brightness, contrast, saturation = factors
    values = brightness * values
    grey = (values * torch.tensor(_GREY, device=values.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    values = grey + saturation * (values - grey)
    middle = grey.mean((-2, -1), keepdim=True)
    recolored: Tensor = middle + contrast * (values - middle)
    return recolored
