"""The architectures that can be trained.

A new one is a subclass of ``ChunkModel`` and a line in ``ARCHITECTURES``; training, checkpoints and inference follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from xrollout_ros.core.errors import SpecError, from_validation
from xrollout_ros.learning.models.act import ACTConfig, ACTModel
from xrollout_ros.learning.models.base import ChunkModel, ModelConfig
from xrollout_ros.learning.models.flow import FlowConfig, FlowModel
from xrollout_ros.learning.models.regression import EnsembleConfig, EnsembleModel, MLPConfig, MLPModel

__all__ = [
    "ARCHITECTURES",
    "ACTConfig",
    "ACTModel",
    "ChunkModel",
    "EnsembleConfig",
    "EnsembleModel",
    "FlowConfig",
    "FlowModel",
    "MLPConfig",
    "MLPModel",
    "ModelConfig",
    "build_model",
]

ARCHITECTURES: dict[str, type[ChunkModel]] = {
    model.name: model for model in (FlowModel, MLPModel, EnsembleModel, ACTModel)
}


def build_model(name: str, config: Mapping[str, Any], origin: str = "arguments") -> ChunkModel:
    """The model of architecture ``name``, with fresh weights from torch's global generator.

    Raises:
        SpecError: the architecture is unknown, or a size is missing or out of range.
    """
    if name not in ARCHITECTURES:
        raise SpecError(f"unknown policy architecture {name!r}", f"Known are {', '.join(sorted(ARCHITECTURES))}.")
    model_type = ARCHITECTURES[name]
    try:
        checked = model_type.config_type.model_validate(dict(config))
    except ValidationError as error:
        raise from_validation(error, f"configuration of policy {name!r} in", origin, "Mend these values.") from error
    return model_type(checked)
